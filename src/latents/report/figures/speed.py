"""What makes training fast, where a step's time goes, and how time and memory grow; from the benchmark.

    python -m latents.report.figures.speed --config config/study.yaml --results reference --note "" --out figures/speed.pdf

Reads bench.json: the one of the committed benchmark in the paper, a user's own in results/ (`make bench`).
"""

from pathlib import Path

from matplotlib.figure import Figure

from latents import record
from latents.config import Study
from latents.report import style

LEVERS = {"ordinary": "ordinary", "in memory": "in memory", "channels last": "channels\nlast", "allocator": "malloc", "ours": "ours"}
STAGES = {"data": ("data, views", "0.15", ""), "forward": ("forward", "0.75", ""), "backward": ("backward", "0.5", ""), "optimizer": ("optimiser", "1.0", "////")}


def draw(study: Study, results: Path) -> Figure:
    bench = record.read_json(results / "bench.json")
    figure = style.figure(2.1)
    levers, stages, epochs, tsne = figure.subplots(1, 4, width_ratios=[1.35, 1.1, 1, 1])
    lines = [line for line in bench["throughput"] if line["dataset"] == "cifar10"]
    for line in lines:
        look = style.ROWS[line["method"]]
        levers.plot(range(len(LEVERS)), [1.0, *(line["over_ordinary"][name] for name in LEVERS if name != "ordinary")],
                    marker=look.marker, color=look.color, label=look.name)  # fmt: skip
    levers.set_xticks(range(len(LEVERS)), LEVERS.values(), rotation=45, ha="right", rotation_mode="anchor")
    levers.set(title="CIFAR-10: over the ordinary loop", ylim=(0, None))
    levers.legend(loc="upper left", fontsize=7, handlelength=1.2, borderpad=0, labelspacing=0.2)

    left = [0.0] * len(lines)
    for stage, (label, color, hatch) in STAGES.items():
        shares = [100 * bench["peak"]["methods"][line["method"]]["shares"][stage] for line in lines]
        stages.bar(range(len(lines)), shares, 0.7, bottom=left, color=color, hatch=hatch, edgecolor="black", linewidth=0.4, label=label)
        left = [a + b for a, b in zip(left, shares, strict=True)]
    stages.set_xticks(range(len(lines)), [style.ROWS[line["method"]].name for line in lines], rotation=45, ha="right", rotation_mode="anchor")
    stages.set(title="share of a step (%)", ylim=(0, 100))
    stages.grid(False, axis="x")
    handles, labels = stages.get_legend_handles_labels()
    stages.legend(handles[::-1], labels[::-1], loc="lower center", fontsize=7, frameon=True, framealpha=0.9, handlelength=1, borderpad=0.3, labelspacing=0.2)

    growth = bench["growth"]
    thousands = [one["images"] / 1000 for one in growth["images"]]
    epochs.plot(thousands, [one["seconds"] for one in growth["images"]], "D-", color=style.ROWS["guided"].color, label="epoch (s)")
    epochs.plot(thousands, [10 * one["gib"] for one in growth["images"]], "s--", color="black", markerfacecolor="white", label="memory (GiB / 10)")
    epochs.set(title="Guided", xlabel="thousand images", ylim=(0, None))
    epochs.legend(loc="upper left", fontsize=7, handlelength=1.6, borderpad=0, labelspacing=0.2)
    for kind, name, marker in (("tsne", "openTSNE", "o-"), ("tsne_other", "scikit-learn", "s--")):
        filling = {"markerfacecolor": "white"} if kind == "tsne_other" else {}
        tsne.loglog([one["points"] for one in growth[kind]], [one["seconds"] for one in growth[kind]], marker,
                    color="#0072b2" if kind == "tsne" else "black", label=name, **filling)  # fmt: skip
    tsne.set(title="t-SNE (s)", xlabel="points")
    tsne.legend(loc="upper left", fontsize=7, handlelength=1.6, borderpad=0, labelspacing=0.2)
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
