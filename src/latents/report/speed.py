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

FLOAT32 = "allocator"  # the last lever but the precision: both loops in float32
COLUMNS = ["ordinary", "ours", "float32", "ratio", "range"]


def throughput(bench: dict[str, Any]) -> list[dict[str, Any]]:
    """The record's lines, MNIST's before CIFAR-10's as everywhere."""
    return sorted(bench["throughput"], key=lambda line: list(DATASETS).index(line["dataset"]))


def datasets(bench: dict[str, Any]) -> list[str]:
    """The printed names, in the order of `throughput`: the benchmark's data are the real ones, in the demo's paper too."""
    return [style.PUBLISHED[name] for name in dict.fromkeys(line["dataset"] for line in throughput(bench))]


def speeds(bench: dict[str, Any]) -> dict[str, list[str]]:
    """For each method, data set after data set, what COLUMNS names: images a second (medians), and medians of the ratios within a round, the last with its range."""
    lines: dict[str, list[str]] = {}
    for line in throughput(bench):
        found, over = line["images_per_second"], line["over_ordinary"]
        ordinary, ours = found[line["best_ordinary"]], found["ours"]
        ratios = [b / a for a, b in zip(ordinary["rounds"], ours["rounds"], strict=True)]
        cells = [f"{ordinary['median']:.0f}", f"{ours['median']:.0f}", f"{over[FLOAT32]:.1f}", f"{over['ours']:.1f}", f"{min(ratios):.1f} to {max(ratios):.1f}"]
        lines.setdefault(line["method"], []).extend(cells)
    return lines


def table(bench: dict[str, Any]) -> str:
    """`speeds` for the paper."""
    body = [[style.name(method), *(f"{{{cell}}}" if " to " in cell else cell for cell in cells)] for method, cells in speeds(bench).items()]
    names = datasets(bench)
    return tabular(["", *COLUMNS * len(names)], [("", body)], [(name, len(COLUMNS)) for name in names])


def facts(bench: dict[str, Any]) -> dict[str, str]:
    """Everything of the benchmark that the paper's sentences name."""
    peak, sprint, growth, flow = (bench[name] for name in ("peak", "sprint", "growth", "workflow"))
    methods = peak["methods"]
    found = {name: str(bench[name]) for name in ("processor", "threads", "precision")} | {"rounds": str(bench["bench"]["rounds"])}
    found["source-hash"] = bench["source_sha256"][:12]
    for line in throughput(bench):
        found |= {f"{name}/{line['dataset']}/{line['method']}": f"{line['over_ordinary'][lever]:.1f}" for name, lever in (("ratio", "ours"), ("float32", FLOAT32))}
    for method, one in methods.items():
        found[f"peak-share/{method}"] = f"{100 * one['conv_peak_share']:.0f}"
        found[f"data-share/{method}"] = f"{100 * one['shares']['data']:.1f}"
    seeds = sprint["seeds"]
    tsne, tsne_other = ({one["points"]: one["seconds"] for one in growth[kind]} for kind in ("tsne", "tsne_other"))
    both = sorted(tsne.keys() & tsne_other.keys())
    trained, whole = sum(one["parts"]["training"] for one in seeds), sum(one["seconds"] for one in seeds)
    epochs = sprint["changes"]["optimisation"]["epochs"]
    return found | {
        "peak": f"{peak['fastest'] / 1e9:.0f}", "overhead": f"{100 * bench['overhead_share']:.1f}", "memory": f"{math.ceil(10 * bench['peak_gib']) / 10:.1f}",
        "figure": f"{flow['figure']['median']:.1f}", "noop": f"{flow['noop']['median']:.1f}",
        "sprint-seconds": f"{sprint['seconds']:.0f}", "sprint-accuracy": f"{sprint['accuracy']:.2f}", "sprint-split": sprint["split"],
        "sprint-seeds": str(len(seeds)), "sprint-epochs": str(epochs), "sprint-start": f"{100 * (1 - trained / whole):.1f}",
        "sprint-validation": f"{100 * methods['guided']['validation'] * epochs * len(seeds) / whole:.1f}",
        "width-images": f"{growth['widths'][0]['images']:,}", "widths": listed(str(one["widths"][-1]) for one in growth["widths"]),
        "width-seconds": listed(f"{one['seconds']:.0f}" for one in growth["widths"]),
        "tsne-points": listed(f"{n:,}" for n in both), "tsne-seconds": listed(f"{tsne[n]:.0f}" for n in both), "tsne-other-seconds": listed(f"{tsne_other[n]:.0f}" for n in both),
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
