"""Separability, geometry and similarity: every number against its formula, and what must not change it."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import call
from torch import Tensor

from latents import geometry, similarity
from latents.cli import Problem
from latents.encode import npz
from latents.record import ROOT, write_bytes
from latents.similarity import linear_cka, read_samples
from latents.tsne import embed, read_codes

torch.set_num_threads(1)
N, K = 40, 5


@pytest.fixture
def codes() -> Tensor:
    """Three unlike clusters, [40, 128]."""
    draw = np.random.default_rng(1)
    centres = 0.6 * draw.normal(size=(3, 128))
    spread = draw.normal(size=(N, 128)) * np.linspace(0.2, 1.4, 128)
    return torch.from_numpy(centres[np.arange(N) % 3] + spread).float()


@pytest.fixture
def labels() -> Tensor:
    return torch.arange(N) % 3


def rotation(size: int = 128) -> Tensor:
    random = torch.Generator().manual_seed(2)
    return torch.linalg.qr(torch.randn(size, size, generator=random, dtype=torch.float64)).Q.float()


def unit(codes: Tensor) -> np.ndarray:
    array = codes.double().numpy()
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def test_silhouette_is_rousseeuws_formula(codes: Tensor, labels: Tensor) -> None:
    array, values = codes.double().numpy(), []
    for i in range(N):
        distance = np.linalg.norm(array - array[i], axis=1)
        mean = [distance[[j for j in range(N) if labels[j] == label and j != i]].mean() for label in range(3)]
        own, other = mean[labels[i]], min(value for label, value in enumerate(mean) if label != labels[i])
        values.append((other - own) / max(own, other))
    assert geometry.silhouette(codes, labels) == pytest.approx(np.mean(values), abs=1e-5)


def test_scatter_ratio_is_between_over_within_class_scatter(codes: Tensor, labels: Tensor) -> None:
    array, classes = codes.double().numpy(), labels.numpy()
    mean, between, within = array.mean(0), np.zeros((128, 128)), np.zeros((128, 128))
    for label in range(3):
        members = array[classes == label]
        step = members.mean(0) - mean
        between += len(members) * np.outer(step, step)
        within += (members - members.mean(0)).T @ (members - members.mean(0))
    expected = np.trace(between) / np.trace(within)
    assert geometry.scatter_ratio(codes, labels) == pytest.approx(expected, rel=1e-5)
    assert geometry.scatter_ratio(7 * codes @ rotation() + 3, labels) == pytest.approx(expected, rel=1e-4)


def test_scatter_ratio_is_zero_where_all_class_means_agree() -> None:
    codes = torch.randn(10, 128)
    found = geometry.scatter_ratio(torch.cat([codes, codes]), torch.arange(20) // 10)
    assert found == pytest.approx(0, abs=1e-9)


def test_knn_purity_is_the_share_of_the_nearest_by_cosine_with_the_same_label(
    codes: Tensor, labels: Tensor
) -> None:
    vectors, classes = unit(codes), labels.numpy()
    shares = []
    for i in range(N):
        nearest = [j for j in np.argsort(-(vectors @ vectors[i])) if j != i][:K]
        shares.append(np.mean(classes[nearest] == classes[i]))
    assert geometry.knn_purity(codes, labels, K) == pytest.approx(np.mean(shares), abs=1e-9)
    assert 0.3 < np.mean(shares) < 1


def test_knn_purity_is_the_same_in_more_than_one_block_of_codes(labels: Tensor) -> None:
    codes = torch.randn(1203, 128, generator=torch.Generator().manual_seed(1))
    codes[1100:] = codes[:103] + 1e-3  # the nearest neighbour lies in another block
    owners = torch.arange(1203)
    owners[1100:] = owners[:103]
    assert geometry.knn_purity(codes, owners, 1) == pytest.approx(206 / 1203)


def test_alignment_is_the_mean_squared_distance_of_unit_codes(codes: Tensor) -> None:
    other = codes + torch.randn(N, 128, generator=torch.Generator().manual_seed(3))
    expected = np.mean([np.linalg.norm(a - b) ** 2 for a, b in zip(unit(codes), unit(other), strict=True)])
    assert geometry.alignment(codes, other) == pytest.approx(expected, rel=1e-5)
    assert geometry.alignment(5 * codes, 0.1 * other) == pytest.approx(expected, rel=1e-5)
    assert geometry.alignment(codes, codes) == 0 and geometry.alignment(codes, -codes) == pytest.approx(4)


def test_uniformity_is_the_log_of_the_mean_gaussian_potential_over_all_pairs(codes: Tensor) -> None:
    vectors = unit(codes)
    terms = [math.exp(-2 * np.sum((vectors[i] - vectors[j]) ** 2)) for i in range(N) for j in range(i)]
    expected = math.log(np.mean(terms))
    assert geometry.uniformity(codes) == pytest.approx(expected, rel=1e-6)
    assert geometry.uniformity(3 * codes @ rotation()) == pytest.approx(expected, rel=1e-4)
    # all in one point: the worst
    assert geometry.uniformity(torch.ones(5, 128)) == pytest.approx(0, abs=1e-6)


def test_effective_rank_is_the_exponential_of_the_entropy_of_the_singular_values(codes: Tensor) -> None:
    centred = codes.double().numpy() - codes.double().numpy().mean(0)
    values = np.linalg.svd(centred, compute_uv=False)
    share = values[values > 1e-9] / values.sum()
    expected = math.exp(-np.sum(share * np.log(share)))
    assert geometry.effective_rank(codes) == pytest.approx(expected, rel=1e-4)
    assert geometry.effective_rank(0.3 * codes @ rotation() - 2) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("rank", [1, 4, 64])
def test_effective_rank_counts_equal_directions(rank: int) -> None:
    directions = torch.eye(128)[:rank]
    assert geometry.effective_rank(torch.cat([directions, -directions])) == pytest.approx(rank, rel=1e-4)


# similarity


def test_linear_cka_is_the_normalised_unbiased_hsic_of_the_linear_kernels(codes: Tensor) -> None:
    draw = np.random.default_rng(4)
    a = codes.double().numpy()
    b = a[:, :50] @ draw.normal(size=(50, 20)) + draw.normal(size=(N, 20))

    def hsic(x: np.ndarray, y: np.ndarray) -> float:  # equation 5 of Song et al. 2012, by matrices
        k, l = (part @ part.T for part in (x, y))  # noqa: E741
        k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))  # noqa: E741
        ones = np.ones(N)
        both = ones @ k @ ones * (ones @ l @ ones) / ((N - 1) * (N - 2))
        return np.trace(k @ l) + both - 2 / (N - 2) * (ones @ k @ l @ ones)

    expected = hsic(a, b) / math.sqrt(hsic(a, a) * hsic(b, b))
    assert 0.1 < expected < 0.95
    assert linear_cka(a.astype(np.float32), b.astype(np.float32)) == pytest.approx(expected, rel=1e-4)
    assert linear_cka(b, a) == pytest.approx(linear_cka(a, b))


def test_linear_cka_is_1_for_a_rotation_a_scaling_and_a_shift_and_not_for_a_stretch(codes: Tensor) -> None:
    array = codes.numpy()
    assert linear_cka(array, 3 * array @ rotation().numpy() - 5) == pytest.approx(1, abs=1e-5)
    assert linear_cka(array, array * np.linspace(0, 9, 128)) < 0.99
    assert linear_cka(array, np.random.default_rng(5).normal(size=(N, 2))) < 0.5


def test_linear_cka_of_codes_with_nothing_in_common_is_about_zero_however_many_numbers_they_have() -> None:
    draw = np.random.default_rng(6)
    found = [linear_cka(draw.normal(size=(200, 128)), draw.normal(size=(200, 128))) for _ in range(5)]
    assert np.abs(found).max() < 0.05  # the biased estimate gives 0.4 here


def test_codes_that_do_not_vary_cannot_be_compared() -> None:
    draw = np.random.default_rng(7)
    with pytest.raises(ValueError, match="do not vary"):
        linear_cka(draw.normal(size=(20, 4)), np.ones((20, 4)))


def test_samples_of_other_images_or_beyond_half_precision_are_refused_by_name(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{method}/seed1.npz") for method in ("a", "b")]
    codes, indices = np.ones((4, 3), np.float16), np.arange(4)
    for path in paths:
        write_bytes(path, npz(codes=codes, indices=indices))
    assert list(read_samples(paths)) == [("a", 1), ("b", 1)]
    write_bytes(paths[1], npz(codes=codes, indices=indices + 1))
    said = r"b/seed1\.npz: codes of other images than .*a/seed1\.npz; delete both"
    with pytest.raises(Problem, match=said):
        read_samples(paths)
    write_bytes(paths[1], npz(codes=np.full((4, 3), np.inf, np.float16), indices=indices))
    with pytest.raises(Problem, match=r"b/seed1\.npz: holds codes beyond the range of half precision"):
        read_samples(paths)


def samples(folder: Path) -> list[Path]:
    """Codes of two methods, one of them with two seeds, of the same 20 images."""
    draw, paths = np.random.default_rng(8), []
    for name in ("guided/seed1", "guided/seed2", "pca/seed1"):
        paths.append(folder / f"samples/mnist/{name}.npz")
        codes = draw.normal(size=(20, 6)).astype(np.float16)
        write_bytes(paths[-1], npz(codes=codes, indices=np.arange(20)))
    return paths


def compare(paths: list[Path], out: Path) -> None:
    """`python -m latents.similarity` for MNIST."""
    study = ROOT / "config/study.yaml"
    call(similarity, "--config", study, "--dataset", "mnist", "--samples", *paths, "--out", out)


def test_the_command_compares_every_pair_of_runs_once(tmp_path: Path) -> None:
    paths, out = samples(tmp_path), tmp_path / "cka.csv"
    compare(paths, out)
    with out.open() as file:
        lines = list(csv.DictReader(file))
    keys, runs = ("run_a", "seed_a", "run_b", "seed_b"), [("guided", "1"), ("guided", "2"), ("pca", "1")]
    pairs = [(*runs[0], *runs[1]), (*runs[0], *runs[2]), (*runs[1], *runs[2])]
    assert [tuple(line[key] for key in keys) for line in lines] == pairs
    (first,), _, (third,) = (read_codes(path, "codes") for path in paths)
    assert float(lines[1]["cka"]) == pytest.approx(linear_cka(first, third), abs=1e-6)


def test_the_command_names_both_runs_where_codes_do_not_vary(tmp_path: Path) -> None:
    paths, out = samples(tmp_path), tmp_path / "cka.csv"
    write_bytes(paths[1], npz(codes=np.ones((20, 6), np.float16), indices=np.arange(20)))
    said = r"^error: mnist: guided/seed1 and guided/seed2: codes that do not vary cannot be compared; train"
    with pytest.raises(SystemExit, match=said):
        compare(paths, out)
    assert not out.exists()


# t-SNE


@pytest.mark.parametrize("content", [b"", b"no archive", "half", "other"])
def test_a_codes_file_that_is_not_whole_is_refused_by_name(tmp_path: Path, content: bytes | str) -> None:
    path, whole = tmp_path / "codes.npz", npz(test=np.ones((4, 3)), labels_test=np.arange(4))
    path.write_bytes(whole)
    found = read_codes(str(path), "test", "labels_test")
    assert np.array_equal(found[0], np.ones((4, 3))) and np.array_equal(found[1], np.arange(4))
    named = {"half": whole[: len(whole) // 2], "other": npz(test=np.ones(3))}
    path.write_bytes(named.get(content, content))
    with pytest.raises(Problem, match=r"codes\.npz: not a whole codes file; delete it and run again"):
        read_codes(str(path), "test", "labels_test")


def test_a_missing_codes_file_is_refused_with_the_step_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"absent\.npz: missing; run snakemake again"):
        read_codes(str(tmp_path / "absent.npz"), "test")


def test_an_embedding_keeps_clusters_together_and_repeats(codes: Tensor, labels: Tensor) -> None:
    first, again = (embed(codes.numpy(), 10, 7, 1) for _ in range(2))
    assert first.shape == (N, 2) and first.dtype == np.float64 and np.array_equal(first, again)
    distance = np.linalg.norm(first[:, None] - first[None], axis=2)
    nearest = distance.argsort(1)[:, 1 : K + 1]
    assert (labels.numpy()[nearest] == labels.numpy()[:, None]).mean() > 0.5


def test_the_scatter_ratio_of_codes_without_spread_is_zero_or_infinite() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    assert geometry.scatter_ratio(torch.ones(4, 3), labels) == 0
    assert geometry.scatter_ratio(labels[:, None].float().expand(4, 3), labels) == float("inf")
