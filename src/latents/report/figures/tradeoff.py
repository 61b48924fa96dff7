"""What a code is good for: test accuracy of the better probe against the mean absolute error of reconstructed
test images; both axes are logarithmic in the error, and up and left is better. Each method shows its
intervals over seeds and a test image decoded from its code (lower right: the original); thin lines join
variants of a method; dotted: errors of very simple reconstructions.

    python -m latents.report.figures.tradeoff --config config/study.yaml --results results \
        --note "" --out figures/tradeoff.pdf

Reads summary.csv, and the pictures of first seeds. The error is that of the method's own decoder, or where it
has none of the decoder that is trained on its frozen codes. Labels are placed where they cover least.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from msgspec.structs import replace

from latents.methods import METHODS
from latents.report import scales, sheets, style
from latents.report.figures import SWEEP, TRADE, TRADED, ablated
from latents.report.figures.reconstructions import chosen
from latents.report.labels import PICTURE, Label, picture, place_labels
from latents.report.summarize import Estimate, Estimates, read_summary
from latents.study import Study

METRICS = ("mae", "accuracy_best")  # across, up
PICTURED = -2  # which of the images shown, in the order of their classes: an eight, a ship


class Curve(NamedTuple):
    """Variants of one method that differ in one setting."""

    method: str
    sweep: str
    key: str
    label: str  # of the last point, with its value
    factor: float = 1  # from the setting to the printed value
    to_main: bool = False  # whether the method itself is the last point


CURVES = (
    Curve(TRADED, SWEEP, "gradient_weight", "gradient weight {}"),
    Curve("guided", "labels", "labels", "{} % of labels", 100, to_main=True),
    Curve("supcon", "labels", "labels", "{} %", 100, to_main=True),
    Curve("split", "size", "contrastive_size", "{} contrastive"),
    Curve("joint", "weight", "reconstruction_weight", "L1 weight {}"),
)


def place(found: Estimates, dataset: str, run: str) -> list[Estimate]:
    """Error and accuracy of a run."""
    return [found[dataset, run, metric, "test"] for metric in METRICS]


def point(axes: Axes, found: Estimates, dataset: str, run: str, **look: object) -> tuple[float, float]:
    """A method or variant with its intervals; returns where it is."""
    x, y = place(found, dataset, run)
    method = METHODS[run.partition(".")[0]]
    axes.errorbar(
        x.mean,
        y.mean,
        xerr=style.spans([x]),
        yerr=style.spans([y]),
        fmt=method.marker,
        color=method.color,
        markersize={"*": 8, "p": 6.5}.get(method.marker, 5.5),  # of like areas
        markeredgewidth=0.8,
        elinewidth=0.8,
        zorder=4,
        **look,
    )
    return x.mean, y.mean


def variants(study: Study, dataset: str, curve: Curve) -> list[tuple[float, str]]:
    """Value of the setting and run of each variant that is on the curve, in order of the value.

    The method itself is among them where its variants differ from it in nothing else.
    """
    if curve.sweep == SWEEP:  # an ablation varies other settings too
        settings = ablated(study, dataset, curve.method, curve.key)
    else:
        sweep = study.dataset(dataset).sweeps.get(curve.method, {}).get(curve.sweep)
        runs = [f"{curve.method}.{curve.sweep}.{name}" for name in (sweep.variants if sweep else ())]
        settings = {run: study.settings(dataset, run) for run in runs}
    main = study.settings(dataset, curve.method)
    if settings and all(
        replace(one, **{curve.key: getattr(main, curve.key)}) == main for one in settings.values()
    ):
        settings[curve.method] = main
    found = sorted((getattr(one, curve.key), run) for run, one in settings.items())
    return [*found, (1.0, curve.method)] if found and curve.to_main else found


def draw_curve(axes: Axes, study: Study, found: Estimates, dataset: str, curve: Curve) -> list[Label]:
    """One curve; returns the labels of its ends."""
    chosen = variants(study, dataset, curve)
    if len(chosen) < 2:
        return []
    places = [[one.mean for one in place(found, dataset, run)] for _, run in chosen]
    color = METHODS[curve.method].color
    axes.plot(*zip(*places, strict=True), color=color, linewidth=0.8, marker="o", markersize=2.2, zorder=3)
    first, last = f"{curve.factor * chosen[0][0]:g}", f"{curve.factor * chosen[-1][0]:g}"
    ends = [(places[0], curve.label.format(first))] if curve.to_main else []
    ends = ends or [(places[0], first), (places[-1], curve.label.format(last))]
    dark = to_hex(0.7 * np.array(to_rgb(color)))  # small letters in a light colour are hard to read
    return [Label(*where, words, 6.5, dark) for where, words in ends]


def pictures(study: Study, results: Path, dataset: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """A test image, uint8 [h, w, c], and the same as it is decoded from the code of each method."""
    place = chosen(study, results, dataset)[PICTURED]
    found = sheets.read_pictures(study, results, dataset, "originals", "reconstructions")
    return found[0]["originals"][place], [one["reconstructions"][place] for one in found]


def panel(
    axes: Axes, study: Study, found: Estimates, dataset: str, images: tuple[np.ndarray, list[np.ndarray]]
) -> tuple[list[Label], list[Annotation]]:
    """One data set; returns the labels that are to be placed, and the names of yardsticks to be spread."""
    (original, decoded), labels = images, []
    yardsticks = scales.mark_yardsticks(axes, found, dataset)
    for method, image in zip(study.methods, decoded, strict=True):
        where = point(axes, found, dataset, method)
        labels.append(Label(*where, style.name(method), 8, picture=image, edge=METHODS[method].color))
    trade = study.dataset(dataset).sweeps.get(TRADED, {}).get(TRADE)
    for name in trade.variants if trade else ():
        where = point(axes, found, dataset, f"{TRADED}.{TRADE}.{name}", markerfacecolor="white")
        labels.append(Label(*where, f"{style.name(TRADED)}, {name}", 8))
    for curve in CURVES:
        if curve.method in study.methods:
            labels += draw_curve(axes, study, found, dataset, curve)
    scale(axes)
    axes.set(xlabel="test MAE, pixels in [0, 1]")
    axes.set_title(style.dataset_name(study, dataset), loc="left", fontweight="bold")
    corner = {"xy": (1, 0), "xycoords": "axes fraction"}
    axes.add_artist(picture(original, "black", xybox=(-4, 4), box_alignment=(1, 0), **corner))
    axes.annotate(
        "original", xytext=(-4, PICTURE + 8), textcoords="offset points", ha="right", fontsize=6.5, **corner
    )
    return labels, yardsticks


def scale(axes: Axes) -> None:
    """Both axes logarithmic in the error: the distance from 100 % up, MAE across; round values as ticks."""
    axes.set_xscale("log")
    axes.margins(0.1, 0.08)
    scales.accuracy_scale(axes)
    low, high = axes.get_xlim()
    axes.set_xlim(low * (low / high) ** 0.12)  # room for a name left of the leftmost point
    scales.ticks(axes.xaxis, [base * 10.0**power for power in (-3, -2, -1) for base in (1, 2, 3, 5)])


def draw(study: Study, results: Path) -> Figure:
    found = read_summary(results / "summary.csv")
    figure = style.figure(4.0)
    panels = figure.subplots(1, len(study.datasets), squeeze=False)[0]
    labels = [
        panel(axes, study, found, dataset, pictures(study, results, dataset))
        for axes, dataset in zip(panels, study.datasets, strict=True)
    ]
    panels[0].set_ylabel("test accuracy of the better probe (%)")
    scales.spread(figure, [yardsticks for _, yardsticks in labels])
    for axes, (some, _) in zip(panels, labels, strict=True):
        place_labels(axes, some)
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
