"""What makes training fast, where the time of a step goes, and how time and memory grow; from the benchmark.

    python -m latents.report.figures.speed --config config/study.yaml --results reference \
        --note "" --out figures/speed.pdf

Reads the first record in bench/: the committed one in the paper, a user's own in results/ (`make bench`).
"""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latents.methods import METHODS
from latents.report import style
from latents.report.read import benchmarks
from latents.report.speed import read, throughput
from latents.study import Study

# name in the record: as printed; each is added to those before it, and the last, "ours", is the precision
LEVERS = {
    "ordinary": "ordinary",
    "in memory": "in memory",
    "channels last": "channels last",
    "allocator": "malloc",
}
STAGES = {  # name in the record: as printed, colour, hatch
    "data": ("views", "0.15", ""),
    "forward": ("forward", "0.75", ""),
    "backward": ("backward", "0.5", ""),
    "optimizer": ("optimiser", "1.0", "////"),
}
TSNE = {  # name in the record: as printed, marker and line, colour, filling
    "tsne": ("openTSNE", "o-", "#0072b2", None),
    "tsne_other": ("scikit-learn", "s--", "black", "white"),
}
LEGEND = {"loc": "upper left", "fontsize": 7, "borderpad": 0, "labelspacing": 0.2}


def levers(axes: Axes, bench: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    """How many times as fast as the ordinary loop, one lever added after the other."""
    names = LEVERS | {"ours": bench["precision"]}
    for line in lines:
        look = METHODS[line["method"]]
        ratios = [1.0, *(line["over_ordinary"][name] for name in names if name != "ordinary")]
        axes.plot(range(len(names)), ratios, marker=look.marker, color=look.color, label=look.label)
    axes.set_xticks(range(len(names)), names.values(), rotation=45, ha="right", rotation_mode="anchor")
    # room for the legend, here and below
    axes.set(title="ratio to ordinary loop", ylim=(0, 1.5 * axes.dataLim.y1))
    axes.legend(handlelength=1.2, **LEGEND)


def stages(axes: Axes, bench: dict[str, Any], methods: list[str]) -> None:
    """The parts of a training step."""
    left = [0.0] * len(methods)
    for stage, (label, color, hatch) in STAGES.items():
        shares = [100 * bench["peak"]["methods"][method]["shares"][stage] for method in methods]
        axes.barh(
            range(len(methods)),
            shares,
            0.7,
            left=left,
            color=color,
            hatch=hatch,
            edgecolor="black",
            linewidth=0.4,
            label=label,
        )
        left = [a + b for a, b in zip(left, shares, strict=True)]
    axes.set_yticks(range(len(methods)), [METHODS[method].label for method in methods])
    axes.set(title="share of a step (%)", xlim=(0, 100), ylim=(len(methods) - 0.5, -0.5))
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    below = {"loc": "upper center", "bbox_to_anchor": (0.3, -0.13), "ncols": 2}
    axes.legend(handlelength=1, columnspacing=0.8, **LEGEND | below)


def epochs(axes: Axes, growth: list[dict[str, Any]]) -> None:
    """Seconds of an epoch of `guided`, and peak memory, by the number of images."""
    thousands, look = [one["images"] / 1000 for one in growth], METHODS["guided"]
    seconds = axes.plot(thousands, [one["seconds"] for one in growth], "D-", color=look.color, label="epoch")
    memory, gib = axes.twinx(), [one["gib"] for one in growth]
    memory.plot(thousands, gib, "s--", color="black", markerfacecolor="white", label="memory")
    memory.spines["right"].set_visible(True)
    memory.grid(False)
    memory.set(ylabel="GiB", ylim=(0, 2.2 * max(gib)))
    axes.set(title=look.label, xlabel="thousand images", ylabel="seconds", ylim=(0, 1.4 * axes.dataLim.y1))
    axes.legend(handles=[*seconds, *memory.lines], handlelength=1.6, **LEGEND)


def embeddings(axes: Axes, growth: dict[str, list[dict[str, Any]]]) -> None:
    """Seconds of t-SNE by the number of points, of two libraries."""
    for kind, (label, look, color, filling) in TSNE.items():
        points, seconds = ([one[key] for one in growth[kind]] for key in ("points", "seconds"))
        axes.loglog(points, seconds, look, color=color, label=label, markerfacecolor=filling or color)
    axes.set(title="t-SNE (s)", xlabel="points", ylim=(None, 6 * axes.dataLim.y1))
    axes.legend(handlelength=1.6, **LEGEND)


def draw(study: Study, results: Path) -> Figure:
    bench = read(benchmarks(results)[0])
    dataset = throughput(bench)[-1]["dataset"]  # the last of the table of data sets: steps are timed on it
    lines = [line for line in throughput(bench) if line["dataset"] == dataset]
    figure = style.figure(1.85)
    panels = figure.subplots(1, 4, width_ratios=[1.35, 1, 1, 0.9])
    levers(panels[0], bench, lines)
    stages(panels[1], bench, [line["method"] for line in lines])
    epochs(panels[2], bench["growth"]["images"])
    embeddings(panels[3], bench["growth"])
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
