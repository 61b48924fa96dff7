"""What this machine is, and how fast it trains the study's methods in each precision.

    python -m latents.machine --config config/study.yaml --at-once 2 --out results/machine.json

times a few training steps of every method on random images, for at most 20 seconds, in as many processes as
jobs run at once, and chooses the precision in which the whole study takes less time. A study with
`precision: auto` keeps to that choice as long as the file is there, on other machines too. --begun names
such a file from the study's first part: its choice is kept.
"""

import concurrent.futures
import multiprocessing
import sys
import time
from collections.abc import Callable
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from latents import cli, config, record
from latents.datasets import DATASETS
from latents.device import autocast, device_of, generator, to_float
from latents.loop import Step, Task
from latents.model import build
from latents.optimise import optimizers_for
from latents.study import Run, Study

PRECISIONS = ("float32", "bfloat16")
LIMIT = 20.0  # seconds, for all methods and precisions together
TURNS = 2  # timed steps of each method in each precision
BATCH = 128  # images of a step on a CPU, at most
STEPS_GPU = 20  # in the place of one on a CPU
FEW = 4  # images to count operations on

Rates = dict[str, dict[str, float]]  # data set/method -> precision -> images per second


def kinds(study: Study) -> list[Run]:
    """A run of every trained method on every data set, the most images first: these decide."""
    seeds = {name: chosen.seeds[0] for name, chosen in study.datasets.items()}
    runs = [Run(name, method, seeds[name]) for name in study.datasets for method in study.trained_methods]
    return sorted(runs, key=lambda run: images(study, run), reverse=True)


def images(study: Study, run: Run) -> int:
    """How many images a run trains on, each as often as it is seen; 0 where nothing is trained."""
    settings, classes = study.settings(run.dataset, run.method), len(DATASETS[run.dataset].classes)
    if settings.optimisation is None:
        return 0
    # a share of the labels is rounded up in each class
    items = classes * ceil(study.dataset(run.dataset).train * settings.labels / classes)
    batch = min(settings.optimisation.batch_size, items)
    return settings.optimisation.epochs * (items // batch) * batch


def flops_per_image(study: Study, run: Run, *, early: bool = False) -> float:
    """FLOPs of one image in a step, forward and backward, without the optimiser's; counted on a few."""
    (height, width, channels), classes = DATASETS[run.dataset].shape, len(DATASETS[run.dataset].classes)
    pixels, labels = torch.rand(FEW, channels, height, width), torch.arange(FEW) % classes
    with FlopCounterMode(display=False) as counter:
        model = build(study, run)
        model.early = early
        model.objective(model.views(pixels, torch.Generator()), labels).backward()
    return counter.get_total_flops() / FEW


def work(study: Study) -> dict[str, dict[str, float]]:
    """Operations and images of each training, by `<data set>/<method or variant>`.

    An image of the first epochs, whose views may be smaller, counts as the part of a later one that it costs.
    """
    one = {f"{run.dataset}/{run.method}": run for run in study.reference_classifiers().values()}
    one |= {f"{run.dataset}/{run.method}": run for run in study.runs()}
    found: dict[str, dict[str, float]] = {"operations": {}, "images": {}}
    for kind, run in one.items():
        settings, seen, whole = study.settings(run.dataset, run.method), images(study, run), 0.0
        if seen:
            whole = flops_per_image(study, run)
            if first := settings.early_epochs:
                share = flops_per_image(study, run, early=True) / whole
                seen *= 1 - first / settings.optimisation.epochs * (1 - share)
        found["operations"][kind], found["images"][kind] = whole * seen, round(seen)
    return found


def random_images(run: Run, n: int, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise as images uint8 [n, c, h, w] of a run's data set, and labels [n], on the generator's device."""
    (height, width, channels), classes = DATASETS[run.dataset].shape, len(DATASETS[run.dataset].classes)
    shape, device = (n, channels, height, width), random.device
    pixels = torch.randint(256, shape, generator=random, device=device, dtype=torch.uint8)
    return pixels, torch.arange(n, device=device) % classes


def stepper(study: Study, run: Run, device: torch.device) -> Callable[[str], float]:
    """A function that trains a run for a moment in a precision, and returns its seconds an image."""
    settings, random = study.settings(run.dataset, run.method), generator(device, run.seed)
    n, steps = settings.optimisation.batch_size, STEPS_GPU
    if device.type == "cpu":
        n, steps = min(BATCH, n), 1
    index, (pixels, labels) = torch.arange(n, device=device), random_images(run, n, random)
    model = build(study, run).to(device, memory_format=torch.channels_last)
    optimizers = optimizers_for(model, settings.optimisation, settings.linear_rate)

    def step_in(precision: str) -> Step:
        def loss(index: torch.Tensor, random: torch.Generator) -> torch.Tensor:
            with autocast(device, precision):
                return model.objective(model.views(to_float(pixels[index]), random), labels)

        return Step(
            Task(str(run), model, loss, n, settings.optimisation, run.seed, device), optimizers, random
        )

    step = {precision: step_in(precision) for precision in PRECISIONS}

    def seconds(precision: str) -> float:
        started = time.perf_counter()
        for _ in range(steps):
            loss = step[precision](0.0, index)
        loss.item()  # waits for a GPU
        return (time.perf_counter() - started) / (steps * n)

    return seconds


def measure(study: Study, device: torch.device, limit: float = LIMIT) -> Rates:
    """Images per second of each kind of training in each precision, as far as the time allows.

    The precisions take turns, and the fastest step of each counts: a busy neighbour slows both alike.
    """
    until, rates = time.perf_counter() + limit, {}
    for run in kinds(study):
        started, seconds = time.perf_counter(), stepper(study, run, device)
        turns = [[seconds(precision) for precision in PRECISIONS] for _ in range(1 + TURNS)]
        best = map(min, zip(*turns[1:], strict=True))  # the first turn warms up
        rates[f"{run.dataset}/{run.method}"] = {
            precision: round(1 / one, 1) for precision, one in zip(PRECISIONS, best, strict=True)
        }
        if 2 * time.perf_counter() - started > until:  # the next would take about as long
            break
    return rates


def measure_together(study: Study, at_once: int) -> Rates:
    """The mean rate of so many processes that `measure` at once, as jobs of the study run."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(at_once, context) as pool:
        found = list(pool.map(measure_here, [study] * at_once))
    kinds_of_all = set.intersection(*(set(one) for one in found))
    return {
        kind: {precision: round(fmean(one[kind][precision] for one in found), 1) for precision in PRECISIONS}
        for kind in found[0]
        if kind in kinds_of_all
    }


def measure_here(study: Study) -> Rates:
    """`measure` in a process of its own."""
    return measure(study, device_of(study))


def choice(study: Study, rates: Rates) -> str:
    """The precision in which the timed trainings of data sets without one of their own take less time."""

    def seconds(precision: str) -> float:
        return sum(
            images(study, run) / rates[kind][precision]
            for run in kinds(study)
            if study.precision_of(run.dataset) == "auto" and (kind := f"{run.dataset}/{run.method}") in rates
        )

    return min(PRECISIONS, key=seconds)


def instructions() -> list[str]:
    """The processor's instructions that decide how fast each precision is."""
    found = torch.cpu.get_capabilities()
    return sorted(
        name
        for name, there in found.items()
        if there is True and name.startswith(("avx", "amx", "sve", "bf"))
    )


def describe(study: Study, at_once: int = 1) -> dict[str, Any]:
    """The content of machine.json; `at_once`: how many jobs run at once on a CPU."""
    started, device = time.perf_counter(), device_of(study)
    alone = at_once == 1 or device.type == "cuda"
    rates = measure(study, device) if alone else measure_together(study, at_once)
    return {
        "format": record.FORMAT,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "instructions": instructions(),
        "threads": study.threads,
        "at_once": 1 if alone else at_once,
        "rates": rates,
        **work(study),
        "seconds": round(time.perf_counter() - started, 1),
    } | record.environment()


def choose(study: Study, rates: Rates, begun: Path | None) -> dict[str, str]:
    """The precision, and of a study that was begun elsewhere, the processor on which it was chosen."""
    if begun is None:
        return {"precision": choice(study, rates)}
    first = record.read_json(begun)
    return {"precision": first["precision"], "begun_on": first.get("begun_on", first["processor"])}


@cli.command
def main() -> None:
    parser = cli.parser(__doc__, "config", paths=("out",))
    parser.add_argument("--begun", type=Path, help="machine.json of the part of the study that is done")
    parser.add_argument("--at-once", type=int, default=1, help="how many jobs of the study run at once here")
    options = parser.parse_args()
    study = config.read(options.config)
    made = describe(study, options.at_once)
    made |= choose(study, made["rates"], options.begun)
    record.write_json(options.out, made)
    fastest, where = choice(study, made["rates"]), f"{made['processor']}, {made['device']}"
    if made["precision"] == fastest:
        print(f"precision: {fastest}, the faster one on {where}", file=sys.stderr)
    else:
        print(
            f"precision: {made['precision']}, in which the study was begun on {made['begun_on']}; "
            f"on {where} {fastest} would be faster",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
