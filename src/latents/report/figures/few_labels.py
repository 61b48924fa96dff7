"""Test accuracy against the share of the labels: the linear probe on each code, and the rows with labels trained anew on that share.

    python -m latents.report.figures.few_labels --config config/study.yaml --results results \
        --note "" --out figures/few_labels.pdf

Reads summary.csv. Guided and SupCon are shown by their own head, trained on the share alone where a sweep `labels` did so; the dotted lines are linear
probes on their codes that were learnt from all labels: the encoder has seen what the probe has not.
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latents.config import ROWS, ROWS_WITH_LABELS, Problem, Study
from latents.report import style
from latents.report.summarize import Estimate, read_summary

SWEEP = "labels"  # its variants are named by their share in percent: 1pct, 10pct


def line(axes: Axes, points: dict[float, Estimate], row: str, label: str | None, **look: object) -> None:
    """One row over shares in percent, a little beside the other rows, with intervals where there are several seeds."""
    values, beside = list(points.values()), 1.05 ** (ROWS.index(row) - len(ROWS) // 2)
    axes.errorbar([share * beside for share in points], [e.mean for e in values], yerr=style.spans(values), color=style.ROWS[row].color,
                  marker=style.ROWS[row].marker, elinewidth=0.8, capsize=1.5, label=label, **look)  # fmt: skip


def draw(study: Study, results: Path) -> Figure:
    found = read_summary(results / "summary.csv")
    shares = [f"{100 * share:g}" for share in sorted(study.measurement.label_shares)]
    figure = style.figure(1.75)
    panels = figure.subplots(1, len(study.datasets), squeeze=False)[0]
    for axes, (dataset, settings) in zip(panels, study.datasets.items(), strict=True):
        for row in ROWS:
            whole = found[dataset, row, "accuracy_linear", "test"]
            probed = {float(share): found[dataset, row, f"accuracy_linear_{share}pct", "test"] for share in shares} | {100.0: whole}
            if row not in ROWS_WITH_LABELS:
                line(axes, probed, row, style.name(row))
                continue
            line(axes, probed, row, None, linestyle=":", markerfacecolor="white", alpha=0.6)
            swept = settings.sweeps.get(row, {}).get(SWEEP)
            variants = [share for share in shares if swept and f"{share}pct" in swept.variants]
            for share in variants:
                if (seen := study.method(dataset, f"{row}.{SWEEP}.{share}pct").labels) != float(share) / 100:
                    raise Problem(f"{dataset}/{row}.{SWEEP}.{share}pct: sees a share of {seen:g} of the labels; name the variant by its percent")
            anew = {float(share): found[dataset, f"{row}.{SWEEP}.{share}pct", "accuracy_head", "test"] for share in variants}
            line(axes, anew | {100.0: found[dataset, row, "accuracy_head", "test"]}, row, style.name(row))
        axes.set(title=style.dataset_name(study, dataset), xlabel="labels (%)", xscale="log")
        axes.set_xticks([*map(float, shares), 100], [*shares, "100"])
        axes.minorticks_off()
    panels[0].set_ylabel("test accuracy (%)")
    handles, labels = panels[0].get_legend_handles_labels()
    dotted = Line2D([], [], linestyle=":", color="0.4", marker="o", markerfacecolor="white")
    figure.legend([*handles, dotted], [*labels, "encoder saw\nall labels"], loc="outside right center", handletextpad=0.3)
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
