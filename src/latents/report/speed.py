"""The paper's table and macros of the benchmark, from its record.

    python -m latents.report.speed --bench reference/bench.json --out paper/generated

Writes table_speed.tex, and macros_speed.tex, which defines fact@bench/<name> as plain text (see `facts`). Takes a second.
"""

import argparse
from pathlib import Path
from typing import Any

from latents import config, record
from latents.report import style
from latents.report.tables import escape, tabular


def table(bench: dict[str, Any]) -> str:
    """A line for each method; images a second of both loops and their ratio, with its range over rounds, for each data set."""
    lines: dict[str, list[str]] = {}
    for line in bench["throughput"]:
        speeds = line["images_per_second"]
        ordinary, ours = speeds[line["best_ordinary"]], speeds["ours"]
        ratios = [b / a for a, b in zip(ordinary["rounds"], ours["rounds"], strict=True)]
        cells = [f"{ordinary['median']:.0f}", f"{ours['median']:.0f}", f"{line['over_ordinary']['allocator']:.1f}", f"{line['over_ordinary']['ours']:.1f}"]
        lines.setdefault(line["method"], []).extend([*cells, f"{{{min(ratios):.1f} to {max(ratios):.1f}}}"])
    datasets = list(dict.fromkeys(line["dataset"] for line in bench["throughput"]))
    heads = ["ordinary", "ours", "float32", "ratio", "range"]
    over = [({"mnist": "MNIST", "cifar10": "CIFAR-10"}[name], len(heads)) for name in datasets]  # the real ones, in the demo's paper too
    return tabular(["", *heads * len(datasets)], [("", [[style.name(method), *cells] for method, cells in lines.items()])], over)


def facts(bench: dict[str, Any]) -> dict[str, str]:
    """Everything of the benchmark that the paper's sentences name."""
    peak, sprint, growth, flow = (bench[name] for name in ("peak", "sprint", "growth", "workflow"))
    methods = peak["methods"]
    found = {name: str(bench[name]) for name in ("processor", "threads", "precision")} | {"rounds": str(bench["bench"]["rounds"])}
    for line in bench["throughput"]:
        found[f"ratio/{line['dataset']}/{line['method']}"] = f"{line['over_ordinary']['ours']:.1f}"
        found[f"workers/{line['dataset']}/{line['method']}"] = line["best_ordinary"].split()[1]
    for method, one in methods.items():
        found[f"peak-share/{method}"] = f"{100 * one['conv_peak_share']:.0f}"
        found[f"data-share/{method}"] = f"{100 * one['shares']['data']:.1f}"
    parts, sizes = sprint["seeds"], bench["growth"]["images"]
    both = min(len(growth["tsne"]), len(growth["tsne_other"])) - 1
    found |= {
        "peak": f"{peak['fastest'] / 1e9:.0f}", "figure": f"{flow['figure']['median']:.1f}", "noop": f"{flow['noop']['median']:.1f}",
        "paper": f"{flow['paper']['median']:.0f}", "start": f"{flow['start']['median']:.1f}", "overhead": f"{100 * bench['overhead_share']:.1f}",
        "memory": f"{bench['peak_gib']:.1f}",
        "sprint-seconds": f"{sprint['seconds']:.0f}", "sprint-accuracy": f"{sprint['accuracy']:.2f}", "sprint-split": sprint["split"],
        "sprint-seeds": str(len(parts)), "sprint-epochs": str(sprint["changes"]["optimisation"]["epochs"]),
        "sprint-outside": f"{100 * (1 - sum(one['parts']['training'] for one in parts) / sum(one['seconds'] for one in parts)):.0f}",
        "growth-images": f"{sizes[0]['images']} to {sizes[-1]['images']}", "growth-seconds": f"{sizes[0]['seconds']:.0f} to {sizes[-1]['seconds']:.0f}",
        "growth-memory": f"{sizes[0]['gib']:.1f} to {sizes[-1]['gib']:.1f}",
        "tsne-points": str(growth["tsne"][both]["points"]), "tsne-seconds": f"{growth['tsne'][both]['seconds']:.0f}",
        "tsne-other": f"{growth['tsne_other'][both]['seconds']:.0f}", "tsne-most": str(growth["tsne"][-1]["points"]),
        "tsne-most-seconds": f"{growth['tsne'][-1]['seconds']:.0f}",
    }  # fmt: skip
    return found


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("bench", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    bench = record.read_json(arguments.bench)
    record.write_text(arguments.out / "table_speed.tex", table(bench))
    lines = (rf"\expandafter\def\csname fact@bench/{name}\endcsname{{{escape(text)}}}" + "\n" for name, text in facts(bench).items())
    record.write_text(arguments.out / "macros_speed.tex", "".join(lines))


if __name__ == "__main__":
    main()
