"""How the classes lie in the test codes: four measures by row, and alignment against uniformity.

    python -m latents.report.figures.separability --config config/study.yaml --results results \
        --note "" --out figures/separability.pdf

Reads summary.csv.
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from latents.config import ROWS, Study
from latents.report import style
from latents.report.summarize import Estimates, read_summary

MEASURES = {
    "silhouette": "silhouette", "scatter_ratio": "scatter ratio", "knn_purity": "kNN purity", "effective_rank": "effective rank",
}  # fmt: skip
MARKERS = {"mnist": ("o", "black"), "cifar10": ("s", "white")}  # of the data sets: shape and filling


def by_row(axes: Axes, study: Study, found: Estimates, metric: str) -> None:
    """One measure: rows from top to bottom, one marker for each data set."""
    for place, dataset in enumerate(study.datasets):
        marker, filling = MARKERS[dataset]
        estimates = [found[dataset, row, metric, "test"] for row in ROWS]
        heights = [row + (place - 0.5) * 0.3 for row in range(len(ROWS))]
        label = style.dataset_name(study, dataset)
        axes.errorbar([e.mean for e in estimates], heights, xerr=style.spans(estimates), fmt=marker, color="black",
                      markerfacecolor=filling, elinewidth=0.8, capsize=1.5, markersize=4, label=label)  # fmt: skip
    axes.set(xlabel=MEASURES[metric], ylim=(len(ROWS) - 0.5, -0.5))
    axes.set_yticks(range(len(ROWS)), map(style.name, ROWS))
    axes.tick_params(axis="y", length=0)
    if metric == "scatter_ratio":
        axes.set_xscale("log")  # from rows that barely part the classes to rows that part little else
        axes.xaxis.set_major_formatter("{x:g}")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))


def plane(axes: Axes, found: Estimates, dataset: str) -> None:
    """Alignment against uniformity of one data set; both are better the lower they are."""
    for row in ROWS:
        x, y, look = found[dataset, row, "uniformity", "test"], found[dataset, row, "alignment", "test"], style.ROWS[row]
        axes.errorbar(x.mean, y.mean, xerr=style.spans([x]), yerr=style.spans([y]), fmt="none", ecolor=look.color, alpha=0.5, elinewidth=0.8, zorder=1)
        axes.plot(x.mean, y.mean, look.marker, color=look.color, markersize=5.5, label=style.name(row))
    axes.set(xlabel="uniformity", ylabel="alignment")
    axes.margins(0.12)


def draw(study: Study, results: Path) -> Figure:
    found = read_summary(results / "summary.csv")
    figure = style.figure(3.0)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.0, 1.05))
    panels = upper.subplots(1, len(MEASURES), sharey=True)
    for axes, metric in zip(panels, MEASURES, strict=True):
        by_row(axes, study, found, metric)
    upper.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, handletextpad=0.2)
    planes = lower.subplots(1, len(study.datasets), squeeze=False)[0]
    for axes, dataset in zip(planes, study.datasets, strict=True):
        plane(axes, found, dataset)
        axes.set_title(style.dataset_name(study, dataset))
    lower.legend(*planes[0].get_legend_handles_labels(), loc="outside right center", handletextpad=0.2)
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
