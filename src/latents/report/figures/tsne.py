"""t-SNE of the test codes of all rows side by side: the same images in each panel, trustworthiness above it.

    python -m latents.report.figures.tsne --config config/study.yaml --results results \
        --dataset cifar10 --note "" --out figures/tsne_cifar10.pdf

Reads tsne/<dataset>/<row>.csv and .json (first seed). A class is written where the median of its points lies, or beside it where two would overlap.
"""

from pathlib import Path

import numpy as np
from matplotlib import patheffects
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latents.config import ROWS, Study
from latents.report import style
from latents.report.summarize import read_csv, trustworthiness


def apart(places: np.ndarray, least: float) -> np.ndarray:
    """Points [n, 2] moved as little as it takes until they are at least so far apart, or nearly."""
    for _ in range(200):
        between = places[:, None] - places
        distance = np.linalg.norm(between, axis=2) + np.eye(len(places)) * least
        push = np.clip(least - distance, 0, None) / np.maximum(distance, 1e-9)
        places = places + 0.25 * (between * push[:, :, None]).sum(1)
    return places


def draw(study: Study, results: Path, dataset: str) -> Figure:
    figure = style.figure(2.3)
    grid = figure.subplots(2, 4).ravel()
    for axes, row in zip(grid[:-1], ROWS, strict=True):
        path = results / "tsne" / dataset / f"{row}.csv"
        lines = np.array(read_csv(path, ("label", "x", "y"), lambda line: (int(line["label"]), float(line["x"]), float(line["y"]))))
        trusted = trustworthiness(results, dataset, row)  # and the points are whole
        points, labels = lines[:, 1:], lines[:, 0].astype(int)
        colors = np.array(style.CLASSES)[labels]
        axes.scatter(*points.T, s=max(0.8, min(6, 4000 / len(points))), c=colors, linewidths=0, rasterized=True)
        medians = np.array([np.median(points[labels == label], axis=0) for label in np.unique(labels)])
        wide = max(np.ptp(points[:, 0]), 1.6 * np.ptp(points[:, 1]))  # of the panel, about, in the points' units
        for label, (x, y) in zip(np.unique(labels), apart(medians, 0.07 * wide), strict=True):
            halo = [patheffects.withStroke(linewidth=2, foreground="white")]
            axes.text(x, y, str(label), ha="center", va="center", fontsize=8.5, weight="bold", path_effects=halo)
        axes.set_title(f"{style.name(row)}, $T = {trusted:.3f}$")
        axes.margins(0.03)
        axes.set(xticks=[], yticks=[])
        axes.set_aspect("equal", adjustable="datalim")  # a unit is as long either way, and the panel is filled
        axes.spines[:].set(visible=True, color="0.7")
    handles = [Line2D([], [], linestyle="", marker="o", markersize=4, color=color) for color in style.CLASSES]
    grid[-1].axis("off")
    names, title = style.class_names(study, dataset), style.dataset_name(study, dataset)
    legend = grid[-1].legend(handles, names, loc="center", labelspacing=0, fontsize=6.5, handletextpad=0.1, title=title)
    legend.set_in_layout(False)  # long names are not to make the other panels smaller
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
