"""Test accuracy against the share of the labels: the linear probe on each code; methods that see labels,
retrained on that share; and, where run, the contrastive encoder fine-tuned on it. The scale is logarithmic in
the share of wrong classes.

    python -m latents.report.figures.few_labels --config config/study.yaml --results results \
        --note "" --out figures/few_labels.pdf

Reads summary.csv. A method that sees labels is shown by its classification head: trained on the share alone
where a sweep `labels` has that, else on all labels. The dotted lines are linear probes on its codes from all
labels, where the encoder has seen more labels than the probe. The dashed line is the classification head of a
sweep `finetuned`, which starts from another method's encoder, in that one's colour.
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from latents.cli import Problem
from latents.methods import METHODS
from latents.report import scales, style
from latents.report.summarize import Estimate, Estimates, read_summary
from latents.study import Study

ANEW, TUNED = "labels", "finetuned"  # sweeps; their variants are named by the share in percent: 1pct, 10pct
Points = dict[float, Estimate]  # by share of the labels in percent


def trained(
    study: Study, found: Estimates, dataset: str, method: str, name: str, shares: list[str]
) -> Points:
    """Accuracy of the classification head of a sweep's variants, each trained on one of the shares (percent).

    Raises Problem where a variant sees another share than its name says.
    """
    sweep = study.dataset(dataset).sweeps.get(method, {}).get(name)
    points = {}
    for share in (share for share in shares if sweep and f"{share}pct" in sweep.variants):
        variant = f"{method}.{name}.{share}pct"
        seen = study.settings(dataset, variant).labels
        if seen != float(share) / 100:
            raise Problem(
                f"{dataset}/{variant}: sees a share of {seen:g} of the labels; "
                "name the variant by its percent"
            )
        points[float(share)] = found[dataset, variant, "accuracy_head", "test"]
    return points


def line(axes: Axes, points: Points, method: str, beside: float, **look: object) -> None:
    """One method over shares in percent times `beside`, with intervals where there are several seeds."""
    axes.errorbar(
        [share * beside for share in points],
        [e.mean for e in points.values()],
        yerr=style.spans(points.values()),
        color=METHODS[method].color,
        marker=METHODS[method].marker,
        elinewidth=0.8,
        capsize=1.5,
        **look,
    )


def panel(axes: Axes, study: Study, found: Estimates, dataset: str) -> None:
    """One data set, methods a little beside one another."""
    shares = [f"{100 * share:g}" for share in sorted(study.measurement.label_shares)]
    metrics = {float(share): f"accuracy_linear_{share}pct" for share in shares} | {100.0: "accuracy_linear"}
    for place, method in enumerate(study.methods):
        beside = 1.05 ** (place - len(study.methods) // 2)
        probed = {share: found[dataset, method, metric, "test"] for share, metric in metrics.items()}
        if METHODS[method].sees_labels:
            line(axes, probed, method, beside, linestyle=":", markerfacecolor="white", alpha=0.6)
            anew = trained(study, found, dataset, method, ANEW, shares)
            if whole := found.get((dataset, method, "accuracy_head", "test")):
                anew[100.0] = whole
            line(axes, anew, method, beside, label=style.name(method))
        else:
            line(axes, probed, method, beside, label=style.name(method))
        if tuned := trained(study, found, dataset, method, TUNED, shares):
            start = study.settings(dataset, f"{method}.{TUNED}.{min(tuned):g}pct").start or method
            label = f"Fine-tuned{style.LABELS_USED}"
            line(axes, tuned, start, beside, linestyle="--", markerfacecolor="white", label=label)
    axes.set(title=style.dataset_name(study, dataset), xlabel="labels (%)", xscale="log")
    axes.set_xticks([*map(float, shares), 100], [*shares, "100"])
    axes.minorticks_off()
    scales.accuracy_scale(axes, scales.COARSE)


def draw(study: Study, results: Path) -> Figure:
    found = read_summary(results / "summary.csv")
    tuned = any(TUNED in sweeps for one in study.datasets.values() for sweeps in one.sweeps.values())
    figure = style.figure(max(1.75, round(0.21 + 0.22 * (len(study.methods) + tuned), 2)))  # the legend fits
    panels = figure.subplots(1, len(study.datasets), squeeze=False)[0]
    for axes, dataset in zip(panels, study.datasets, strict=True):
        panel(axes, study, found, dataset)
    panels[0].set_ylabel("test accuracy (%)")
    shown = [axes.get_legend_handles_labels() for axes in panels]
    entries = {label: handle for one in shown for handle, label in zip(*one, strict=True)}
    if any(METHODS[method].sees_labels for method in study.methods):
        dotted = Line2D([], [], linestyle=":", color="0.4", marker="o", markerfacecolor="white")
        entries["encoder saw\nall labels"] = dotted
    figure.legend([*entries.values()], [*entries], loc="outside right center", handletextpad=0.3)
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
