"""What makes training fast, where a step's time goes, and how time and memory grow; from the benchmark.

    python -m latents.report.figures.speed --config config/study.yaml --results reference --note "" --out figures/speed.pdf

Reads bench.json: the one of the committed benchmark in the paper, a user's own in results/ (`make bench`).
"""

from pathlib import Path

from matplotlib.figure import Figure

from latents import record
from latents.config import Study
from latents.report import style

# name in the record: as printed; each is added to those before it, and the last, "ours", is the precision
LEVERS = {"ordinary": "ordinary", "in memory": "in memory", "channels last": "channels last", "allocator": "malloc"}
STAGES = {"data": ("views", "0.15", ""), "forward": ("forward", "0.75", ""), "backward": ("backward", "0.5", ""), "optimizer": ("optimiser", "1.0", "////")}


def draw(study: Study, results: Path) -> Figure:
    bench = record.read_json(results / "bench.json")
    figure = style.figure(1.85)
    levers, stages, epochs, tsne = figure.subplots(1, 4, width_ratios=[1.35, 1, 1, 0.9])
    names = LEVERS | {"ours": bench["precision"]}
    lines = [line for line in bench["throughput"] if line["dataset"] == "cifar10"]
    for line in lines:
        look = style.ROWS[line["method"]]
        levers.plot(range(len(names)), [1.0, *(line["over_ordinary"][name] for name in names if name != "ordinary")],
                    marker=look.marker, color=look.color, label=look.name)  # fmt: skip
    levers.set_xticks(range(len(names)), names.values(), rotation=45, ha="right", rotation_mode="anchor")
    levers.set(title="times the ordinary loop (CIFAR-10)", ylim=(0, 1.5 * levers.dataLim.y1))  # room for the legend, here and below
    levers.legend(loc="upper left", fontsize=7, handlelength=1.2, borderpad=0, labelspacing=0.2)

    left = [0.0] * len(lines)
    for stage, (label, color, hatch) in STAGES.items():
        shares = [100 * bench["peak"]["methods"][line["method"]]["shares"][stage] for line in lines]
        stages.barh(range(len(lines)), shares, 0.7, left=left, color=color, hatch=hatch, edgecolor="black", linewidth=0.4, label=label)
        left = [a + b for a, b in zip(left, shares, strict=True)]
    stages.set_yticks(range(len(lines)), [style.ROWS[line["method"]].name for line in lines])
    stages.set(title="share of a step (%)", xlim=(0, 100), ylim=(len(lines) - 0.5, -0.5))
    stages.grid(False, axis="y")
    stages.tick_params(axis="y", length=0)
    stages.legend(loc="upper center", bbox_to_anchor=(0.3, -0.13), ncols=2, fontsize=7, handlelength=1, columnspacing=0.8, borderpad=0, labelspacing=0.2)

    growth = bench["growth"]
    thousands = [one["images"] / 1000 for one in growth["images"]]
    seconds = epochs.plot(thousands, [one["seconds"] for one in growth["images"]], "D-", color=style.ROWS["guided"].color, label="epoch")
    memory = epochs.twinx()
    memory.plot(thousands, [one["gib"] for one in growth["images"]], "s--", color="black", markerfacecolor="white", label="memory")
    memory.spines["right"].set_visible(True)
    memory.grid(False)
    memory.set(ylabel="GiB", ylim=(0, 2.2 * max(one["gib"] for one in growth["images"])))
    epochs.set(title="Guided", xlabel="thousand images", ylabel="seconds", ylim=(0, 1.4 * epochs.dataLim.y1))
    epochs.legend(handles=[*seconds, *memory.lines], loc="upper left", fontsize=7, handlelength=1.6, borderpad=0, labelspacing=0.2)
    for kind, name, marker in (("tsne", "openTSNE", "o-"), ("tsne_other", "scikit-learn", "s--")):
        filling = {"markerfacecolor": "white"} if kind == "tsne_other" else {}
        tsne.loglog([one["points"] for one in growth[kind]], [one["seconds"] for one in growth[kind]], marker,
                    color="#0072b2" if kind == "tsne" else "black", label=name, **filling)  # fmt: skip
    tsne.set(title="t-SNE (s)", xlabel="points", ylim=(None, 6 * tsne.dataLim.y1))
    tsne.legend(loc="upper left", fontsize=7, handlelength=1.6, borderpad=0, labelspacing=0.2)
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
