"""CIFAR-10: how the size of the code and the weight of the gradients change what a code is good for.

    python -m latents.report.figures.sweeps --config config/study.yaml --results results --note "" --out figures/sweeps.pdf

Reads summary.csv. The first three panels have the variants of a sweep `ablation` that differ from its `full` in the code's size alone, one
line a row. The last has those of `autoencoder-plus` that differ in gradient weight and linear path alone, with the row itself and the
variants of its sweep `trade` at their own budgets.
"""

import itertools
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from msgspec.structs import replace

from latents.config import Problem, Study
from latents.report import style
from latents.report.summarize import read_summary
from latents.settings import Strict

SWEEP, TRADE, TRADED = "ablation", "trade", "autoencoder-plus"
SIZES = {"mae": "test MAE", "accuracy_mlp": "test accuracy (%)", "effective_rank": "effective rank"}


def variants(study: Study, dataset: str, row: str, *keys: str) -> dict[str, Strict]:
    """Run -> settings, of a row's sweep `ablation`: `full`, and what differs from it in these keys alone."""
    runs = {name: f"{row}.{SWEEP}.{name}" for name in study.datasets[dataset].sweeps[row][SWEEP].variants}
    if "full" not in runs:
        raise Problem(f"{dataset}: the sweep {SWEEP!r} of {row} has no variant `full`, with which the others are compared; add `full: {{}}`")
    full = study.method(dataset, runs["full"])
    found = {run: study.method(dataset, run) for run in runs.values()}
    return {run: settings for run, settings in found.items() if replace(settings, **{key: getattr(full, key) for key in keys}) == full}


def draw(study: Study, results: Path) -> Figure:
    dataset = "cifar10"
    found, sweeps = read_summary(results / "summary.csv"), study.dataset(dataset).sweeps
    ablated = [row for row in sweeps if SWEEP in sweeps[row]]
    sized = {row: {s.code_size: run for run, s in variants(study, dataset, row, "code_size").items()} for row in ablated if hasattr(study.method(dataset, row), "code_size")}
    sizes = sorted({size for runs in sized.values() for size in runs})
    figure = style.figure(1.75)
    *panels, trade = figure.subplots(1, 4, width_ratios=[1, 1, 1, 1.25])
    for axes, (metric, title) in zip(panels, SIZES.items(), strict=True):
        for row, runs in sized.items():
            look = style.ROWS[row]
            for probe, line in ((metric, "-"), *([("accuracy_linear", ":")] if metric == "accuracy_mlp" else [])):
                axes.plot(sorted(runs), [found[dataset, runs[size], probe, "test"].mean for size in sorted(runs)], line, marker=look.marker,
                          color=look.color, markerfacecolor="white" if line == ":" else look.color, label=look.name if line == "-" else None)  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, map(str, sizes))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set(title=title, xlabel="numbers in the code")
    panels[2].plot(sizes, sizes, color="0.6", linewidth=0.7, zorder=0)  # all directions used alike
    panels[2].set_yscale("log", base=2)
    panels[2].set_yticks(sizes, map(str, sizes))
    panels[2].yaxis.set_minor_locator(NullLocator())
    if sized:
        panels[0].legend(loc="best", fontsize=7, handlelength=1.4, borderpad=0.2)

    look = style.ROWS[TRADED]
    weighed = variants(study, dataset, TRADED, "gradient_weight", "linear_path") if TRADED in ablated else {}
    for linear, line, label in ((True, "-", "gradient weights"), (False, "--", "no linear paths")):
        runs = sorted((s.gradient_weight, run) for run, s in weighed.items() if s.linear_path == linear)
        if runs:
            places = [[found[dataset, run, metric, "test"].mean for _, run in runs] for metric in ("mae", "accuracy_best")]
            trade.plot(*places, line, marker=look.marker, color=look.color, markerfacecolor=look.color if linear else "white", label=label)
            told: dict[tuple[float, float], tuple[list[float], list[str]]] = {}  # points that lie on one another are named together
            for (weight, _), *place in zip(runs, *places, strict=True):
                told.setdefault((round(place[0], 3), round(place[1])), (place, []))[1].append(f"{weight:g}")
            for place, weights in told.values():
                trade.annotate(", ".join(weights), place, (5, -3), textcoords="offset points", fontsize=7)
    ends = {TRADED: "the row"} | {f"{TRADED}.{TRADE}.{name}": name for name in (sweeps[TRADED][TRADE].variants if TRADE in sweeps.get(TRADED, {}) else {})}
    for (run, label), marker in zip(ends.items(), itertools.cycle("*PXD"), strict=False):
        x, y = (found[dataset, run, metric, "test"] for metric in ("mae", "accuracy_best"))
        trade.errorbar(x.mean, y.mean, xerr=style.spans([x]), yerr=style.spans([y]), fmt=marker, markersize=6, color="black", elinewidth=0.8, capsize=1.5)
        trade.annotate(label, (x.mean, y.mean), (0, 6) if run == TRADED else (-6, -3), textcoords="offset points", fontsize=7, ha="center" if run == TRADED else "right")
    trade.margins(0.15, 0.4)  # room for the legend above: the best of both is free as long as one is paid for with the other
    trade.set(title="accuracy (%) against MAE", xlabel="test MAE")
    if weighed:
        trade.legend(loc="upper left", fontsize=7, handlelength=1.2, borderpad=0, labelspacing=0.2)
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
