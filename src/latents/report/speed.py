r"""The paper's table and macros of the benchmark, from its records, one a kind of processor.

    python -m latents.report.speed --bench reference/bench/epyc-avx512-bf16.json --out paper/generated

Writes table_speed.tex, with the lines of each record under its machine; and macros_speed.tex, which defines
fact@bench/<name> (in the paper: \bench{<name>}) as plain text (see `facts`), of the first. Takes a second.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from latents import cli, record
from latents.bench.settings import METHODS
from latents.datasets import DATASETS
from latents.report import style
from latents.report.read import read_record
from latents.report.tex import DASH, definitions, escape, tabular

FLOAT32 = "allocator"  # the last lever but the precision: both loops in float32
COLUMNS = ["ordinary", "ours", "float32", "ratio", "bound"]
TIMED = "cifar10"  # where steps are timed, for the last column

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
    bound_share=NotRequired[float],
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
    """A benchmark's record and its `name`. Raises Problem when it is missing, broken or something else's."""
    return read_record(path, BENCH, "make bench") | {"name": path.stem}


def throughput(bench: Bench) -> list[dict[str, Any]]:
    """The record's lines, data sets in the order of their table."""
    return sorted(bench["throughput"], key=lambda line: list(DATASETS).index(line["dataset"]))


def speeds(bench: Bench) -> dict[tuple[str, str], dict[str, str]]:
    """By data set and method, what COLUMNS names, and the range of the ratio.

    Images per second are medians; ratios are medians of those within a round; bound: the share, in percent,
    of a step at the machine's limits, which is measured on CIFAR-10.
    """
    found = {}
    for line in throughput(bench):
        measured, over = line["images_per_second"], line["over_ordinary"]
        ordinary, ours = measured[line["best_ordinary"]], measured["ours"]
        ratios = [b / a for a, b in zip(ordinary["rounds"], ours["rounds"], strict=True)]
        share = bench["peak"]["methods"][line["method"]].get("bound_share")
        timed = share is not None and line["dataset"] == TIMED
        found[line["dataset"], line["method"]] = {
            "ordinary": f"{ordinary['median']:.0f}",
            "ours": f"{ours['median']:.0f}",
            "float32": f"{over[FLOAT32]:.1f}",
            "ratio": f"{over['ours']:.1f}",
            "bound": f"{100 * share:.0f}" if timed else "",
            "range": f"{min(ratios):.1f} to {max(ratios):.1f}",
        }
    return found


def machine(bench: Bench) -> str:
    """The processor, the precision and the record of a benchmark, as printed."""
    return f"{bench['processor']}, {bench['precision']} ({bench['name']})"


def table(benches: list[Bench]) -> str:
    """`speeds` on each machine, for the paper, data sets side by side; the benchmark is of the real data."""
    places = speeds(benches[0])
    columns = {dataset: COLUMNS if dataset == TIMED else COLUMNS[:-1] for dataset, _ in places}
    groups = []
    for bench in benches:
        found, lines = speeds(bench), []
        for method in dict.fromkeys(method for _, method in places):
            cells = [
                found.get((dataset, method), {}).get(name) or DASH
                for dataset, names in columns.items()
                for name in names
            ]
            lines.append([style.name(method), *cells])
        groups.append((escape(machine(bench)), lines))
    over = [(DATASETS[dataset].label, len(names)) for dataset, names in columns.items()]
    return tabular(["", *(name for names in columns.values() for name in names)], groups, over)


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
    parser = cli.parser(__doc__, paths=("out",))
    parser.add_argument("--bench", type=Path, nargs="+", required=True, help="records of the benchmark")
    options = parser.parse_args()
    benches = [read(path) for path in options.bench]
    record.write_text(options.out / "table_speed.tex", table(benches))
    macros = {f"fact@bench/{name}": escape(text) for name, text in facts(benches[0]).items()}
    record.write_text(options.out / "macros_speed.tex", definitions(macros))


if __name__ == "__main__":
    main()
