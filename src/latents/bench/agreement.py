"""Whether this device gives the results of a CPU, and the same bytes every time, in small trainings."""

import concurrent.futures
import contextlib
import io
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch

from latents import config, evaluate, loop, record, train
from latents.bench.sprint import THREADS
from latents.bench.worker import variables
from latents.checkpoint import Checkpoint
from latents.device import generator
from latents.optimise import optimizers_for
from latents.report.verify_numbers import Seeds, compare_numbers
from latents.study import Run, Study

STEPS = 20  # of which the losses are compared
# relative differences to the CPU's that are allowed, of the first loss and of any: in twenty steps rounding
# grows to 0.018 between two memory layouts on one CPU
FIRST, LARGEST = 1e-4, 0.05
SEEDS = (1, 2, 3)  # of the CPU's small trainings, beside which one on the GPU is put
IMAGES, EPOCHS = 2000, 2  # of small trainings, at most

Facts = dict[str, Any]


def shrunk(study: Study) -> Study:
    """The study with small trainings."""
    plain = msgspec.to_builtins(study)
    for dataset in plain["datasets"].values():
        dataset["train"] = min(IMAGES, dataset["train"])
        dataset["sweeps"] = {}
        for settings in [dataset["reference-classifier"], *dataset["methods"].values()]:
            if "optimisation" in settings:
                settings["optimisation"]["epochs"] = min(EPOCHS, settings["optimisation"]["epochs"])
    return config.from_plain(study.study, plain)


def kinds(study: Study) -> list[Run]:
    """The first seed of every method that is trained anew, on every data set."""
    return [
        Run(name, method, chosen.seeds[0])
        for name, chosen in study.datasets.items()
        for method in study.trained_methods
        if not study.settings(name, method).start
    ]


def waited(device: torch.device) -> float:
    """The time once all work is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def same_bytes(study: Study, device: torch.device, folder: Path) -> dict[str, Facts]:
    """Whether small trainings of every kind give the same bytes: again, and after a stop and a resumption."""
    return {str(run): same_bytes_of(study, run, device, folder) for run in kinds(study)}


def same_bytes_of(study: Study, run: Run, device: torch.device, folder: Path) -> Facts:
    """The same of one kind. `differing` names the first tensors that differ."""
    settings = study.settings(run.dataset, run.method)
    prepared = train.prepare(study, run, device)
    first = {name: value.clone() for name, value in prepared.model.state_dict().items()}
    task = loop.Task(
        name=str(run),
        module=prepared.model,
        loss=prepared.loss,
        items=len(prepared.split.train.labels),
        settings=settings.optimisation,
        seed=run.seed,
        device=device,
        validate=prepared.validate,
        linear_rate=settings.linear_rate,
    )

    def trained(checkpoint: Checkpoint | None = None) -> dict[str, str]:
        """Hashes of the weights after a training that begins with the same ones."""
        prepared.model.load_state_dict(first)
        with contextlib.redirect_stdout(io.StringIO()):
            loop.fit(task, checkpoint)
        return {
            name: record.sha256(value.cpu().contiguous().numpy().tobytes())
            for name, value in prepared.model.state_dict().items()
        }

    once = trained()
    started = waited(device)
    again = trained()
    spent = waited(device) - started
    stopped = False
    checkpoint = Checkpoint(folder / "stopped.checkpoint", "bytes")
    with signalled(0.6 * spent):
        try:
            resumed = trained(checkpoint)
        except SystemExit:
            stopped = True
            resumed = trained(checkpoint)
    checkpoint.path.unlink(missing_ok=True)
    return {
        "again": again == once,
        "stopped": stopped,
        "resumed": resumed == once,
        "differing": [name for name in once if not once[name] == again[name] == resumed[name]][:5],
        "seconds": spent,
    }


@contextlib.contextmanager
def signalled(after: float) -> Iterator[None]:
    """This process gets SIGTERM after some seconds, which ends nothing but a training that waits for it."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    timer = threading.Timer(after, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGTERM, before)


def first_losses(study: Study, device: torch.device) -> dict[str, Facts]:
    """The losses of each kind's first steps in float32, beside the CPU's on the same views."""
    return {str(run): first_losses_of(study, run, device) for run in kinds(study)}


def first_losses_of(study: Study, run: Run, device: torch.device) -> Facts:
    """The same of one kind. `first` and `largest` are relative differences."""
    settings = study.settings(run.dataset, run.method)
    cpu, optimisation = torch.device("cpu"), settings.optimisation
    study = msgspec.structs.replace(study, precision="float32")
    places, losses = {"cpu": cpu, "gpu": device}, {"cpu": [], "gpu": []}
    prepared = {name: train.prepare(study, run, place) for name, place in places.items()}
    optimizers = {
        name: optimizers_for(one.model.train(), optimisation, settings.linear_rate)
        for name, one in prepared.items()
    }
    items, random = len(prepared["cpu"].split.train.labels), generator(cpu, run.seed)
    steps = optimisation.epochs * (items // optimisation.batch_size)
    for number in range(STEPS):
        index = torch.randperm(items, generator=random)[: optimisation.batch_size]
        views, labels = prepared["cpu"].batch(index, random)
        for name, place in places.items():
            loop.set_rate(optimizers[name], loop.rate_at(min(number, steps - 1), steps, optimisation))
            loss = prepared[name].objective(tuple(view.to(place) for view in views), labels.to(place))
            prepared[name].model.zero_grad(set_to_none=True)
            loss.backward()
            for optimizer in optimizers[name]:
                optimizer.step()
            losses[name].append(loss.item())
    apart = [abs(a - b) / abs(a) for a, b in zip(losses["cpu"], losses["gpu"], strict=True)]
    return {
        "first": apart[0],
        "largest": max(apart),
        "within": apart[0] <= FIRST and max(apart) <= LARGEST,
    } | losses


def seeds_explain(study: Study) -> Facts:
    """Small trainings of every kind, measured on val, beside those of the CPU in float32.

    What seeds explain is decided as in latents.report.verify_numbers.
    """
    on_cpu = msgspec.structs.replace(study, device="cpu", precision="float32", threads=1)
    jobs = [(on_cpu, run._replace(seed=seed)) for run in kinds(on_cpu) for seed in SEEDS]
    context, cores = multiprocessing.get_context("spawn"), len(os.sched_getaffinity(0))
    one_thread = dict.fromkeys(THREADS, "1")
    with (
        variables(one_thread),  # many processes of many threads would wait for each other
        concurrent.futures.ProcessPoolExecutor(cores, context) as pool,
    ):
        waiting = [pool.submit(measured, *job) for job in jobs]
        own = numbers([(run, measured(study, run)) for run in kinds(study)])
        cpu = numbers([(run, one.result()) for (_, run), one in zip(jobs, waiting, strict=True)])
    compared = compare_numbers(cpu, own)
    return {
        "compared": len(compared),
        "off": [one for one in compared if one["verdict"] == "off"],
        "numbers": [
            {key: one[key] for key in ("dataset", "method", "metric", "published", "own", "verdict")}
            for one in compared
            if one["metric"] in ("accuracy_linear", "accuracy_head", "mae")
        ],
    }


def measured(study: Study, run: Run) -> dict[str, float]:
    """Train a run and measure it on val."""
    path = Path(f"{study.checkpoints}/gpu-check-{os.getpid()}.checkpoint")
    with contextlib.redirect_stdout(io.StringIO()):
        trained = train.train(study, run, path)
        facts, *_ = evaluate.evaluate(study, run, trained.model, trained.model, final=False)
    path.unlink(missing_ok=True)
    return on_val(facts["metrics"])


def numbers(found: list[tuple[Run, dict[str, float]]]) -> dict[tuple, Seeds]:
    """By data set, method, metric and split, the values of all seeds."""
    made: dict[tuple, Seeds] = {}
    for run, values in found:
        for name, value in values.items():
            made.setdefault((run.dataset, run.method, name, "val"), {})[run.seed] = value
    return made


def on_val(metrics: list[dict[str, Any]]) -> dict[str, float]:
    """The metrics of a record that are of val."""
    return {one["metric"]: one["value"] for one in metrics if one["split"] == "val"}
