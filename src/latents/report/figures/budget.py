"""What a longer training changes: accuracy of the better probe, and error of the reconstruction, by the
operations of the training.

    python -m latents.report.figures.budget --config config/study.yaml --results results \
        --note "" --out figures/budget.pdf

Reads summary.csv; a row for each data set with a sweep `budget`, whose variants are trainings of other
lengths, each with its own schedule. The last point of a line is the method itself. Dashed: PCA, the baseline.
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from latents.cli import Problem
from latents.methods import METHODS
from latents.report import style
from latents.report.figures import BUDGET, budgeted
from latents.report.summarize import Estimates, read_summary
from latents.study import Study

BASELINE, PETA = "pca", 1e15
PANELS = {"accuracy_best": "better probe, test accuracy (%)", "mae": "test MAE"}


def line(axes: Axes, found: Estimates, dataset: str, method: str, runs: list[str], metric: str) -> None:
    """One method: its variants and itself, in the order of their operations, with its name at the end."""
    look = METHODS[method]
    points = sorted(
        (found[dataset, run, "train_flops", "-"].mean / PETA, found[dataset, run, metric, "test"])
        for run in runs
    )
    operations, values = zip(*points, strict=True)
    axes.errorbar(
        operations,
        [value.mean for value in values],
        yerr=style.spans(values),
        fmt=f"{look.marker}-",
        color=look.color,
        markersize=4,
        elinewidth=0.8,
        capsize=1.5,
    )
    axes.annotate(
        style.name(method),
        (operations[-1], values[-1].mean),
        (6, 0),
        textcoords="offset points",
        color=look.color,
        fontsize=7,
        va="center",
    )


def mark_baseline(axes: Axes, value: float) -> None:
    """A dashed line with its name at the right end."""
    axes.axhline(value, color="black", linestyle="--", linewidth=0.8)
    axes.annotate(
        style.name(BASELINE),
        (1, value),
        (-2, 2),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        fontsize=7,
        ha="right",
    )


def draw(study: Study, results: Path) -> Figure:
    found, datasets = read_summary(results / "summary.csv"), budgeted(study)
    if not datasets:
        raise Problem(
            f"{study.study}: this figure shows the sweep {BUDGET!r}, which the study does not have; "
            "draw another figure, or add it"
        )
    figure = style.figure(2.1 * len(datasets))
    panels = figure.subplots(len(datasets), len(PANELS), squeeze=False)
    for row, dataset in zip(panels, datasets, strict=True):
        name = style.dataset_name(study, dataset)
        for axes, (metric, title) in zip(row, PANELS.items(), strict=True):
            for method, sweeps in study.dataset(dataset).sweeps.items():
                if BUDGET in sweeps:
                    variants = [f"{method}.{BUDGET}.{name}" for name in sweeps[BUDGET].variants]
                    line(axes, found, dataset, method, [*variants, method], metric)
            if BASELINE in study.methods:
                mark_baseline(axes, found[dataset, BASELINE, metric, "test"].mean)
            axes.set_xscale("log")
            axes.set_xlim(right=axes.get_xlim()[1] * 2.2)  # room for the names
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set(title=title, xlabel=f"operations of a training on {name}, $10^{{15}}$ FLOP")
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
