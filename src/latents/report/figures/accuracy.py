"""Test accuracy of every method under each probe, with intervals over seeds where there are several.

    python -m latents.report.figures.accuracy --config config/study.yaml --results results \
        --note "" --out figures/accuracy.pdf

Reads summary.csv.
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from latents.metrics import PROBES
from latents.report import style
from latents.report.summarize import Estimates, probes_in, read_summary
from latents.study import Study

BAND = 0.8  # of the distance between two methods: the probes lie within


def panel(axes: Axes, study: Study, summary: Estimates, dataset: str) -> None:
    """One data set: methods from top to bottom, below one another the probes of each."""
    probes = probes_in(summary)
    for number, probe in enumerate(probes):
        look, beside = PROBES[probe], (number - (len(probes) - 1) / 2) * BAND / len(probes)
        # a method without a classification head has no such number
        found = {
            place + beside: estimate
            for place, method in enumerate(study.methods)
            if (estimate := summary.get((dataset, method, f"accuracy_{probe}", "test")))
        }
        axes.errorbar(
            [e.mean for e in found.values()],
            list(found),
            xerr=style.spans(found.values()),
            fmt=look.marker,
            color=look.color,
            markerfacecolor="white" if number % 2 else look.color,
            elinewidth=0.8,
            capsize=1.5,
            label=look.label,
        )


def draw(study: Study, results: Path) -> Figure:
    summary = read_summary(results / "summary.csv")
    figure = style.figure(style.height(0.55, 0.2, study.methods))
    panels = figure.subplots(1, len(study.datasets), sharey=True, squeeze=False)[0]
    for axes, dataset in zip(panels, study.datasets, strict=True):
        panel(axes, study, summary, dataset)
        for edge in range(1, len(study.methods)):
            axes.axhline(edge - 0.5, color="0.88", linewidth=0.5)
        axes.grid(False, axis="y")
        axes.set(title=style.dataset_name(study, dataset), xlabel="test accuracy (%)")
        style.list_methods(axes, study.methods)
        axes.xaxis.set_major_locator(MaxNLocator(6))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=len(handles), handletextpad=0.2, borderpad=0
    )
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
