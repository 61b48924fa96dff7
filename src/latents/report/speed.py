r"""The paper's table and macros of the benchmark, from its record.

    python -m latents.report.speed --bench reference/bench.json --out paper/generated

Writes table_speed.tex, and macros_speed.tex, which defines fact@bench/<name> (in the paper: \bench{<name>}) as plain
text (see `facts`). Takes a second.
"""

import argparse
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from latents import config, record
from latents.config import DATASETS
from latents.report import style
from latents.report.tex import definitions, escape, tabular


def throughput(bench: dict[str, Any]) -> list[dict[str, Any]]:
    """The record's lines, MNIST's before CIFAR-10's as everywhere."""
    return sorted(bench["throughput"], key=lambda line: list(DATASETS).index(line["dataset"]))


def datasets(bench: dict[str, Any]) -> list[str]:
    """The printed names, in the order of `throughput`: the benchmark's data are the real ones, in the demo's paper too."""
    return [style.PUBLISHED[name] for name in dict.fromkeys(line["dataset"] for line in throughput(bench))]


def speeds(bench: dict[str, Any]) -> dict[str, list[str]]:
    """For each method, data set after data set: images a second of the ordinary loop and of ours (medians), and their ratio."""
    lines: dict[str, list[str]] = {}
    for line in throughput(bench):
        found = line["images_per_second"]
        cells = [f"{found[line['best_ordinary']]['median']:.0f}", f"{found['ours']['median']:.0f}", f"{line['over_ordinary']['ours']:.1f}"]
        lines.setdefault(line["method"], []).extend(cells)
    return lines


def table(bench: dict[str, Any]) -> str:
    """As `speeds`, with the ratio's range over rounds."""
    ranges: dict[str, list[str]] = {}
    for line in throughput(bench):
        rounds = [line["images_per_second"][name]["rounds"] for name in (line["best_ordinary"], "ours")]
        ratios = [b / a for a, b in zip(*rounds, strict=True)]
        ranges.setdefault(line["method"], []).append(f"{{{min(ratios):.1f} to {max(ratios):.1f}}}")
    body = []
    for method, cells in speeds(bench).items():
        triples = [cells[k : k + 3] for k in range(0, len(cells), 3)]
        body.append([style.name(method), *(text for triple, span in zip(triples, ranges[method], strict=True) for text in (*triple, span))])
    heads = ["ordinary", "ours", "ratio", "range"]
    names = datasets(bench)
    return tabular(["", *heads * len(names)], [("", body)], [(name, len(heads)) for name in names])


def facts(bench: dict[str, Any]) -> dict[str, str]:
    """Everything of the benchmark that the paper's sentences name."""
    peak, sprint, growth, flow = (bench[name] for name in ("peak", "sprint", "growth", "workflow"))
    methods = peak["methods"]
    found = {name: str(bench[name]) for name in ("processor", "threads", "precision")} | {"rounds": str(bench["bench"]["rounds"])}
    found["source-hash"] = bench["source_sha256"][:12]
    for line in throughput(bench):
        found[f"ratio/{line['dataset']}/{line['method']}"] = f"{line['over_ordinary']['ours']:.1f}"
    for method, one in methods.items():
        found[f"peak-share/{method}"] = f"{100 * one['conv_peak_share']:.0f}"
        found[f"data-share/{method}"] = f"{100 * one['shares']['data']:.1f}"
    seeds = sprint["seeds"]
    tsne, tsne_other = ({one["points"]: one["seconds"] for one in growth[kind]} for kind in ("tsne", "tsne_other"))
    both = max(tsne.keys() & tsne_other.keys())  # the most points that both libraries were given
    trained, whole = (sum(values) for values in ([one["parts"]["training"] for one in seeds], [one["seconds"] for one in seeds]))
    epochs = sprint["changes"]["optimisation"]["epochs"]
    return found | {
        "peak": f"{peak['fastest'] / 1e9:.0f}", "overhead": f"{100 * bench['overhead_share']:.1f}", "memory": f"{math.ceil(10 * bench['peak_gib']) / 10:.1f}",
        "figure": f"{flow['figure']['median']:.1f}", "noop": f"{flow['noop']['median']:.1f}",
        "sprint-seconds": f"{sprint['seconds']:.0f}", "sprint-accuracy": f"{sprint['accuracy']:.2f}", "sprint-split": sprint["split"],
        "sprint-seeds": str(len(seeds)), "sprint-epochs": str(epochs), "sprint-start": f"{100 * (1 - trained / whole):.1f}",
        "sprint-validation": f"{100 * methods['guided']['validation'] * epochs * len(seeds) / whole:.1f}",
        "width-images": f"{growth['widths'][0]['images']:,}", "widths": listed(str(one["widths"][-1]) for one in growth["widths"]),
        "width-seconds": listed(f"{one['seconds']:.0f}" for one in growth["widths"]),
        "tsne-points": f"{both:,}", "tsne-seconds": f"{tsne[both]:.0f}", "tsne-other-seconds": f"{tsne_other[both]:.0f}",
    }  # fmt: skip


def listed(texts: Iterable[str]) -> str:
    """a, b and c."""
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("bench", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    bench = record.read_json(arguments.bench)
    record.write_text(arguments.out / "table_speed.tex", table(bench))
    record.write_text(arguments.out / "macros_speed.tex", definitions({f"fact@bench/{name}": escape(text) for name, text in facts(bench).items()}))


if __name__ == "__main__":
    main()
