"""The training loop: one cycle of the learning rate, a curve, a checkpoint after each epoch; used for all that is trained."""

import io
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from tqdm import tqdm

from latents import record
from latents.config import Problem
from latents.device import generator
from latents.optimise import optimizers_for
from latents.settings import Optimisation

CURVE = ("epoch", "step", "loss", "val_loss", "lr")


def rate_at(step: int, steps: int, settings: Optimisation) -> float:
    """One cycle: up over `warmup` of the steps, then down to zero, both linear."""
    up = max(1.0, settings.warmup * steps)
    return settings.learning_rate * min(1.0, (step + 1) / up, (steps - step) / max(1.0, steps - up))


def fit(
    loss: Callable[[Tensor, Generator], Tensor],  # from an index of the batch's items
    validate: Callable[[Generator], float],
    module: torch.nn.Module,
    settings: Optimisation,
    items: int,
    seed: int,
    device: torch.device,
    *,
    name: str,
    linear_rate: float = 1.0,
    checkpoint: Path | None = None,
    identity: str = "",
) -> tuple[list[tuple[Any, ...]], float]:
    """The loop: `settings.epochs` passes over `items` items in whole batches; returns the curve, a row an epoch, and its seconds.

    With a checkpoint path, state is written there after each epoch and taken up from there if it has this identity.
    """
    optimizers = optimizers_for(module, settings, linear_rate)
    batch = min(settings.batch_size, items)
    per_epoch = items // batch
    steps = settings.epochs * per_epoch
    curve: list[tuple[Any, ...]] = []
    started, before = time.perf_counter(), 0.0
    if checkpoint and (state := read_checkpoint(checkpoint, identity, device)):
        module.load_state_dict(state["module"])
        for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        curve, before = [tuple(row) for row in state["curve"]], state["seconds"]
    bar = tqdm(total=steps, initial=len(curve) * per_epoch, desc=name, unit="step", disable=not sys.stderr.isatty())
    for epoch in range(len(curve), settings.epochs):
        module.train()
        random = generator(device, seed, epoch)
        order = torch.randperm(items, generator=random, device=device)
        total = torch.zeros((), device=device)
        for i in range(per_epoch):
            rate = rate_at(epoch * per_epoch + i, steps, settings)
            for group in itertools.chain(*(optimizer.param_groups for optimizer in optimizers)):
                group["lr"] = rate * group["share"]
            value = loss(order[i * batch : (i + 1) * batch], random)
            module.zero_grad(set_to_none=True)
            value.backward()
            for optimizer in optimizers:
                optimizer.step()
            total += value.detach()
            bar.update()
            if not bar.disable and i % 20 == 0:
                bar.set_postfix(loss=f"{value.item():.4f}")
        mean = total.item() / per_epoch
        if not np.isfinite(mean):
            raise Problem(f"{name}: the loss is not finite in epoch {epoch + 1}; lower its learning-rate in the configuration")
        module.eval()
        with torch.inference_mode():
            curve.append((epoch + 1, (epoch + 1) * per_epoch, mean, validate(generator(device, seed, 0, 1)), rate))
        seconds = before + time.perf_counter() - started
        if checkpoint:
            print(f"{name}: epoch {epoch + 1}, loss {mean:.4f}, val {curve[-1][3]:.4f}, {seconds:.0f} s", flush=True)
            state = {"identity": identity, "module": module.state_dict(), "optimizers": [optimizer.state_dict() for optimizer in optimizers]}
            buffer = io.BytesIO()
            torch.save(state | {"curve": curve, "seconds": seconds}, buffer)
            record.write_bytes(checkpoint, buffer.getvalue())
    bar.close()
    module.eval()
    return curve, before + time.perf_counter() - started


def read_checkpoint(path: Path, identity: str, device: torch.device) -> dict[str, Any] | None:
    """The checkpoint at path, or None, with a word on stderr, when it is broken or of another configuration or source."""
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        if state["identity"] == identity:
            return state
        reason = "is of another configuration or source"
    except Exception:  # torch.load has no error class of its own for a broken file
        reason = "cannot be read"
    print(f"{path}: {reason}; training starts from the beginning", file=sys.stderr)
    return None
