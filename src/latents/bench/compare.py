"""Compare, round by round, our loop with the ordinary one and a step's FLOP/s with the machine's peak.

Every second round goes through the contenders in reverse, so that a drift of the machine does not always
favour the same ones. A ratio is the median of the ratios within a round.
"""

import functools
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from latents.bench import loops
from latents.bench.settings import METHODS, Bench
from latents.bench.worker import Worker
from latents.study import Run

WORKERS = (0, 1, 2)  # of the ordinary loop's DataLoader
OURS = ("in memory", "channels last", "allocator", "ours")  # one improvement after the other, up to our loop
SEED = 1
COPY = "copying"  # of memory, beside convolutions and methods
PARTS = ("data", "forward", "backward", "optimizer")

Rounds = dict[str, list[Any]]  # contender -> what it returned in each round


def say(text: str) -> None:
    """Print a line of progress with the time of day."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def summary(values: list[float]) -> dict[str, Any]:
    """Median, range and every round."""
    return {"median": median(values), "low": min(values), "high": max(values), "rounds": values}


def in_turn(contenders: dict[str, Callable[[], Any]], number: int) -> Iterator[tuple[str, Any]]:
    """Call every contender in the round of this number (from 0); yields its name and what it returned."""
    for name in reversed(contenders) if number % 2 else contenders:
        yield name, contenders[name]()


def contenders_for(
    run: Run, bench: Bench, paths: dict[str, str], plain: Worker, tuned: Worker
) -> dict[str, Callable[[], float]]:
    """Name -> call that returns images a second: the ordinary loops, then OURS."""
    call, seconds = functools.partial, bench.seconds
    ordinary = {
        f"ordinary, {n} workers": call(plain, loops.theirs, paths["float32"], run, seconds, n)
        for n in WORKERS
    }
    return ordinary | {
        "in memory": call(plain, loops.ours, paths["float32"], run, seconds, channels_last=False),
        "channels last": call(plain, loops.ours, paths["float32"], run, seconds),
        "allocator": call(tuned, loops.ours, paths["float32"], run, seconds),
        "ours": call(tuned, loops.ours, paths["changes"], run, seconds),
    }


def throughput(bench: Bench, paths: dict[str, str], datasets: list[str]) -> list[dict[str, Any]]:
    """Images a second of every contender on every data set and method; a line of the record for each."""
    runs = [Run(dataset, method, SEED) for dataset in datasets for method in METHODS]
    found: dict[Run, Rounds] = {run: {} for run in runs}
    with Worker(tuned=False) as plain, Worker() as tuned:
        for number in range(bench.rounds):
            for run, rounds in found.items():
                contenders = contenders_for(run, bench, paths, plain, tuned)
                for name, speed in in_turn(contenders, number):
                    rounds.setdefault(name, []).append(speed)
                speeds = ", ".join(f"{name} {rounds[name][-1]:.0f}" for name in contenders)
                say(f"round {number + 1}: {run.dataset}/{run.method}: {speeds}")
    return [
        {"dataset": run.dataset, "method": run.method} | throughput_line(rounds)
        for run, rounds in found.items()
    ]


def throughput_line(rounds: Rounds) -> dict[str, Any]:
    """Speeds of one data set and method, and their ratios to the fastest ordinary loop (by the median)."""
    names = [f"ordinary, {n} workers" for n in WORKERS]
    speeds = {name: summary(rounds[name]) for name in (*names, *OURS)}
    best = max(names, key=lambda name: speeds[name]["median"])
    ratios = {name: median(b / a for a, b in zip(rounds[best], rounds[name], strict=True)) for name in OURS}
    return {"best_ordinary": best, "images_per_second": speeds, "over_ordinary": ratios}


def peak(bench: Bench, path: str) -> dict[str, Any]:
    """The parts of a CIFAR-10 step of each method beside the fastest convolution of the same process.

    Medians, and every round.
    """
    call, seconds = functools.partial, bench.seconds
    with Worker() as tuned:
        contenders: dict[str, Callable[[], Any]] = {
            " ".join(map(str, shape)): call(tuned, loops.convolution, path, shape, seconds)
            for shape in bench.convolutions
        }
        contenders[COPY] = call(tuned, loops.copying, path, seconds)
        for method in METHODS:
            contenders[method] = call(tuned, loops.parts, path, Run("cifar10", method, SEED), seconds)
        found: Rounds = {name: [] for name in contenders}
        for number in range(bench.rounds):
            for name, value in in_turn(contenders, number):
                found[name].append(value)
    copied = summary(found[COPY])
    convolutions = {
        shape: summary(values) for shape, values in found.items() if shape not in (*METHODS, COPY)
    }
    fastest = max(convolutions.values(), key=lambda one: one["median"])
    methods = {method: peak_line(found[method], fastest["rounds"], copied["rounds"]) for method in METHODS}
    for method, line in methods.items():
        say(
            f"{method}: {line['conv_peak_share']:.2f} of {fastest['median'] / 1e9:.0f} GFLOP/s, "
            f"{line['bound_share']:.2f} of the bound"
        )
    return {
        "convolutions": convolutions,
        "fastest": fastest["median"],
        "copying": copied,
        "methods": methods,
    }


def peak_line(rounds: list[dict[str, float]], fastest: list[float], copied: list[float]) -> dict[str, Any]:
    """Medians of a step's parts, their shares of it, and what it reaches of two limits in the same round.

    `conv_peak_share`: of the fastest convolution's FLOP/s. `bound_share`: of a step in which convolutions and
    matrix products have that speed, and all other operations that of copying.
    """
    middle = {part: median(one[part] for one in rounds) for part in rounds[0]}
    together = list(zip(rounds, fastest, copied, strict=True))
    middle["conv_peak_share"] = median(one["flops"] / one["step"] / speed for one, speed, _ in together)
    bounds = [one["products"] / speed + one["bytes"] / width for one, speed, width in together]
    middle["bound_share"] = median(
        bound / one["step"] for bound, (one, *_) in zip(bounds, together, strict=True)
    )
    shares = {part: middle[part] / middle["step"] for part in PARTS}
    return middle | {"rounds": rounds, "shares": shares}
