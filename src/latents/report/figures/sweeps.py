"""How a code changes with its size and with the weight of the gradient target.

    python -m latents.report.figures.sweeps --config config/study.yaml --results results \
        --note "" --out figures/sweeps.pdf

Reads summary.csv; of the first data set with a sweep `ablation`, else with a sweep `trade`. The first
panels have the variants of an ablation that differ from its `full` in the code's size alone, one line for
each method. The last has those of `autoencoder-plus` that differ in gradient weight and linear path alone,
with the method itself and the variants of its sweep `trade`, which have budgets of their own.
"""

import itertools
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from latents.cli import Problem
from latents.methods import METHODS
from latents.report import style
from latents.report.figures import SWEEP, TRADE, TRADED, ablated, swept
from latents.report.summarize import Estimates, read_summary
from latents.study import Study

SIZES = {"mae": "test MAE", "accuracy_mlp": "test accuracy (%)", "effective_rank": "effective rank"}

Runs = dict[str, dict[int, str]]  # method -> size of the code -> variant


def shown(study: Study) -> str:
    """The data set that is shown. Raises Problem where none has such sweeps."""
    if not (names := swept(study)):
        raise Problem(
            f"{study.study}: this figure shows the sweeps {SWEEP!r} and {TRADE!r}, which the study does not "
            "have; draw another figure, or add one of them"
        )
    return next(
        (name for name in names if any(SWEEP in some for some in study.dataset(name).sweeps.values())),
        names[0],
    )


def sized(study: Study, dataset: str) -> Runs:
    """The variants by the size of their code, of methods where that can be set."""
    return {
        method: {
            settings.code_size: name
            for name, settings in ablated(study, dataset, method, "code_size").items()
        }
        for method, sweeps in study.dataset(dataset).sweeps.items()
        if SWEEP in sweeps and "code_size" in type(study.settings(dataset, method)).__struct_fields__
    }


def by_size(axes: Axes, found: Estimates, dataset: str, runs: Runs, metric: str) -> None:
    """One metric by the size of the code; beside the MLP probe the linear one, dotted."""
    lines = {metric: "-"} | ({"accuracy_linear": ":"} if metric == "accuracy_mlp" else {})
    for (method, chosen), (name, line) in itertools.product(runs.items(), lines.items()):
        look = METHODS[method]
        axes.plot(
            sorted(chosen),
            [found[dataset, chosen[size], name, "test"].mean for size in sorted(chosen)],
            line,
            marker=look.marker,
            color=look.color,
            markerfacecolor="white" if line == ":" else look.color,
            label=look.label if line == "-" else None,
        )
    sizes = sorted({size for chosen in runs.values() for size in chosen})
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, map(str, sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(title=SIZES[metric], xlabel="numbers in the code")
    if metric == "effective_rank":
        axes.plot(sizes, sizes, color="0.6", linewidth=0.7, zorder=0)  # all directions used alike
        axes.set_yscale("log", base=2)
        axes.set_yticks(sizes, map(str, sizes))
        axes.yaxis.set_minor_locator(NullLocator())


def weighted(axes: Axes, study: Study, found: Estimates, dataset: str) -> None:
    """Accuracy against MAE of the variants by gradient weight, with and without linear paths."""
    look = METHODS[TRADED]
    runs = ablated(study, dataset, TRADED, "gradient_weight", "linear_path")
    for linear, line, label in ((True, "-", "gradient weights"), (False, "--", "no linear paths")):
        chosen = sorted((s.gradient_weight, name) for name, s in runs.items() if s.linear_path == linear)
        if not chosen:
            continue
        places = [
            [found[dataset, name, metric, "test"].mean for _, name in chosen]
            for metric in ("mae", "accuracy_best")
        ]
        filling = look.color if linear else "white"
        axes.plot(*places, line, marker=look.marker, color=look.color, markerfacecolor=filling, label=label)
        # points that lie on one another are named together
        points: dict[tuple[float, float], tuple[list[float], list[str]]] = {}
        for (weight, _), *place in zip(chosen, *places, strict=True):
            near = round(place[0], 3), round(place[1])
            points.setdefault(near, (place, []))[1].append(f"{weight:g}")
        for place, weights in points.values():
            axes.annotate(", ".join(weights), place, (5, -3), textcoords="offset points", fontsize=7)
    if runs:
        axes.legend(loc="upper left", fontsize=7, handlelength=1.2, borderpad=0, labelspacing=0.2)


def traded(axes: Axes, study: Study, found: Estimates, dataset: str) -> None:
    """The method itself and the variants of its sweep `trade`, each at its own budget."""
    sweep = study.dataset(dataset).sweeps.get(TRADED, {}).get(TRADE)
    ends = {TRADED: "main"}
    ends |= {f"{TRADED}.{TRADE}.{name}": name for name in (sweep.variants if sweep else ())}
    for (run, label), marker in zip(ends.items(), itertools.cycle("*PXD"), strict=False):
        x, y = (found[dataset, run, metric, "test"] for metric in ("mae", "accuracy_best"))
        axes.errorbar(
            x.mean,
            y.mean,
            xerr=style.spans([x]),
            yerr=style.spans([y]),
            fmt=marker,
            markersize=6,
            color="black",
            elinewidth=0.8,
            capsize=1.5,
        )
        beside, side = ((0, 6), "center") if run == TRADED else ((-6, -3), "right")
        axes.annotate(label, (x.mean, y.mean), beside, textcoords="offset points", fontsize=7, ha=side)


def draw(study: Study, results: Path) -> Figure:
    found, dataset = read_summary(results / "summary.csv"), shown(study)
    runs = sized(study, dataset)
    shows_trade = {SWEEP, TRADE} & study.dataset(dataset).sweeps.get(TRADED, {}).keys()
    figure = style.figure(1.75)
    metrics = list(SIZES) if runs else []
    widths = [1] * len(metrics) + [1.25] * bool(shows_trade)
    panels = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=False):
        by_size(axes, found, dataset, runs, metric)
    if runs:
        panels[0].legend(loc="best", fontsize=7, handlelength=1.4, borderpad=0.2)
    if shows_trade:
        axes = panels[-1]
        weighted(axes, study, found, dataset)
        traded(axes, study, found, dataset)
        axes.margins(0.15, 0.4)  # room for the legend above: one of both is gained at the cost of the other
        axes.set(title="test accuracy (%)", xlabel="test MAE")
    style.letter(panels)
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
