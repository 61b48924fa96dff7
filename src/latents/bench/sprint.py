"""How long the whole training command of `guided` on CIFAR-10 takes to reach a given accuracy on test."""

import os
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from latents import config, data, record
from latents.bench import workflow
from latents.bench.compare import say
from latents.bench.settings import Bench
from latents.bench.worker import Worker
from latents.device import device_of
from latents.encode import encode
from latents.model import load_model
from latents.study import ALLOCATOR

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def sprint(bench: Bench, path: str, folder: Path, *, final: bool) -> dict[str, Any]:
    """Seconds of every seed's training command, and then the accuracy of its classification head in percent.

    `final`: on test, which is opened after the last training; otherwise on val.
    """
    threads = str(config.read(path).threads)
    environment = os.environ | ALLOCATOR | dict.fromkeys(THREADS, threads)
    seeds = []
    for seed in bench.sprint.seeds:
        out = {name: str(folder / f"sprint{seed}.{name}") for name in ("out", "record", "curve", "timing")}
        files = [word for name, file in out.items() for word in (f"--{name}", file)]
        run = ["--config", path, "--dataset", "cifar10", "--method", "guided", "--seed", str(seed)]
        command = [sys.executable, "-m", "latents.train", *run, *files]
        seconds = workflow.timed(*command, folder=record.ROOT, environment=environment)
        parts = record.read_json(out["timing"])["parts"]
        seeds.append({"seed": seed, "seconds": seconds, "parts": parts, "weights": out["out"]})
        say(f"sprint, seed {seed}: {seconds:.0f} s")
    for one in seeds:
        with Worker() as tuned:
            one["accuracy"] = tuned(head_accuracy, path, one.pop("weights"), "cifar10", final=final)
    return {
        "seeds": seeds,
        "split": "test" if final else "val",
        "accuracy": fmean(one["accuracy"] for one in seeds),
        "seconds": fmean(one["seconds"] for one in seeds),
        "changes": bench.sprint.changes,
    }


def head_accuracy(path: str, weights: str, dataset: str, *, final: bool) -> float:
    """Accuracy in percent of a model's classification head, on test (`final`) or on val."""
    study = config.read(path)
    device = device_of(study)
    model, *_ = load_model(weights, study)
    model.to(device).eval()
    split = data.load(study, dataset, with_test=final)
    part = split.test if final else split.val
    with torch.inference_mode():
        codes = encode(model.encoder, torch.from_numpy(part.images).to(device), study.precision_of(dataset))
        predicted = model.head(codes).argmax(1)
    return 100 * (predicted.cpu() == torch.from_numpy(part.labels)).double().mean().item()
