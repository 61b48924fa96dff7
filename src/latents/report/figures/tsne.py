"""t-SNE of the test codes of each method: the same images in each panel, its trustworthiness T above it.

    python -m latents.report.figures.tsne --config config/study.yaml --results results \
        --dataset cifar10 --note "" --out figures/tsne_cifar10.pdf

Reads tsne/<dataset>/<method>.csv and .json (first seed). The name of a class stands at the median of its
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

SIDE_BY_SIDE = 3  # panels
SIDE = 2.1  # inches of a panel with its title
LINE, WIDER = 0.06, 4  # a name's height, in heights of a panel, and how many times wider it is


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


def scatter(axes: Axes, points: np.ndarray, labels: np.ndarray, names: list[str]) -> None:
    """The points in the colours of their classes, and the name of each class."""
    size = max(1.5, min(8, 10000 / len(points)))
    colors = np.array(style.class_colors(len(names)))
    axes.scatter(*points.T, s=size, c=colors[labels], alpha=0.55, linewidths=0, rasterized=True)
    shown = np.unique(labels)
    medians = np.array([np.median(points[labels == label], axis=0) for label in shown])
    flat = np.array([1 / WIDER if max(map(len, names)) > 1 else 1, 1])  # where names are about round
    halo = [patheffects.withStroke(linewidth=1.8, foreground="white")]
    for label, (x, y) in zip(shown, apart(medians * flat, LINE * np.ptp(points)) / flat, strict=True):
        axes.text(
            x, y, names[label], ha="center", va="center", fontsize=7.5, weight="bold", path_effects=halo
        )
    axes.margins(0.03)
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")  # a unit is as long either way, and the panel is filled
    axes.spines[:].set(visible=True, color="0.7")


def draw(study: Study, results: Path, dataset: str) -> Figure:
    rows = ceil(len(study.methods) / SIDE_BY_SIDE)
    grid = (rows, min(SIDE_BY_SIDE, len(study.methods)))
    free = grid[0] * grid[1] > len(study.methods)  # a panel for the legend
    figure = style.figure(SIDE * rows + (0 if free else 0.4))
    panels = figure.subplots(*grid, squeeze=False).ravel()
    classes = style.class_names(study, dataset)
    names = [text.split()[-1] for text in classes]
    names = names if len({*names}) == len(names) else [str(k) for k in range(len(names))]
    for axes, method in zip(panels, study.methods, strict=False):
        points, labels = read_points(results / "tsne" / dataset / f"{method}.csv")
        first = study.dataset(dataset).seeds[0]
        trusted = trustworthiness(results, dataset, method, first)  # and the points are whole
        scatter(axes, points, labels, names)
        axes.set_title(f"{style.name(method)}, $T = {fixed(trusted, 3)}$")
    for axes in panels[len(study.methods) :]:
        axes.axis("off")
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=4, color=color)
        for color in style.class_colors(len(names))
    ]
    words = {"handletextpad": 0.1, "title": style.dataset_name(study, dataset)}
    if free:
        panels[len(study.methods)].legend(
            handles, classes, loc="center", ncols=ceil(len(classes) / 6), fontsize=8, **words
        )
    else:
        columns = ceil(len(classes) / 2) if len(classes) <= 12 else 6
        figure.legend(handles, classes, loc="outside upper center", ncols=columns, fontsize=7.5, **words)
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
