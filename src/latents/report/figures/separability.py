"""How the classes lie in the test codes: four measures by method, and alignment against uniformity.

    python -m latents.report.figures.separability --config config/study.yaml --results results \
        --note "" --out figures/separability.pdf

Reads summary.csv.
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from latents.datasets import DATASETS
from latents.methods import METHODS
from latents.metrics import metric
from latents.report import style
from latents.report.summarize import Estimates, read_summary
from latents.study import Study

MEASURES = ("silhouette", "scatter_ratio", "knn_purity", "effective_rank")
BAND = 0.6  # of the distance between two methods: the data sets lie within


def by_method(axes: Axes, study: Study, found: Estimates, measure: str) -> None:
    """One measure: methods from top to bottom, one marker for each data set."""
    n = len(study.datasets)
    for place, dataset in enumerate(study.datasets):
        estimates = [found[dataset, method, measure, "test"] for method in study.methods]
        axes.errorbar(
            [e.mean for e in estimates],
            [row + (place - (n - 1) / 2) * BAND / n for row in range(len(estimates))],
            xerr=style.spans(estimates),
            fmt=DATASETS[dataset].marker,
            color="black",
            markerfacecolor=DATASETS[dataset].filling,
            elinewidth=0.8,
            capsize=1.5,
            markersize=4,
            label=style.dataset_name(study, dataset),
        )
    axes.set(xlabel=metric(measure).label)
    style.list_methods(axes, study.methods)
    if measure == "scatter_ratio":
        axes.set_xscale("log")  # it differs by orders of magnitude between methods
        axes.xaxis.set_major_formatter("{x:g}")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))


def plane(axes: Axes, study: Study, found: Estimates, dataset: str) -> None:
    """Alignment against uniformity of one data set; both are better the lower they are."""
    for method in study.methods:
        x, y = (found[dataset, method, measure, "test"] for measure in ("uniformity", "alignment"))
        look = METHODS[method]
        axes.errorbar(
            x.mean,
            y.mean,
            xerr=style.spans([x]),
            yerr=style.spans([y]),
            fmt="none",
            ecolor=look.color,
            alpha=0.5,
            elinewidth=0.8,
            zorder=1,
        )
        axes.plot(x.mean, y.mean, look.marker, color=look.color, markersize=5.5, label=style.name(method))
    axes.set(xlabel="uniformity", ylabel="alignment")
    axes.margins(0.12)
    axes.set_title(style.dataset_name(study, dataset))


def draw(study: Study, results: Path) -> Figure:
    found = read_summary(results / "summary.csv")
    figure = style.figure(style.height(1.3, 0.34, study.methods))
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.0, 1.05))
    panels = upper.subplots(1, len(MEASURES), sharey=True)
    for axes, measure in zip(panels, MEASURES, strict=True):
        by_method(axes, study, found, measure)
    handles, labels = panels[0].get_legend_handles_labels()
    upper.legend(handles, labels, loc="outside upper center", ncols=len(handles), handletextpad=0.2)
    planes = lower.subplots(1, len(study.datasets), squeeze=False)[0]
    for axes, dataset in zip(planes, study.datasets, strict=True):
        plane(axes, study, found, dataset)
    style.letter([*panels, *planes])
    lower.legend(*planes[0].get_legend_handles_labels(), loc="outside right center", handletextpad=0.2)
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
