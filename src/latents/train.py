"""Train one run: one method or variant, one data set, one seed.

    python -m latents.train --config config/study.yaml --dataset cifar10 --method guided --seed 1 \
        --out guided.safetensors --record guided.json --curve guided.csv --timing guided.timing.json

writes weights, their record, the training curve and the timing. A run that fine-tunes the encoder of another
run takes the weights of that one with --start. All training images are on the device as uint8; a batch is a
tensor of indices, and its views are made on the device. A checkpoint is written beside the weights after each
epoch and at SIGTERM or SIGINT; the same command then resumes from it and ends with the same weights. All
randomness of an epoch comes from one generator, seeded by (seed, epoch).
"""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.flop_counter import FlopCounterMode

from latents import cli, config, data, record
from latents.checkpoint import Checkpoint
from latents.cli import Problem
from latents.device import autocast, device_of, generator, to_float
from latents.loop import CURVE, Curve, Task, fit
from latents.model import Model, build, load_run, save_model
from latents.plain import digest
from latents.study import Run, Study

VAL_IMAGES = 2000  # most validation images for the curve; only full batches are used

Views = tuple[Tensor, ...]


class Prepared(NamedTuple):
    """A run before its first step: networks fitted to the pixels, data, and the functions of a step."""

    model: Model
    split: data.Split
    batch: Callable[[Tensor, Generator], tuple[Views, Tensor]]  # indices of training images -> views, labels
    objective: Callable[[Views, Tensor], Tensor]  # views, labels -> loss
    validate: Callable[[Generator], float]

    def loss(self, index: Tensor, random: Generator) -> Tensor:
        return self.objective(*self.batch(index, random))


class Trained(NamedTuple):
    """The result of a training: networks, curve, facts for the record, and seconds by part."""

    model: Model
    curve: Curve
    facts: dict[str, Any]
    seconds: dict[str, float]


def prepare(
    study: Study,
    run: Run,
    device: torch.device,
    start: Path | None = None,
    memory_format: torch.memory_format = torch.channels_last,
) -> Prepared:
    """Build and fit the networks of a run, and move its images to the device as uint8.

    `start` holds the weights of the run whose encoder it starts from. Raises Problem if they are others.
    """
    settings, precision = study.settings(run.dataset, run.method), study.precision_of(run.dataset)
    split = data.load(study, run.dataset, with_test=False)
    seen = data.labelled(split.train.labels, settings.labels, study.dataset(run.dataset).split_seed)
    split = replace(split, train=split.train.at(seen))
    images, labels = (torch.from_numpy(part).to(device) for part in (split.train.images, split.train.labels))
    val_images, val_labels = (
        torch.from_numpy(part[:VAL_IMAGES]).to(device) for part in (split.val.images, split.val.labels)
    )
    model = build(study, run).to(device, memory_format=memory_format)
    if (other := study.start(run)) is None:
        model.fit(images)
    else:
        before = load_run(start, study, other).to(device, memory_format=memory_format)
        with autocast(device, precision):
            model.start_from(before, images)

    def views(pixels: Tensor, random: Generator) -> Views:
        with autocast(device, precision):
            return model.views(to_float(pixels, memory_format), random)

    def objective(seen: Views, classes: Tensor) -> Tensor:
        with autocast(device, precision):
            return model.objective(seen, classes)

    def validate(random: Generator) -> float:
        size = min(settings.optimisation.batch_size, len(val_images))
        parts = zip(val_images.split(size), val_labels.split(size), strict=True)
        losses = [
            objective(views(pixels, random), classes).item()
            for pixels, classes in parts
            if len(pixels) == size
        ]
        return float(np.mean(losses))

    def batch(index: Tensor, random: Generator) -> tuple[Views, Tensor]:
        return views(images[index], random), labels[index]

    return Prepared(model, split, batch, objective, validate)


def train(study: Study, run: Run, checkpoint: Path, start: Path | None = None) -> Trained:
    """Train a run; `pca` and `random` are only fitted. `start` as for `prepare`."""
    started = time.perf_counter()
    device = device_of(study)
    if study.precision_of(run.dataset) == "bfloat16" and device.type == "cpu" and not has_bfloat16():
        print(
            "precision: bfloat16 is configured, but this processor has no instructions for it; "
            "float32 would be faster",
            file=sys.stderr,
        )
    settings = study.settings(run.dataset, run.method)
    prepared = prepare(study, run, device, start)
    model, split = prepared.model, prepared.split
    facts = facts_of(study, run, prepared, device)
    facts |= {"start_sha256": record.sha256(start)} if start else {}
    if settings.optimisation is None:
        return Trained(model, [], facts, {"training": 0.0, "preparing": time.perf_counter() - started})
    task = Task(
        name=str(run),
        module=model,
        loss=prepared.loss,
        items=len(split.train.labels),
        settings=settings.optimisation,
        seed=run.seed,
        device=device,
        validate=prepared.validate,
        linear_rate=settings.linear_rate,
        begin=beginning(model, settings.early_epochs),
    )
    facts["train_flops"] = flops_of(task)
    decides = [
        device.type,
        study.training(run),
        record.source_sha256(),
        split.split_sha256,
        split.data_sha256,
        facts.get("start_sha256"),
    ]
    preparing = time.perf_counter() - started
    curve, seconds = fit(task, Checkpoint(checkpoint, digest(decides)))
    return Trained(model, curve, facts, {"training": seconds, "preparing": preparing})


def has_bfloat16() -> bool:
    """Whether the processor has bfloat16 instructions."""
    return torch.cpu.get_capabilities().get("avx512_bf16", True)


def facts_of(study: Study, run: Run, prepared: Prepared, device: torch.device) -> dict[str, Any]:
    """The part of the record that is known before training."""
    split, encoder = prepared.split, prepared.model.encoder
    weights = list(encoder.parameters()) or list(encoder.buffers())  # PCA has only buffers, which are fitted
    return {
        "dataset": run.dataset,
        "run": run.method,
        "seed": run.seed,
        "study": study.study,
        "method": run.base,
        "variant": run.variant,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": study.threads,
        "precision": study.precision_of(run.dataset),
        "train_images": len(split.train.labels),
        "split_sha256": split.split_sha256,
        "data_sha256": split.data_sha256,
        "parameters": sum(part.numel() for part in weights),
        "train_flops": 0,
    }


def beginning(model: Model, early_epochs: int) -> Callable[[int], bool]:
    """What `Task.begin` is: it gives the model the views of an epoch, and says whether they are others."""

    def begin(epoch: int) -> bool:
        before, model.early = model.early, epoch < early_epochs
        return model.early != before

    return begin


def flops_of(task: Task) -> int:
    """FLOPs of a training, forward and backward, without the optimiser."""
    total = a_step = 0
    for epoch in range(task.settings.epochs):
        if task.begin(epoch) or not a_step:
            a_step = flops_of_step(task)
        total += task.steps_per_epoch * a_step
    return total


def flops_of_step(task: Task) -> int:
    """FLOPs of one training step, forward and backward, without the optimiser.

    The module's state is the same afterwards.
    """
    before = {name: value.clone() for name, value in task.module.state_dict().items()}
    task.module.train()
    with FlopCounterMode(display=False) as counter:
        task.loss(torch.arange(task.batch, device=task.device), generator(task.device, 0)).backward()
    task.module.zero_grad(set_to_none=True)
    task.module.load_state_dict(before)
    return counter.get_total_flops()


def timing(parts: dict[str, float]) -> dict[str, Any]:
    """The content of a timing file: seconds, in total and by part, and peak memory in bytes.

    If a training was resumed, its seconds are those of all processes; those of preparation are of the last.
    """
    return {
        "format": record.FORMAT,
        "seconds": round(sum(parts.values()), 3),
        "parts": {name: round(seconds, 3) for name, seconds in parts.items()},
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


@cli.command
def main() -> None:
    parser = cli.parser(
        __doc__, "config", "dataset", "method", "seed", paths=("out", "record", "curve", "timing")
    )
    parser.add_argument("--machine", type=Path, help="the file of latents.machine; for precision: auto")
    parser.add_argument("--start", type=Path, nargs="?", help="weights of the run that this one starts from")
    options = parser.parse_args()
    study = config.settled(config.read(options.config), options.machine)
    run = Run(options.dataset, options.method, options.seed)
    if bool(other := study.start(run)) != bool(options.start):
        raise Problem(
            f"{run}: starts from {other or 'no other run'}, and --start names {options.start or 'nothing'}; "
            "give the weights of the run that it starts from, or leave out --start"
        )
    checkpoint = options.out.with_suffix(".checkpoint")
    trained = train(study, run, checkpoint, options.start)
    training = study.training(run)
    save_model(options.out, trained.model, training)
    curve = record.csv_text(CURVE, trained.curve)
    record.write_text(options.curve, curve)
    record.write_json(options.timing, timing(trained.seconds))
    made = {
        "weights_sha256": record.sha256(options.out),
        "curve_sha256": record.sha256(curve.encode()),
    }
    record.write_json(options.record, record.header(training) | trained.facts | made)
    checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
