"""Mean absolute error of the reconstructed test images by method; dashed: PCA, the baseline; dotted: what
needs no code. In brackets, where a method has a decoder of its own: the error of the decoder that is trained
on its frozen code.

    python -m latents.report.figures.reconstruction_error --config config/study.yaml --results results \
        --note "" --out figures/reconstruction_error.pdf

Reads summary.csv.
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from latents.methods import METHODS
from latents.metrics import fixed
from latents.report import scales, style
from latents.report.summarize import Estimates, read_summary
from latents.study import Study

BASELINE = "pca"


def bar(axes: Axes, summary: Estimates, dataset: str, method: str, place: int) -> None:
    """The error of one method, with its value."""
    error, frozen = (summary[dataset, method, metric, "test"] for metric in ("mae", "mae_frozen"))
    look = METHODS[method]
    other = f" ({fixed(frozen.mean, 4)})" if frozen != error else ""
    axes.barh(place, error.mean, 0.68, color="white", edgecolor=look.color, hatch=look.hatch, linewidth=0.9)
    axes.errorbar(error.mean, place, xerr=style.spans([error]), color="black", capsize=2, elinewidth=0.9)
    axes.annotate(
        f"{fixed(error.mean, 4)}{other}",
        (error.high or error.mean, place),
        (4, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        bbox={"color": "white", "pad": 0.5},
    )


def draw(study: Study, results: Path) -> Figure:
    summary = read_summary(results / "summary.csv")
    figure = style.figure(style.height(0.85, 0.2, study.methods))
    panels = figure.subplots(1, len(study.datasets), sharey=True, squeeze=False)[0]
    yardsticks = []
    for axes, dataset in zip(panels, study.datasets, strict=True):
        for place, method in enumerate(study.methods):
            bar(axes, summary, dataset, method, place)
        if BASELINE in study.methods:
            baseline = summary[dataset, BASELINE, "mae", "test"].mean
            axes.axvline(baseline, color="black", linestyle="--", linewidth=0.8)
        yardsticks.append(scales.mark_yardsticks(axes, summary, dataset))
        axes.margins(x=0.05)
        axes.set_xlim(left=0)
        axes.grid(False, axis="y")
        axes.set(xlabel=f"test MAE on {style.dataset_name(study, dataset)}, pixels in [0, 1]")
        style.list_methods(axes, study.methods)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    scales.spread(figure, yardsticks)
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
