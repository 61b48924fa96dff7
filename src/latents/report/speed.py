r"""The paper's table and macros of the benchmark, from its record.

    python -m latents.report.speed --bench reference/bench.json --out paper/generated

Writes table_speed.tex, and macros_speed.tex, which defines fact@bench/<name> (in the paper:
\bench{<name>}) as plain text (see `facts`). Takes a second.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta

from latents import cli, record
from latents.bench.settings import METHODS
from latents.datasets import DATASETS
from latents.report import style
from latents.report.read import read_record
from latents.report.tex import definitions, escape, tabular

FLOAT32 = "allocator"  # the last lever but the precision: both loops in float32
COLUMNS = ["ordinary", "ours", "float32", "ratio", "range"]

Bench = dict[str, Any]


def part(**kinds: Any) -> Any:
    """A typed dictionary with these keys."""
    return TypedDict("Part", kinds)


def several(kind: Any) -> Any:
    """A list that is not empty."""
    return Annotated[list[kind], Meta(min_length=1)]


# what is read of the record, which holds more
ROUNDS = part(median=float, rounds=several(float))
SIZE = part(images=int, seconds=float, gib=float)
POINTS = part(points=int, seconds=float)
LINE = part(
    dataset=Literal[tuple(DATASETS)],
    method=Literal[METHODS],
    best_ordinary=str,
    images_per_second=dict[str, ROUNDS],
    over_ordinary=part(**dict.fromkeys(("in memory", "channels last", FLOAT32, "ours"), float)),
)
STEP = part(
    conv_peak_share=float,
    validation=float,
    shares=part(data=float, forward=float, backward=float, optimizer=float),
)
SPRINT = part(
    seconds=float,
    accuracy=float,
    split=str,
    changes=part(optimisation=part(epochs=int)),
    seeds=several(part(seconds=float, parts=part(training=float))),
)
GROWTH = part(
    images=several(SIZE),
    widths=several(part(images=int, seconds=float, widths=several(int))),
    tsne=several(POINTS),
    tsne_other=several(POINTS),
)
BENCH = part(
    **dict.fromkeys(("processor", "precision", "source_sha256"), str),
    threads=int,
    bench=part(rounds=int),
    throughput=several(LINE),
    peak=part(fastest=float, methods=part(**dict.fromkeys(METHODS, STEP))),
    workflow=part(figure=ROUNDS, noop=ROUNDS, paper=ROUNDS),
    sprint=SPRINT,
    growth=GROWTH,
    overhead_share=float,
    peak_gib=float,
)


def read(path: Path) -> Bench:
    """The record of a benchmark. Raises Problem when it is missing or broken, or that of something else."""
    return read_record(path, BENCH, "make bench")


def throughput(bench: Bench) -> list[dict[str, Any]]:
    """The record's lines, data sets in the order of their table."""
    return sorted(bench["throughput"], key=lambda line: list(DATASETS).index(line["dataset"]))


def datasets(bench: Bench) -> list[str]:
    """Printed names in the order of `throughput`; the benchmark is of the real data, whatever the study."""
    return [DATASETS[name].label for name in dict.fromkeys(line["dataset"] for line in throughput(bench))]


def speeds(bench: Bench) -> dict[str, list[str]]:
    """For each method, data set by data set, what COLUMNS names.

    Images per second are medians; ratios are medians of those within a round, the last with its range.
    """
    lines: dict[str, list[str]] = {}
    for line in throughput(bench):
        found, over = line["images_per_second"], line["over_ordinary"]
        ordinary, ours = found[line["best_ordinary"]], found["ours"]
        ratios = [b / a for a, b in zip(ordinary["rounds"], ours["rounds"], strict=True)]
        lines.setdefault(line["method"], []).extend(
            [
                f"{ordinary['median']:.0f}",
                f"{ours['median']:.0f}",
                f"{over[FLOAT32]:.1f}",
                f"{over['ours']:.1f}",
                f"{min(ratios):.1f} to {max(ratios):.1f}",
            ]
        )
    return lines


def table(bench: Bench) -> str:
    """`speeds` for the paper."""
    body = [
        [style.name(method), *(f"{{{cell}}}" if " to " in cell else cell for cell in cells)]
        for method, cells in speeds(bench).items()
    ]
    names = datasets(bench)
    return tabular(["", *COLUMNS * len(names)], [("", body)], [(name, len(COLUMNS)) for name in names])


def facts(bench: Bench) -> dict[str, str]:
    """Everything of the benchmark that the paper's sentences name."""
    peak, workflow = bench["peak"], bench["workflow"]
    found = {name: str(bench[name]) for name in ("processor", "threads", "precision")}
    found |= {"rounds": str(bench["bench"]["rounds"]), "source-hash": bench["source_sha256"][:12]}
    for line in throughput(bench):
        for name, lever in (("ratio", "ours"), ("float32", FLOAT32)):
            found[f"{name}/{line['dataset']}/{line['method']}"] = f"{line['over_ordinary'][lever]:.1f}"
    for method, one in peak["methods"].items():
        found[f"peak-share/{method}"] = f"{100 * one['conv_peak_share']:.0f}"
        found[f"data-share/{method}"] = f"{100 * one['shares']['data']:.1f}"
    found |= {
        "peak": f"{peak['fastest'] / 1e9:.0f}",
        "overhead": f"{100 * bench['overhead_share']:.1f}",
        "memory": f"{math.ceil(10 * bench['peak_gib']) / 10:.1f}",
        "figure": f"{workflow['figure']['median']:.1f}",
        "noop": f"{workflow['noop']['median']:.1f}",
    }
    return found | sprint_facts(bench) | growth_facts(bench["growth"])


def sprint_facts(bench: Bench) -> dict[str, str]:
    """Of the short training to a fixed accuracy."""
    sprint = bench["sprint"]
    seeds, epochs = sprint["seeds"], sprint["changes"]["optimisation"]["epochs"]
    trained, whole = sum(one["parts"]["training"] for one in seeds), sum(one["seconds"] for one in seeds)
    validation = bench["peak"]["methods"]["guided"]["validation"]
    return {
        "sprint-seconds": f"{sprint['seconds']:.0f}",
        "sprint-accuracy": f"{sprint['accuracy']:.2f}",
        "sprint-split": sprint["split"],
        "sprint-seeds": str(len(seeds)),
        "sprint-epochs": str(epochs),
        "sprint-start": f"{100 * (1 - trained / whole):.1f}",
        "sprint-validation": f"{100 * validation * epochs * len(seeds) / whole:.1f}",
    }


def growth_facts(growth: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """Of time by width, and of t-SNE by two libraries."""
    tsne, other = ({one["points"]: one["seconds"] for one in growth[kind]} for kind in ("tsne", "tsne_other"))
    both = sorted(tsne.keys() & other.keys())
    return {
        "width-images": f"{growth['widths'][0]['images']:,}",
        "widths": listed(str(one["widths"][-1]) for one in growth["widths"]),
        "width-seconds": listed(f"{one['seconds']:.0f}" for one in growth["widths"]),
        "tsne-points": listed(f"{n:,}" for n in both),
        "tsne-seconds": listed(f"{tsne[n]:.0f}" for n in both),
        "tsne-other-seconds": listed(f"{other[n]:.0f}" for n in both),
    }


def listed(texts: Iterable[str]) -> str:
    """a, b and c."""
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last


@cli.command
def main() -> None:
    options = cli.parser(__doc__, paths=("bench", "out")).parse_args()
    bench = read(options.bench)
    record.write_text(options.out / "table_speed.tex", table(bench))
    macros = {f"fact@bench/{name}": escape(text) for name, text in facts(bench).items()}
    record.write_text(options.out / "macros_speed.tex", definitions(macros))


if __name__ == "__main__":
    main()
