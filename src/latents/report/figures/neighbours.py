"""The five nearest test images, by the cosine of their centred codes, of one test image of each class, for
every method. Framed: a neighbour of another class than the image above.

    python -m latents.report.figures.neighbours --config config/study.yaml --results results \
        --dataset cifar10 --note "" --out figures/neighbours_cifar10.pdf

Reads the pictures of the first seed. The images on top are the same for every method, drawn at random once.
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from latents.cli import Problem
from latents.record import again
from latents.report import sheets, style
from latents.report.read import read_npz
from latents.report.summarize import check_beside
from latents.study import Run, Study

ARRAYS = ("queries", "query_labels", "neighbours", "neighbour_labels")
COLUMNS = 5  # blocks beside one another
FRAME = "#d55e00"

Pictures = dict[str, np.ndarray]


def read(study: Study, results: Path, dataset: str) -> list[Pictures]:
    """Queries and neighbours of each method's first seed.

    Raises Problem where one is missing, of another run, or of other queries than the first.
    """
    found: list[Pictures] = []
    for method in study.methods:
        run = Run(dataset, method, study.dataset(dataset).seeds[0])
        path = results / f"pictures/{run}.npz"
        found.append(read_npz(path, *ARRAYS))
        check_beside(run, results, "pictures/{}.npz")
        if not np.array_equal(found[-1]["queries"], found[0]["queries"]):
            raise Problem(f"{path}: shows other test images than the methods before it; {again(path)}")
    return found


def block(axes: Axes, found: list[Pictures], query: int, names: list[str], *, named: bool) -> None:
    """One query, and below it a row of neighbours for each method."""
    image, label = found[0]["queries"][query], found[0]["query_labels"][query]
    rows = [np.full_like(found[0]["neighbours"][query], 255)]
    rows[0][0] = image
    rows += [pictures["neighbours"][query] for pictures in found]
    sheets.show_sheet(axes, sheets.sheet(rows), names, named=named)
    height, width = image.shape[:2]
    for row, pictures in enumerate(found, 1):
        for place in np.flatnonzero(pictures["neighbour_labels"][query] != label):
            corner = 4 * place * (width + 1) + 2, 4 * row * (height + 1) + 2  # a pixel is drawn as 4 x 4
            frame = {"linewidth": 1.0, "edgecolor": FRAME, "facecolor": "none"}
            axes.add_patch(Rectangle(corner, 4 * width - 5, 4 * height - 5, **frame))


def draw(study: Study, results: Path, dataset: str) -> Figure:
    found, classes = read(study, results, dataset), style.class_names(study, dataset)
    names = ["", *map(style.name, study.methods)]
    labels = found[0]["query_labels"]
    lines = -(-len(labels) // COLUMNS)
    _, k, height, width = found[0]["neighbours"].shape[:4]
    tall = (style.WIDTH - sheets.LABELS) / COLUMNS * len(names) * (height + 1) / (k * (width + 1))
    figure = style.figure(lines * (tall + 0.2))
    panels = figure.subplots(lines, COLUMNS, squeeze=False).flat
    for place, axes in enumerate(panels):
        if place < len(labels):
            block(axes, found, place, names, named=place % COLUMNS == 0)
            axes.set_title(classes[labels[place]], loc="left")
        else:
            axes.set_axis_off()
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
