"""Axes of errors and accuracies, logarithmic in the error, with round ticks; lines at the yardsticks."""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, NullLocator

from latents.metrics import YARDSTICKS
from latents.report.summarize import Estimates

ROUND = (*range(0, 80, 10), 80, 85, 90, 92, 94, 96, 97, 98, 99, 99.5, 99.7, 99.9)  # ticks, in percent
COARSE = (10, 30, 50, 70, 80, 90, 95, 98, 99, 99.5, 99.9)  # the same for low axes
GAP = 8.5  # points between the names of yardsticks


def ticks(axis: Axis, values: Iterable[float]) -> None:
    """Of these values, those within the limits as the axis's ticks, written as they are."""
    low, high = sorted(axis.get_view_interval())
    axis.set_ticks([value for value in values if low <= value <= high])
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def accuracy_scale(axes: Axes, values: Iterable[float] = ROUND) -> None:
    """A vertical axis of percentages, logarithmic in the distance from 100 %, with ticks at round values.

    Accuracies above 99.95 %, and ends of intervals beyond, are drawn there.
    """
    axes.set_yscale(
        "function", functions=(lambda y: -np.log10(np.maximum(100 - y, 0.05)), lambda v: 100 - 10**-v)
    )
    axes.autoscale_view(scalex=False)  # the limits may have been asked for, and so settled, on another scale
    ticks(axes.yaxis, values)


def mark_yardsticks(axes: Axes, found: Estimates, dataset: str) -> list[Annotation]:
    """A dotted line at each yardstick of reconstruction, MAE from left to right; returns their names above.

    One that the median image beats is left out: it is no scale. Older runs have none.
    """
    measured = {name: found.get((dataset, f"yardsticks.{name}", "mae", "test")) for name in YARDSTICKS}
    errors = {name: one.mean for name, one in measured.items() if one}
    names, line = [], {"color": "0.4", "linestyle": ":", "linewidth": 0.8}
    for name, error in errors.items():
        if error <= errors["median-image"]:
            axes.axvline(error, zorder=0.5, **line)
            written = axes.annotate(
                YARDSTICKS[name].short,
                (error, 1),
                (0, 7),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "relpos": (0, 0), "shrinkA": 0, "shrinkB": 0} | line,
                rotation=45,
                rotation_mode="anchor",
                fontsize=6.5,
                color="0.3",
            )
            names.append(written)
    return names


def spread(figure: Figure, panels: Iterable[list[Annotation]]) -> None:
    """Move the names of each panel's yardsticks apart, GAP points from neighbour to neighbour."""
    for _ in range(2):  # the layout, which settles at its second pass, decides where they are
        figure.draw_without_rendering()
    for some in panels:
        names = sorted(some, key=lambda name: name.xy[0])
        places = [name.axes.transData.transform((name.xy[0], 1))[0] / figure.dpi * 72 for name in names]
        up, down = list(places), list(places)
        for k in range(1, len(places)):
            up[k] = max(up[k], up[k - 1] + GAP)
            down[-k - 1] = min(down[-k - 1], down[-k] - GAP)
        for name, place, low, high in zip(names, places, down, up, strict=True):
            name.set_position(((low + high) / 2 - place, 7))
