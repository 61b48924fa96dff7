"""Test accuracy of every row under each probe, both data sets, with intervals over seeds where there are several.

    python -m latents.report.figures.accuracy --config config/study.yaml --results results \
        --note "" --out figures/accuracy.pdf

Reads summary.csv.
"""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from latents.config import ROWS, Study
from latents.report import style
from latents.report.summarize import read_summary

PROBES = {  # metric: name, marker, colour
    "accuracy_linear": ("linear probe", "o", "#0072b2"),
    "accuracy_mlp": ("MLP probe", "s", "#d55e00"),
    "accuracy_knn": ("cosine kNN", "^", "#009e73"),
    "accuracy_head": ("own head", "D", "#000000"),
}


def draw(study: Study, results: Path) -> Figure:
    summary = read_summary(results / "summary.csv")
    figure = style.figure(1.95)
    panels = figure.subplots(1, len(study.datasets), sharey=True, squeeze=False)[0]
    for axes, dataset in zip(panels, study.datasets, strict=True):
        for probe, (metric, (label, marker, color)) in enumerate(PROBES.items()):
            # a row that has no head has no such number
            found = {place: summary.get((dataset, row, metric, "test")) for place, row in enumerate(ROWS)}
            found = {place + (probe - 1.5) * 0.2: estimate for place, estimate in found.items() if estimate}
            filling = "white" if probe % 2 else color
            axes.errorbar([e.mean for e in found.values()], list(found), xerr=style.spans(found.values()), fmt=marker, color=color,
                          markerfacecolor=filling, elinewidth=0.8, capsize=1.5, label=label)  # fmt: skip
        for edge in range(1, len(ROWS)):
            axes.axhline(edge - 0.5, color="0.88", linewidth=0.5)
        axes.grid(False, axis="y")
        axes.set(title=style.dataset_name(study, dataset), xlabel="test accuracy (%)", ylim=(len(ROWS) - 0.5, -0.5))
        axes.set_yticks(range(len(ROWS)), map(style.name, ROWS))
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(6))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(PROBES), handletextpad=0.2, borderpad=0)
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
