"""Sheets of images: pictures of each method's first seed, side by side, in rows named on the left."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from latents.cli import Problem
from latents.datasets import DATASETS
from latents.record import again
from latents.report import summarize
from latents.report.read import read_npz
from latents.study import Run, Study

LABELS = 0.8  # inches left of a sheet of images, for the names of its rows


def read_pictures(
    study: Study, results: Path, dataset: str, shared: str, own: str, *optional: str
) -> list[dict[str, np.ndarray]]:
    """The pictures of each method's first seed, two arrays of the same shape [n, ..., h, w, c].

    Also those of the optional arrays that it has, whose n may be another. Raises Problem where one is
    missing, of another shape or of another run, or where `shared`, which depends on the test images alone, is
    not the same in all.
    """
    first = study.dataset(dataset).seeds[0]
    runs = [Run(dataset, method, first) for method in study.methods]
    paths = [results / "pictures" / f"{run}.npz" for run in runs]
    found = [read_npz(path, shared, own, optional=optional) for path in paths]
    for path, pictures in zip(paths, found, strict=True):
        shape = pictures[shared].shape
        of_one = {pictures[name].shape[1:] for name in pictures}
        if shape[-3:] != DATASETS[dataset].shape or pictures[own].shape != shape or len(of_one) > 1:
            raise Problem(f"{path}: {', '.join(pictures)} are no pictures of {dataset}; {again(path)}")
        if not np.array_equal(pictures[shared], found[0][shared]):
            raise Problem(f"{path}: shows other test images than {paths[0]}; delete both and run again")
    for run in runs:
        summarize.check_beside(run, results, "pictures/{}.npz")
    return found


def sheet(rows: list[np.ndarray]) -> np.ndarray:
    """Rows of images [n, h, w, c] on one white sheet, a pixel apart, each pixel drawn as 4 x 4."""
    lines = []
    for images in rows:
        n, h, w, _ = images.shape
        line = np.full((h + 1, n * (w + 1), 3), 255, np.uint8)
        for k, image in enumerate(images):
            line[:h, k * (w + 1) : k * (w + 1) + w] = image  # one channel is repeated to three
        lines.append(line[:, :-1])
    return np.concatenate(lines)[:-1].repeat(4, 0).repeat(4, 1)


def show_sheet(axes: Axes, drawing: np.ndarray, labels: list[str], *, named: bool = True) -> np.ndarray:
    """Show a sheet without a frame, its rows named on the left; returns the rows' centres in pixels."""
    axes.imshow(drawing)
    centres = (np.arange(len(labels)) + 0.5) * drawing.shape[0] / len(labels)
    axes.set_yticks(centres, labels if named else [])
    axes.tick_params(length=0)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.grid(False)
    return centres
