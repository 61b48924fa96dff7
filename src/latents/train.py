"""Train one cell: one method, one data set, one seed.

    python -m latents.train --config config/study.yaml --dataset cifar10 --run guided --seed 1 \
        --out guided.safetensors --record guided.json --curve guided.csv --timing guided.timing.json

All training images are on the device as uint8; a batch is an index, its views are made there. A checkpoint is written
after each epoch, and at SIGTERM or SIGINT, beside the output; started again, the same command goes on from it and ends with
the same weights. All randomness of an epoch comes from one generator seeded by (seed, epoch).
"""

import argparse
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
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from latents import augment, config, data, networks, objectives, record
from latents.config import Study
from latents.device import device_of, generator, to_float
from latents.loop import CURVE, fit
from latents.model import Model, build, save_model
from latents.settings import Autoencoder, AutoencoderPlus, Contrastive, Guided, Optimisation, Strict

VAL_IMAGES = 2000  # of the validation images, for the curve: as many whole batches as are in them


def loss_of(model: Model, settings: Strict, images: Tensor, labels: Tensor, random: Generator) -> Tensor:
    """The objective of a method on a batch: images float [n, c, h, w], labels [n]."""
    match settings:
        case Autoencoder():
            return functional.l1_loss(model.decoder(model.encoder(images)), images)
        case AutoencoderPlus():
            target = augment.view(images, settings.augmentation, random)
            clean = augment.chance(len(target), settings.clean_fraction, random).view(-1, 1, 1, 1)
            seen = torch.where(clean, target, augment.view(target, settings.corruption, random))
            codes = model.encoder(seen)
            loss = functional.l1_loss(model.decoder(codes), target)
            if settings.gradient_weight:
                loss = loss + settings.gradient_weight * functional.l1_loss(model.gradients(codes), objectives.gradient_histograms(target))
            return loss
        case Guided():
            view = augment.view(images, settings.augmentation, random)
            return functional.cross_entropy(model.head(model.encoder(view)).float(), labels, label_smoothing=settings.label_smoothing)
        case Contrastive():
            views = torch.cat([augment.view(images, settings.augmentation, random) for _ in range(2)])
            codes = model.encoder(views)
            z = model.projector(codes)
            if not model.uses_labels:
                return objectives.nt_xent(z, settings.temperature)
            # its own head learns beside it, on codes that it cannot change
            classification = functional.cross_entropy(model.head(codes.detach()).float(), labels.repeat(2))
            return objectives.supcon(z, labels, settings.temperature) + classification
    raise TypeError(settings)


class Prepared(NamedTuple):
    """A cell before its first step: the model fitted to the pixels, the data's split, and the objective on them."""

    model: Model
    split: data.Split
    loss: Callable[[Tensor, Generator], Tensor]  # of an index of training images
    validate: Callable[[Generator], float]


def prepare(study: Study, dataset: str, run: str, seed: int, device: torch.device) -> Prepared:
    """Build and fit the model of a cell, and bring its images to the device as uint8."""
    settings = study.method(dataset, run)
    split = data.load(study, dataset, with_test=False)
    seen = data.labelled(split.train.labels, getattr(settings, "labels", 1.0), study.dataset(dataset).split_seed)
    split = replace(split, train=data.Part(split.train.images[seen], split.train.labels[seen], split.train.indices[seen]))
    images, labels = (torch.from_numpy(part).to(device) for part in (split.train.images, split.train.labels))
    val_images, val_labels = (torch.from_numpy(part[:VAL_IMAGES]).to(device) for part in (split.val.images, split.val.labels))
    model = build(study, dataset, run, seed)
    fit_to_pixels(model, settings, torch.from_numpy(split.train.images))
    model.to(device, memory_format=torch.channels_last)

    def objective(pictures: Tensor, classes: Tensor, random: Generator) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=study.precision == "bfloat16"):
            return loss_of(model, settings, to_float(pictures), classes, random)

    def validate(random: Generator) -> float:
        size = min(settings.optimisation.batch_size, len(val_images))
        parts = zip(val_images.split(size), val_labels.split(size), strict=True)
        return float(np.mean([objective(*part, random).item() for part in parts if len(part[0]) == size]))

    return Prepared(model, split, lambda index, random: objective(images[index], labels[index], random), validate)


def train(study: Study, dataset: str, run: str, seed: int, checkpoint: Path) -> tuple[Model, list[tuple[Any, ...]], dict[str, Any], dict[str, float]]:
    """Train a cell; returns the model, its curve, the facts of its record and its seconds by part. `pca` and `random` are only fitted."""
    started = time.perf_counter()
    device = device_of(study)
    if study.precision == "bfloat16" and device.type == "cpu" and not torch.cpu.get_capabilities().get("avx512_bf16", True):
        print("precision: bfloat16 is configured, but this processor has no instructions for it; float32 would be faster", file=sys.stderr)
    settings = study.method(dataset, run)
    model, split, loss, validate = prepare(study, dataset, run, seed, device)
    items = len(split.train.labels)
    facts: dict[str, Any] = {
        "dataset": dataset, "run": run, "seed": seed, "study": study.study,
        "method": run.partition(".")[0], "variant": run.partition(".")[2] or "main",
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": study.threads, "precision": study.precision,
        "train_images": items, "split_sha256": split.split_sha256, "data_sha256": split.data_sha256,
        "parameters": sum(p.numel() for p in model.encoder.parameters()), "train_flops": 0,
    }  # fmt: skip
    if settings is None:
        if run == "pca":
            facts["parameters"] = model.encoder.mean.numel() + model.encoder.components.numel()
        return model, [], facts, {"training": 0.0, "preparing": time.perf_counter() - started}

    optimisation = settings.optimisation
    steps = optimisation.epochs * (items // min(optimisation.batch_size, items))
    facts["train_flops"] = steps * flops_of_step(model, loss, optimisation, device, items)
    identity = config.digest([device.type, study.training(dataset, run, seed), record.source_sha256(), split.split_sha256, split.data_sha256])
    preparing = time.perf_counter() - started
    curve, seconds = fit(
        loss, validate, model, optimisation, items, seed, device,
        name=f"{dataset}/{run}/seed{seed}", linear_rate=getattr(settings, "linear_rate", 1.0), checkpoint=checkpoint, identity=identity,
    )  # fmt: skip
    return model, curve, facts, {"training": seconds, "preparing": preparing}


def fit_to_pixels(model: Model, settings: Strict | None, images: Tensor) -> None:
    """Fit what is fitted, not learnt, on the training images uint8 [n, c, h, w]: PCA, standardisation, whitening."""
    model.encoder.fit(images if isinstance(model.encoder, networks.PCA) else to_float(images[:5000]))
    if isinstance(settings, AutoencoderPlus) and settings.linear_path:
        model.start_from_pca(images)


def flops_of_step(model: Model, loss: Callable[[Tensor, Generator], Tensor], settings: Optimisation, device: torch.device, items: int) -> int:
    """FLOPs of one training step, forward and backward, the optimiser's left out; leaves the model as it was."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batch = min(settings.batch_size, items)
    model.train()
    with FlopCounterMode(display=False) as counter:
        loss(torch.arange(batch, device=device), generator(device, 0)).backward()
    model.zero_grad(set_to_none=True)
    model.load_state_dict(before)
    return counter.get_total_flops()


def timing(parts: dict[str, float]) -> dict[str, Any]:
    """What a timing file holds: seconds and their parts, peak memory in bytes.

    A resumed training counts the seconds of all its processes, of preparation those of the last.
    """
    return {
        "format": record.FORMAT, "seconds": round(sum(parts.values()), 3), "parts": {k: round(v, 3) for k, v in parts.items()},
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }  # fmt: skip


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("config", "dataset", "run", "out", "record", "curve", "timing"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    study = config.read(options.config)
    checkpoint = Path(options.out).with_suffix(".checkpoint")
    model, curve, facts, parts = train(study, options.dataset, options.run, options.seed, checkpoint)
    training = study.training(options.dataset, options.run, options.seed)
    save_model(options.out, model, training)
    rows = "\n".join(",".join(map(str, row)) for row in [CURVE, *curve]) + "\n"
    record.write_text(options.curve, rows)
    record.write_json(options.timing, timing(parts))
    made = {"weights_sha256": record.sha256(Path(options.out)), "curve_sha256": record.sha256(rows.encode())}
    record.write_json(options.record, record.header(training) | facts | made)
    checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
