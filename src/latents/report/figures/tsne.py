"""t-SNE of the test codes of each method: the same images in each panel, its trustworthiness T above it.

    python -m latents.report.figures.tsne --config config/study.yaml --results results \
        --dataset cifar10 --note "" --out figures/tsne_cifar10.pdf

Reads tsne/<dataset>/<method>.csv and .json (first seed). The number of a class stands at the median of its
points, or beside it where two would overlap.
"""

from math import ceil
from pathlib import Path

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latents.metrics import fixed
from latents.report import style
from latents.report.read import number, read_csv
from latents.report.summarize import trustworthiness
from latents.study import Study

SIDE_BY_SIDE = 4  # panels, at most


def apart(places: np.ndarray, least: float) -> np.ndarray:
    """Points [n, 2] moved as little as it takes until they are at least so far apart, or nearly."""
    for _ in range(200):
        between = places[:, None] - places
        distance = np.linalg.norm(between, axis=2) + np.eye(len(places)) * least
        push = np.clip(least - distance, 0, None) / np.maximum(distance, 1e-9)
        places = places + 0.25 * (between * push[:, :, None]).sum(1)
    return places


def read_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points [n, 2] and labels [n] of one t-SNE. Raises Problem."""
    columns = ("label", "x", "y")
    lines = read_csv(path, columns, lambda line: (int(line["label"]), number(line["x"]), number(line["y"])))
    values = np.array(lines).reshape(-1, len(columns))
    return values[:, 1:], values[:, 0].astype(int)


def scatter(axes: Axes, points: np.ndarray, labels: np.ndarray, colors: list[str]) -> None:
    """The points in the colours of their classes, and the number of each class."""
    size = max(0.8, min(6, 4000 / len(points)))
    axes.scatter(*points.T, s=size, c=np.array(colors)[labels], linewidths=0, rasterized=True)
    medians = np.array([np.median(points[labels == label], axis=0) for label in np.unique(labels)])
    wide = max(
        np.ptp(points[:, 0]), 1.6 * np.ptp(points[:, 1])
    )  # about the panel's width, in units of the points
    halo = [patheffects.withStroke(linewidth=2, foreground="white")]
    for label, (x, y) in zip(np.unique(labels), apart(medians, 0.07 * wide), strict=True):
        axes.text(x, y, str(label), ha="center", va="center", fontsize=8.5, weight="bold", path_effects=halo)
    axes.margins(0.03)
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")  # a unit is as long either way, and the panel is filled
    axes.spines[:].set(visible=True, color="0.7")


def legend(axes: Axes, study: Study, dataset: str) -> None:
    """The classes by name, in a panel of their own."""
    names = style.class_names(study, dataset)
    columns = ceil(len(names) / 10)
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=4, color=color)
        for color in style.class_colors(len(names))
    ]
    made = axes.legend(
        handles,
        names,
        loc="center" if columns == 1 else "center left",
        labelspacing=0,
        fontsize=6.5,
        handletextpad=0.1,
        title=style.dataset_name(study, dataset),
        ncols=columns,
    )
    made.set_in_layout(False)  # long names are not to make the other panels smaller


def draw(study: Study, results: Path, dataset: str) -> Figure:
    panels = len(study.methods) + 1  # the last for the legend
    rows = ceil(panels / SIDE_BY_SIDE)
    figure = style.figure(1.15 * rows)
    grid = figure.subplots(rows, ceil(panels / rows), squeeze=False).ravel()
    colors = style.class_colors(len(style.class_names(study, dataset)))
    for axes, method in zip(grid, study.methods, strict=False):
        points, labels = read_points(results / "tsne" / dataset / f"{method}.csv")
        first = study.dataset(dataset).seeds[0]
        trusted = trustworthiness(results, dataset, method, first)  # and the points are whole
        scatter(axes, points, labels, colors)
        axes.set_title(f"{style.name(method)}, $T = {fixed(trusted, 3)}$")
    for axes in grid[len(study.methods) :]:
        axes.axis("off")
    legend(grid[len(study.methods)], study, dataset)
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
