"""Loss by epoch of every trained method, on train (solid) and on val (dashed), one line for each seed.

    python -m latents.report.figures.curves --config config/study.yaml --results results \
        --dataset cifar10 --note "" --out figures/curves_cifar10.pdf

Reads curves/<dataset>/<method>/seed<k>.csv. The objectives differ, so each panel has a scale of its own.
"""

from math import ceil
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from latents.cli import Problem
from latents.methods import METHODS
from latents.record import again
from latents.report import style
from latents.report.read import number, read_csv
from latents.study import Run, Study

LOSSES = ("loss", "val_loss")
SIDE_BY_SIDE = 6  # panels, at most

Line = tuple[int, float | None, float | None]  # epoch, losses


def read_curve(path: Path) -> list[Line]:
    """The lines of a curve. Raises Problem when it is missing or broken, or lacks a loss."""

    def read(line: dict[str, str]) -> Line:
        return int(line["epoch"]), *(number(line[name]) if line[name] else None for name in LOSSES)

    lines = read_csv(path, ("epoch", *LOSSES), read)
    for column, name in enumerate(LOSSES, 1):
        if all(line[column] is None for line in lines):
            raise Problem(f"{path}: holds no {name}; {again(path)}")
    return lines


def plot(axes: Axes, lines: list[Line], color: str) -> None:
    """Both losses of one run. A marker keeps a single epoch visible: full is train, empty is validation."""
    marker = "o" if len(lines) == 1 else ""
    for column, look, dot in ((1, "-", "full"), (2, "--", "none")):
        points = [(line[0], line[column]) for line in lines if line[column] is not None]
        values = zip(*points, strict=True)
        axes.plot(*values, look, color=color, marker=marker, markersize=4, fillstyle=dot)
    if len(lines) == 1:
        axes.set_xlim(0, 2)
        axes.margins(y=0.3)  # whole markers


def draw(study: Study, results: Path, dataset: str) -> Figure:
    methods = study.trained_methods
    rows = max(1, ceil(len(methods) / SIDE_BY_SIDE))
    columns = max(1, ceil(len(methods) / rows))
    figure = style.figure(1.2 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    panels = grid.ravel()
    for axes, method in zip(panels, methods, strict=False):
        for seed in study.dataset(dataset).seeds:
            path = results / "curves" / f"{Run(dataset, method, seed)}.csv"
            plot(axes, read_curve(path), METHODS[method].color)
        axes.set_title(style.name(method))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_xlabel("epoch")
        axes.yaxis.set_major_locator(MaxNLocator(4))
    for axes in panels[len(methods) :]:
        axes.axis("off")
    for axes in grid[:, 0]:
        axes.set_ylabel(f"{style.dataset_name(study, dataset)}\nloss")
    handles = [Line2D([], [], color="black", linestyle=look) for look in ("-", "--")]
    # a loss falls: this corner is free
    panels[0].legend(handles, ["train", "val"], loc="upper right", handlelength=1.6, borderaxespad=0)
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
