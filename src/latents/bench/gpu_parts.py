"""What the check of a GPU measures: a function for each part (PARTS) that returns its part of the record."""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import msgspec
import torch
from torch import Generator, Tensor

from latents import evaluate, loop, machine, record, train
from latents.bench import agreement
from latents.bench.agreement import kinds, on_val, waited
from latents.bench.loops import convolver, flops_of_convolution
from latents.cli import Problem
from latents.device import autocast, to_float
from latents.model import build
from latents.optimise import optimizers_for
from latents.study import ALLOCATOR, Run, Study

# channels in and out, pixels a side, images
CONVOLUTIONS = [(64, 64, 32, 1024), (256, 256, 16, 1024), (256, 256, 8, 2048), (512, 512, 8, 2048)]
COPY = 2**30  # bytes whose copying is timed
JOBS = 3  # trainings at once on one GPU, beside one alone
WRITTEN = ("out", "record", "curve", "timing")  # by a training job

Facts = dict[str, Any]


class Check(NamedTuple):
    """What is measured, and where. The studies have the device and a settled precision."""

    study: Study
    large: Study
    small: Study
    device: torch.device
    reference: Path  # results of a finished study
    folder: Path  # for what is not kept


def seconds_of(call: Callable[[], Any], device: torch.device, least: float = 0.2) -> float:
    """Median seconds of a call, over three rounds that last for `least` seconds each."""
    call()
    started = waited(device)
    call()
    repeats = max(1, round(least / max(1e-6, waited(device) - started)))
    rounds = []
    for _ in range(3):
        started = waited(device)
        for _ in range(repeats):
            call()
        rounds.append((waited(device) - started) / repeats)
    return median(rounds)


def peaks(check: Check) -> Facts:
    """The fastest 3x3 convolutions, forward and backward, in FLOP/s, and the bytes/s of copying."""
    convolutions, small = {}, check.device.type == "cpu"
    for *shape, batch in CONVOLUTIONS:
        sizes = (*shape, batch // 32 if small else batch)
        for precision in machine.PRECISIONS:
            convolve = convolver(sizes, getattr(torch, precision), check.device)
            rate = flops_of_convolution(sizes) / seconds_of(convolve, check.device)
            convolutions[f"{precision} {' '.join(map(str, sizes))}"] = rate
    source = torch.zeros(COPY // 64 if small else COPY, dtype=torch.uint8, device=check.device)
    target = torch.empty_like(source)
    copied = 2 * len(source) / seconds_of(lambda: target.copy_(source), check.device)
    return {"convolutions": convolutions, "bytes_per_second": copied}


def whole(check: Check, study: Study, run: Run) -> Facts:
    """Train a run as the study does, and measure it on val, beside the committed run where that has it."""
    if check.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    trained = train.train(study, run, check.folder / "whole.checkpoint")
    (check.folder / "whole.checkpoint").unlink(missing_ok=True)
    facts, _, seconds = evaluate.evaluate(study, run, trained.model, trained.model, final=False)
    beside = sorted((check.reference / f"records/{run.dataset}/{run.method}").glob("*.json"))
    published = [on_val(record.read_json(path)["metrics"]) for path in beside]
    found = on_val(facts["metrics"])
    return {
        "run": str(run),
        "precision": study.precision_of(run.dataset),
        "seconds": trained.seconds | {f"evaluation, {part}": spent for part, spent in seconds.items()},
        "train_flops": trained.facts["train_flops"],
        "peak_gpu_bytes": torch.cuda.max_memory_allocated() if check.device.type == "cuda" else None,
        "val": found,
        "val_of_committed_runs": {
            name: [one[name] for one in published if name in one] for name in found if published
        },
    }


def guided(check: Check) -> Facts:
    """`guided` on CIFAR-10, whole."""
    return whole(check, check.study, Run("cifar10", "guided", 1))


def contrastive(check: Check) -> Facts:
    """`contrastive` on CIFAR-10, whole."""
    return whole(check, check.study, Run("cifar10", "contrastive", 1))


def large_guided(check: Check) -> Facts:
    """`guided` of the large study on CIFAR-10, whole."""
    return whole(check._replace(reference=check.folder), check.large, Run("cifar10", "guided", 1))


def speed(check: Check) -> dict[str, dict[str, Facts]]:
    """For every kind of training of study and large study: images a second, and where a step's time goes."""
    return {
        study.study: {str(run): speed_of(check, study, run) for run in kinds(study)}
        for study in (check.study, check.large)
    }


def speed_of(check: Check, study: Study, run: Run) -> Facts:
    """Seconds of a step and its parts on random images. `host`: what launching every operation adds."""
    settings, device = study.settings(run.dataset, run.method), check.device
    n, random = settings.optimisation.batch_size, Generator(device).manual_seed(run.seed)
    pixels, labels = machine.random_images(run, n, random)
    index = torch.arange(n, device=device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    model = build(study, run).to(device, memory_format=torch.channels_last).train()
    optimizers = optimizers_for(model, settings.optimisation, settings.linear_rate)
    loop.set_rate(optimizers, 0.0)

    def views() -> tuple[Tensor, ...]:
        with autocast(device, study.precision_of(run.dataset)):
            return model.views(to_float(pixels[index]), random)

    def forward() -> Tensor:
        with autocast(device, study.precision_of(run.dataset)):
            return model.objective(views(), labels)

    def backward() -> Tensor:
        loss = forward()
        model.zero_grad(set_to_none=True)
        loss.backward()
        return loss.detach()

    def step() -> Tensor:
        loss = backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss

    stages = {"data": lambda: views()[0], "forward": forward, "backward": backward, "optimizer": step}
    for _ in range(loop.EAGER):
        step()
    eager = seconds_of(step, device)
    spent = {}
    for name, call in stages.items():
        if device.type == "cuda":
            graph, _ = loop.captured(call, random, f"{run}, {name}")
            spent[name] = seconds_of(graph.replay, device)
            del graph, _
        else:
            spent[name] = seconds_of(call, device)
    ends = list(spent.values())
    parts = dict(zip(spent, [ends[0], *(b - a for a, b in itertools.pairwise(ends))], strict=True))
    flops = machine.flops_per_image(study, run) * n
    return {
        "batch": n,
        "images_per_second": n / spent["optimizer"],
        "flops_per_second": flops / spent["optimizer"],
        "parts": parts | {"host": eager - spent["optimizer"]},
        "peak_gpu_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    }


def jobs(check: Check) -> Facts:
    """Seconds of a whole training job of `guided` on CIFAR-10, alone and beside others on the same GPU."""
    path = check.folder / "study.yaml"
    record.write_text(path, msgspec.json.encode(check.study).decode())  # JSON is YAML
    found = {}
    for at_once in (1, JOBS):
        started = time.perf_counter()
        outs = [
            {name: str(check.folder / f"job{seed}.{name}") for name in WRITTEN} for seed in range(at_once)
        ]
        processes = [train_job(path, seed, files) for seed, files in enumerate(outs, 1)]
        if any(status for status in [process.wait() for process in processes]):  # none goes on alone
            raise Problem("a training job failed; its error is above")
        spent = time.perf_counter() - started
        parts = [record.read_json(files["timing"])["parts"] for files in outs]
        found[str(at_once)] = {"seconds": spent, "parts": parts}
    return found


def train_job(path: Path, seed: int, files: dict[str, str]) -> subprocess.Popen:
    """Start the training command of `guided` on CIFAR-10, as the study's rule does."""
    run = {"config": str(path), "dataset": "cifar10", "method": "guided", "seed": str(seed)}
    options = [word for name, value in (run | files).items() for word in (f"--{name}", value)]
    command = [sys.executable, "-m", "latents.train", *options]
    return subprocess.Popen(command, env=os.environ | ALLOCATOR, stdout=subprocess.DEVNULL)


# what matters most comes first, since a machine may be lent for minutes
PARTS: dict[str, Callable[[Check], Facts]] = {
    "guided": guided,
    "same_bytes": lambda check: agreement.same_bytes(check.small, check.device, check.folder),
    "first_losses": lambda check: agreement.first_losses(check.small, check.device),
    "peaks": peaks,
    "speed": speed,
    "contrastive": contrastive,
    "jobs": jobs,
    "large_guided": large_guided,
    "seeds_explain": lambda check: agreement.seeds_explain(check.small),
}
