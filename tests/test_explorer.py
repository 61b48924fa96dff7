"""The explorer: what it shows of a data set (tests/test_page.py: its page in a browser)."""

import socket
from pathlib import Path

import numpy as np
import pytest
from conftest import run, shipped_study

from latents import explorer
from latents.cli import Problem


def codes_of(n: int = 300, d: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Correlated codes away from the origin, and labels of three classes, of which the last has none."""
    draw = np.random.default_rng(3)
    codes = draw.normal(size=(n, d)) @ draw.normal(size=(d, d)) + 5
    return codes.astype(np.float32), np.arange(n) % 2


def test_directions_are_principal_and_averages_are_those_of_the_classes():
    codes, labels = codes_of()
    axes = explorer.principal(codes, labels, 3)
    d = codes.shape[1]
    directions, along = axes[1 : d + 1], (codes - axes[0]) @ axes[1 : d + 1].T
    np.testing.assert_allclose(directions @ directions.T, np.eye(d), atol=1e-5)
    covariance = np.cov(along.T, bias=True)
    np.testing.assert_allclose(covariance, np.diag(axes[d + 1] ** 2), atol=1e-3 * covariance.max())
    assert (np.diff(axes[d + 1]) <= 0).all()
    for k in range(2):
        np.testing.assert_allclose(axes[d + 4 + k], along[labels == k].mean(0), atol=1e-4)
    assert not axes[d + 6].any()


def test_codes_in_levels_are_off_by_half_a_level_at_most_and_cut_off_beyond_the_range():
    codes, labels = codes_of()
    axes, d = explorer.principal(codes, labels, 2), codes.shape[1]
    low, high = axes[d + 2], axes[d + 3]
    levels = explorer.in_levels(codes, axes)
    back = low + (high - low) * levels / 255
    along = (codes - axes[0]) @ axes[1 : d + 1].T
    assert (np.abs(back - along) <= 0.501 * (high - low) / 255 + 1e-5).all()
    far = axes[0] + 100 * (high - low) @ axes[1 : d + 1]
    assert (explorer.in_levels(far[None], axes) == 255).all()


def write_points(folder: Path, indices: range, method: str) -> None:
    """A t-SNE in which each image lies at (its number, 1)."""
    path = folder / f"tsne/mnist/{method}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("index,label,x,y\n" + "".join(f"{k},0,{k}.5,1.0\n" for k in indices))


def test_of_many_images_every_second_or_third_is_shown_the_same_by_all_methods(tmp_path):
    study = shipped_study()
    for n, step in ((900, 1), (1000, 1), (2500, 3)):
        for method in study.methods:
            write_points(tmp_path, range(7, 7 + n), method)
        index, points = explorer.read_points(study, tmp_path, "mnist")
        assert index.tolist() == [*range(7, 7 + n, step)]
        assert list(points) == list(study.methods)
        for found in points.values():
            np.testing.assert_array_equal(found, np.column_stack([index + 0.5, np.ones(len(index))]))
    write_points(tmp_path, range(8, 8 + n), "guided")
    with pytest.raises(Problem, match=r"guided\.csv: shows other images than the first method"):
        explorer.read_points(study, tmp_path, "mnist")


def test_make_explore_says_when_there_is_no_page_and_when_its_port_is_taken(checkout):
    done = run(checkout, "make", "explore")
    assert done.returncode != 0
    assert "error: the explorer is not built; make explorer first" in done.stdout
    (checkout / "explorer").mkdir()
    (checkout / "explorer/index.html").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(checkout, "make", "explore", f"PORT={taken.getsockname()[1]}")
    assert done.returncode != 0
    assert "is not free; take another: make explore PORT=8080" in done.stdout
