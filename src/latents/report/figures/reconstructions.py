"""Twelve fixed test images, their reconstructions from the code of each method, and their mean absolute
error.

    python -m latents.report.figures.reconstructions --config config/study.yaml --results results \
        --dataset cifar10 --note "" --out figures/reconstructions_cifar10.pdf

Reads the pictures of the first seed. The images are the same for every method; they were chosen at random,
not by their loss.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from latents.metrics import fixed
from latents.report import style
from latents.study import Study

MARGINS = 2.1  # inches beside the images: names on the left, errors on the right


def draw(study: Study, results: Path, dataset: str) -> Figure:
    pictures = style.read_pictures(study, results, dataset, "originals", "reconstructions")
    originals = pictures[0]["originals"]
    rows = [originals, *(picture["reconstructions"] for picture in pictures)]
    labels = ["Original", *map(style.name, study.methods)]
    errors = [np.abs(images / 255 - originals / 255).mean() for images in rows[1:]]
    drawing = style.sheet(rows)
    figure = style.figure((style.WIDTH - MARGINS) * drawing.shape[0] / drawing.shape[1] + 0.08)
    axes = figure.subplots()
    centres = style.show_sheet(axes, drawing, labels)
    for centre, text in zip(centres, ["MAE", *(fixed(error, 3) for error in errors)], strict=True):
        axes.annotate(
            text,
            (1, centre),
            (4, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
