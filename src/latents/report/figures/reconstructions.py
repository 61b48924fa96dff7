"""Fixed test images, one a class, their reconstructions from the code of each method, and where these err.

    python -m latents.report.figures.reconstructions --config config/study.yaml --results results \
        --dataset cifar10 --note "" --out figures/reconstructions_cifar10.pdf

Reads the pictures of the first seed. The images are the same for every method. They were drawn at random, not
by their loss; of a class that was drawn twice, as older runs did, the first is shown. The error is the mean
absolute difference over colours, from white (none) to black (LARGEST or more). The last row is a yardstick,
the median of the training images, which older runs did not store.
"""

import base64
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latents import record
from latents.datasets import DATASETS
from latents.metrics import YARDSTICKS, fixed
from latents.report import sheets, style
from latents.report.read import read_npz
from latents.study import Run, Study

LARGEST = 0.5  # of an error, on pixels in [0, 1]: black
MARGINS = sheets.LABELS + 0.5  # inches beside the images: names on the left, errors on the right


def chosen(study: Study, results: Path, dataset: str) -> np.ndarray:
    """The first image of each class, in the order of the classes."""
    run = Run(dataset, study.methods[0], study.dataset(dataset).seeds[0])
    labels = read_npz(results / "pictures" / f"{run}.npz", "labels")["labels"]
    return np.unique(labels, return_index=True)[1]


def median_image(results: Path, dataset: str) -> np.ndarray | None:
    """The median of the training images, uint8 [h, w, c], where the yardsticks have it."""
    stored = record.read_json(results / "yardsticks" / f"{dataset}.json").get("median_image")
    return stored and np.frombuffer(base64.b64decode(stored), np.uint8).reshape(DATASETS[dataset].shape)


def error_map(images: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """Absolute differences of images uint8 [n, h, w, c] as grey images uint8 [n, h, w, 1]."""
    errors = np.abs(images / 255 - originals / 255).mean(-1, keepdims=True)
    return (255 * (1 - np.minimum(errors / LARGEST, 1))).round().astype(np.uint8)


def beside(axes: Axes, place: float, text: str) -> None:
    """A word on the right of a row."""
    axes.annotate(
        text,
        (1, place),
        (4, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        fontsize=8,
    )


def draw(study: Study, results: Path, dataset: str) -> Figure:
    pictures = sheets.read_pictures(study, results, dataset, "originals", "reconstructions")
    shown = chosen(study, results, dataset)
    originals = pictures[0]["originals"][shown]
    rows = [originals, *(picture["reconstructions"][shown] for picture in pictures)]
    labels = ["Original", *map(style.name, study.methods)]
    if (median := median_image(results, dataset)) is not None:
        rows.append(np.broadcast_to(median, originals.shape))
        labels.append(YARDSTICKS["median-image"].label.capitalize())
    drawing, errors = sheets.sheet(rows), sheets.sheet([error_map(images, originals) for images in rows])
    height = (style.WIDTH - MARGINS) / 2 * drawing.shape[0] / drawing.shape[1]
    figure = style.figure(height + 0.3)
    left, right = figure.subplots(1, 2)
    centres = sheets.show_sheet(left, drawing, labels)
    sheets.show_sheet(right, errors, labels, named=False)
    left.set_title(f"{style.dataset_name(study, dataset)}: reconstruction")
    right.set_title(f"absolute error (white 0, black {LARGEST} or more)")
    beside(right, centres[0], "MAE")
    for place, images in zip(centres[1:], rows[1:], strict=True):
        beside(right, place, fixed(np.abs(images / 255 - originals / 255).mean(), 3))
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
