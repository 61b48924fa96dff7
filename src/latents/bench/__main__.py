"""The benchmark: our loop beside the ordinary one, the machine's peak, where the time goes, the workflow, growth, a sprint.

    python -m latents.bench --config config/study.yaml --bench config/bench.yaml --reference reference --final --out bench.json

measures everything in one run and writes one record; until it is whole, the parts found so far lie beside it in
bench.unfinished.json. Speeds, steps and commands are taken in turn, round by round, and every round is kept; growth is one
run a point. With --final the sprint's test accuracy is read, once a seed, after the last training; without, val stands in
its place. For Linux and a CPU. About an hour on two cores that do nothing else.
"""

import argparse
import concurrent.futures
import functools
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median
from typing import Annotated, Any, Self
from unittest import mock

import msgspec
import yaml
from msgspec import Meta

from latents import config, data, record
from latents.bench import loops, workflow
from latents.config import ALLOCATOR
from latents.report.bars import Bar
from latents.settings import Positive, Rate, Seeds, Strict

METHODS = ("autoencoder", "autoencoder-plus", "guided", "contrastive")
WORKERS = (0, 1, 2)  # of the ordinary loop's DataLoader
NUMBERS = (
    "contrastive_over_ordinary", "guided_over_ordinary", "autoencoder_over_ordinary", "conv_peak_share", "augment_share", "figure_seconds",
    "noop_seconds", "overhead_share", "peak_gib", "seconds_to_8866",
)  # fmt: skip
Sizes = Annotated[list[Positive], Meta(min_length=1)]
Widths = tuple[Positive, Positive, Positive]
Shape = tuple[Positive, Positive, Positive, Positive]


class Growth(Strict, frozen=True):
    """Numbers of training images, encoder widths, and numbers of points for both t-SNE libraries."""

    images: Sizes
    widths: Annotated[list[Widths], Meta(min_length=1)]
    tsne_points: Sizes
    tsne_points_other: Sizes

    def __post_init__(self) -> None:
        if not set(self.tsne_points) & set(self.tsne_points_other):
            raise ValueError("tsne-points and tsne-points-other have no number in common at which to compare them")


class Sprint(Strict, frozen=True):
    """`guided` on CIFAR-10 with `changes`, to reach `accuracy` percent on test in the mean of the seeds."""

    seeds: Seeds
    changes: dict[str, Any]
    accuracy: Rate

    def __post_init__(self) -> None:
        match self.changes:
            case {"optimisation": {"epochs": _}}:
                return
        raise ValueError("changes has no optimisation.epochs, the budget that the paper names")


class Bench(Strict, frozen=True):
    """What is measured; `changes` are laid over the study."""

    changes: dict[str, Any]
    rounds: Positive
    seconds: Rate
    convolutions: Annotated[list[Shape], Meta(min_length=1)]
    growth: Growth
    sprint: Sprint
    bars: dict[str, Bar]


class Worker:
    """A process of its own, with or without the allocator's settings, that answers one call after the other."""

    def __init__(self, *, tuned: bool = True) -> None:
        self.tuned = tuned
        self.pool = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown()

    def __call__(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        others = {name: value for name, value in os.environ.items() if name not in ALLOCATOR}
        with mock.patch.dict(os.environ, others | (ALLOCATOR if self.tuned else {}), clear=True):  # the first call starts the process
            return self.pool.submit(function, *arguments, **keywords).result()


def configurations(file: str, bench: Bench, study: str, folder: Path) -> dict[str, str]:
    """Every configuration that is measured, as a file in the folder: the key of the benchmark's `file` that asks for it -> path.

    All are read here, and the most images loaded, so that what cannot be measured is refused before anything is.
    """
    plain = config.merge(msgspec.to_builtins(config.read(study)), bench.changes)
    base = config.parse(f"{file}: changes", config.Study, plain)
    if base.source == "stand-in":
        raise config.Problem(f"{study}: source: stand-in data are not what the benchmark is of; take a study with source: download")
    if "cifar10" not in base.datasets:
        raise config.Problem(f"{study}: datasets: cifar10 is missing, on which the benchmark trains; take a study that has it")

    def guided(changes: dict[str, Any], **dataset: Any) -> dict[str, Any]:
        return config.merge(plain, {"datasets": {"cifar10": dataset | {"methods": {"guided": changes}}}})

    once, sizes = {"optimisation": {"epochs": 1}}, bench.growth.images
    wanted = {"changes": plain, "float32": plain | {"precision": "float32"}, "sprint": guided(bench.sprint.changes, seeds=bench.sprint.seeds)}
    wanted |= {f"growth.images {n}": guided(once, train=n) for n in sizes}
    wanted |= {f"growth.widths {one}": config.merge(guided(once, train=sizes[0]), {"encoder": {"widths": list(one)}}) for one in bench.growth.widths}
    paths = {key: str(folder / f"{place}.yaml") for place, key in enumerate(wanted)}
    for key, path in paths.items():
        Path(path).write_text(yaml.safe_dump(wanted[key]))
        try:
            config.read(path)
        except config.Problem as problem:
            raise config.Problem(str(problem).replace(path, f"{file}: {key}")) from None
    largest = config.read(paths[f"growth.images {max(sizes)}"])
    for dataset in largest.datasets:
        data.load(largest, dataset, with_test=False)
    return paths


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def summary(values: list[float]) -> dict[str, Any]:
    """Median, range and every round."""
    return {"median": median(values), "low": min(values), "high": max(values), "rounds": values}


def throughput(bench: Bench, paths: dict[str, str], datasets: list[str]) -> list[dict[str, Any]]:
    """Images a second of every contender, in turn: the ordinary loop, then one lever after the other up to ours.

    Every second round takes them in reverse, so that a drift of the machine does not always favour the same ones, and a ratio is the
    median of those within a round.
    """
    found: dict[tuple[str, str, str], list[float]] = {}
    with Worker(tuned=False) as plain, Worker() as tuned:
        contenders: dict[str, Callable[[str, str], float]] = {
            **{f"ordinary, {n} workers": lambda d, m, n=n: plain(loops.theirs, paths["float32"], d, m, bench.seconds, n) for n in WORKERS},
            "in memory": lambda d, m: plain(loops.ours, paths["float32"], d, m, bench.seconds, channels_last=False),
            "channels last": lambda d, m: plain(loops.ours, paths["float32"], d, m, bench.seconds),
            "allocator": lambda d, m: tuned(loops.ours, paths["float32"], d, m, bench.seconds),
            "ours": lambda d, m: tuned(loops.ours, paths["changes"], d, m, bench.seconds),
        }
        for number in range(bench.rounds):
            for dataset in datasets:
                for method in METHODS:
                    for name in reversed(contenders) if number % 2 else contenders:
                        found.setdefault((dataset, method, name), []).append(contenders[name](dataset, method))
                    say(f"round {number + 1}: {dataset}/{method}: " + ", ".join(f"{name} {found[dataset, method, name][-1]:.0f}" for name in contenders))
    lines = []
    for dataset in datasets:
        for method in METHODS:
            speeds = {name: summary(found[dataset, method, name]) for name in contenders}
            best = max((name for name in contenders if name.startswith("ordinary")), key=lambda name: speeds[name]["median"])
            ratios = {
                name: median(b / a for a, b in zip(found[dataset, method, best], found[dataset, method, name], strict=True))
                for name in ("in memory", "channels last", "allocator", "ours")
            }
            lines.append({"dataset": dataset, "method": method, "best_ordinary": best, "images_per_second": speeds, "over_ordinary": ratios})
    return lines


def peak(bench: Bench, path: str) -> dict[str, Any]:
    """The parts of a CIFAR-10 step of each method beside the fastest convolution of the same process, in turn as in `throughput`; medians, and every round."""
    with Worker() as tuned:
        contenders = {" ".join(map(str, shape)): functools.partial(tuned, loops.convolution, path, shape, bench.seconds) for shape in bench.convolutions}
        contenders |= {method: functools.partial(tuned, loops.parts, path, "cifar10", method, bench.seconds) for method in METHODS}
        found: dict[str, list[Any]] = {name: [] for name in contenders}
        for number in range(bench.rounds):
            for name in reversed(contenders) if number % 2 else contenders:
                found[name].append(contenders[name]())
    convolutions = {shape: summary(values) for shape, values in found.items() if shape not in METHODS}
    fastest = max(convolutions.values(), key=lambda one: one["median"])
    methods = {}
    for method in METHODS:
        rounds = found[method]
        middle = {part: median(one[part] for one in rounds) for part in rounds[0]}
        middle["conv_peak_share"] = median(one["flops"] / one["step"] / speed for one, speed in zip(rounds, fastest["rounds"], strict=True))
        methods[method] = middle | {"rounds": rounds, "shares": {part: middle[part] / middle["step"] for part in ("data", "forward", "backward", "optimizer")}}
        say(f"{method}: {middle['conv_peak_share']:.2f} of {fastest['median'] / 1e9:.0f} GFLOP/s")
    return {"convolutions": convolutions, "fastest": fastest["median"], "methods": methods}


def growth(bench: Bench, paths: dict[str, str], folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Time and memory of one epoch of `guided` on CIFAR-10, and of t-SNE, each in a process of its own."""
    found: dict[str, list[dict[str, Any]]] = {"images": [], "widths": [], "tsne": [], "tsne_other": []}
    sizes, widths = bench.growth.images, bench.growth.widths
    runs = [("images", n, {"images": n}) for n in sizes] + [("widths", one, {"images": sizes[0], "widths": list(one)}) for one in widths]
    for kind, size, facts in runs:
        (folder / "growth.checkpoint").unlink(missing_ok=True)
        with Worker() as tuned:
            found[kind].append(facts | tuned(loops.epoch, paths[f"growth.{kind} {size}"], "cifar10", "guided", str(folder)))
        say(f"{kind}: {found[kind][-1]}")
    for kind, sizes in (("tsne", bench.growth.tsne_points), ("tsne_other", bench.growth.tsne_points_other)):
        for n in sizes:
            with Worker() as tuned:
                found[kind].append({"points": n} | tuned(loops.tsne, paths["changes"], n, other=kind == "tsne_other"))
            say(f"{kind}: {found[kind][-1]}")
    return found


def sprint(bench: Bench, path: str, folder: Path, *, final: bool) -> dict[str, Any]:
    """The whole training command of `guided` on CIFAR-10 for each seed, and then the accuracy of its head."""
    threads = str(config.read(path).threads)
    environment = os.environ | ALLOCATOR | {name: threads for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    seeds = []
    for seed in bench.sprint.seeds:
        out = {name: str(folder / f"sprint{seed}.{name}") for name in ("out", "record", "curve", "timing")}
        files = [word for name, file in out.items() for word in (f"--{name}", file)]
        cell = ["--config", path, "--dataset", "cifar10", "--run", "guided", "--seed", str(seed)]
        seconds = workflow.timed(sys.executable, "-m", "latents.train", *cell, *files, folder=record.ROOT, environment=environment)
        timing = record.read_json(out["timing"])
        seeds.append({"seed": seed, "seconds": seconds, "parts": timing["parts"], "weights": out["out"]})
        say(f"sprint, seed {seed}: {seconds:.0f} s")
    for one in seeds:  # the test split is opened after the last training
        with Worker() as tuned:
            one["accuracy"] = tuned(loops.head_accuracy, path, one.pop("weights"), "cifar10", final=final)
    return {"seeds": seeds, "split": "test" if final else "val", "accuracy": fmean(one["accuracy"] for one in seeds)} | {
        "seconds": fmean(one["seconds"] for one in seeds), "changes": bench.sprint.changes,
    }  # fmt: skip


def report(found: dict[str, Any], bars: dict[str, Bar]) -> str:
    """The bars as a table for the terminal."""
    lines = []
    for name, bar in bars.items():
        value = found[name]
        lines.append(f"  {name:28}{'not reached' if value is None else f'{value:.3g}':>12}   {bar!s:16}{'holds' if bar.holds(value) else 'FALLS SHORT'}")
    return "\n".join(lines)


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("config", "bench", "reference", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--final", action="store_true", help="read the test split at the sprint's end")
    options = parser.parse_args()
    bench = config.parse(options.bench, Bench)
    if unknown := bench.bars.keys() - set(NUMBERS):
        raise config.Problem(f"{options.bench}: bars: {min(unknown)} is no number of the benchmark; they are {', '.join(NUMBERS)}")
    reference, out = Path(options.reference).resolve(), Path(options.out)
    if not reference.is_dir():
        raise config.Problem(f"{options.reference}: no such folder; --reference names the results of a finished study, like reference")
    unfinished = out.with_suffix(".unfinished.json")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = configurations(options.bench, bench, options.config, folder)
        study = config.read(paths["changes"])
        found: dict[str, Any] = {
            "format": record.FORMAT, "bench": msgspec.to_builtins(bench), "threads": study.threads, "precision": study.precision,
            "source_sha256": record.source_sha256(), "bench_sha256": record.tree_sha256([*Path(__file__).parent.glob("*.py")]),
        } | record.environment()  # fmt: skip

        def keep(part: str, value: Any) -> None:
            found[part] = value
            record.write_json(unfinished, found)

        record.write_json(unfinished, found)  # an output that cannot be written is refused now
        keep("workflow", {name: summary(values) for name, values in workflow.measure(bench.rounds, reference).items()})
        say(", ".join(f"{name} {one['median']:.1f} s" for name, one in found["workflow"].items()))
        keep("overhead", workflow.overhead(reference, {name: one["median"] for name, one in found["workflow"].items()}))
        keep("throughput", throughput(bench, paths, list(study.datasets)))
        keep("peak", peak(bench, paths["changes"]))
        keep("growth", growth(bench, paths, folder))
        keep("sprint", sprint(bench, paths["sprint"], folder, final=options.final))
    over = {line["method"]: line["over_ordinary"]["ours"] for line in found["throughput"] if line["dataset"] == "cifar10"}
    methods = found["peak"]["methods"]
    found |= {
        "contrastive_over_ordinary": over["contrastive"], "guided_over_ordinary": over["guided"],
        "autoencoder_over_ordinary": min(over["autoencoder"], over["autoencoder-plus"]),
        "conv_peak_share": methods["guided"]["conv_peak_share"], "augment_share": methods["contrastive"]["shares"]["data"],
        "figure_seconds": found["workflow"]["figure"]["median"], "noop_seconds": found["workflow"]["noop"]["median"],
        "overhead_share": workflow.overhead_share(found["overhead"]),
        "peak_gib": workflow.peak_gib(reference),
        "seconds_to_8866": found["sprint"]["seconds"] if found["sprint"]["accuracy"] >= bench.sprint.accuracy else None,
    }  # fmt: skip
    record.write_json(out, found)
    unfinished.unlink()
    print(f"\nOn {found['processor']}, {study.threads} threads, {study.precision}:\n{report(found, bench.bars)}\n\nwritten: {options.out}")


if __name__ == "__main__":
    main()
