"""The training loop: one cycle of the learning rate, a curve, a checkpoint after each epoch and at a stop; used for all that is trained."""

import contextlib
import io
import itertools
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
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
ROWS = 25  # of a curve, at most: many short epochs would spend their time on validating


def rate_at(step: int, steps: int, settings: Optimisation) -> float:
    """One cycle: up over `warmup` of the steps, then down to zero, both linear."""
    up = max(1.0, settings.warmup * steps)
    return settings.learning_rate * min(1.0, (step + 1) / up, (steps - step) / max(1.0, steps - up))


@contextlib.contextmanager
def stops() -> Iterator[list[signal.Signals]]:
    """Inside, SIGTERM (a scheduler's preemption) and SIGINT (Ctrl-C) are listed, for the loop to end at its next step."""
    caught: list[signal.Signals] = []
    kinds = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(kind, lambda number, _: caught.append(signal.Signals(number))) for kind in kinds]
    try:
        yield caught
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


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
    """The loop: `settings.epochs` passes over `items` items in whole batches; returns the curve, a row an epoch or every few, and its seconds.

    With a checkpoint path, state is written there after each epoch and at SIGTERM or SIGINT, which then end the process with
    128 + the signal's number, and is taken up from there if it has this identity; weights and curve are as if nothing had been.
    """
    optimizers = optimizers_for(module, settings, linear_rate)
    batch = min(settings.batch_size, items)
    per_epoch = items // batch
    steps = settings.epochs * per_epoch
    curve: list[tuple[Any, ...]] = []
    started, before, done, total = time.perf_counter(), 0.0, 0, torch.zeros((), device=device)
    state = read_checkpoint(checkpoint, identity, device) if checkpoint else None
    if state:
        module.load_state_dict(state["module"])
        for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        curve, before, done, total = [tuple(row) for row in state["curve"]], state["seconds"], state["step"], state["total"]

    def save(random: Generator) -> None:
        now = {
            "identity": identity, "module": module.state_dict(), "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "curve": curve, "seconds": before + time.perf_counter() - started, "step": done, "total": total, "random": random.get_state(),
        }  # fmt: skip
        buffer = io.BytesIO()
        torch.save(now, buffer)
        content = buffer.getvalue()
        record.write_bytes(checkpoint, bytes.fromhex(record.sha256(content)) + content)

    bar = tqdm(total=steps, initial=done, desc=name, unit="step", disable=not sys.stderr.isatty())
    with stops() if checkpoint else contextlib.nullcontext([]) as caught, bar:
        for epoch in range(done // per_epoch, settings.epochs):
            module.train()
            random = generator(device, seed, epoch)
            order = torch.randperm(items, generator=random, device=device)
            if state and done % per_epoch:
                random.set_state(state["random"].cpu())
            for i in range(done % per_epoch, per_epoch):
                if caught:
                    save(random)
                    print(f"{name}: stopped by {caught[0].name} after step {done} of {steps}; the same command goes on from there", file=sys.stderr)
                    sys.exit(128 + caught[0])
                rate = rate_at(done, steps, settings)
                for group in itertools.chain(*(optimizer.param_groups for optimizer in optimizers)):
                    group["lr"] = rate * group["share"]
                value = loss(order[i * batch : (i + 1) * batch], random)
                module.zero_grad(set_to_none=True)
                value.backward()
                for optimizer in optimizers:
                    optimizer.step()
                total += value.detach()
                done += 1
                bar.update()
                if not bar.disable and i % 20 == 0:
                    bar.set_postfix(loss=f"{value.item():.4f}")
            mean = total.item() / (done - (curve[-1][1] if curve else 0))
            if not np.isfinite(mean):
                raise Problem(f"{name}: the loss is not finite in epoch {epoch + 1}; lower its learning-rate in the configuration")
            if (epoch + 1) % math.ceil(settings.epochs / ROWS) == 0 or done == steps:
                module.eval()
                with torch.inference_mode():
                    curve.append((epoch + 1, done, mean, validate(generator(device, seed, 0, 1)), rate))
                total.zero_()
                if checkpoint:
                    print(f"{name}: epoch {epoch + 1}, loss {mean:.4f}, val {curve[-1][3]:.4f}, {before + time.perf_counter() - started:.0f} s", flush=True)
            if checkpoint:
                save(random)
    module.eval()
    return curve, before + time.perf_counter() - started


def read_checkpoint(path: Path, identity: str, device: torch.device) -> dict[str, Any] | None:
    """The checkpoint at path, or None, with a word on stderr, when it is broken or of another configuration or source."""
    if not path.exists():
        return None
    content = path.read_bytes()
    seal, content = content[:32], content[32:]
    if record.sha256(content) == seal.hex():
        state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
        if state["identity"] == identity:
            return state
        reason = "is of another configuration or source"
    else:
        reason = "is damaged"
    print(f"{path}: {reason}; training starts from the beginning", file=sys.stderr)
    return None
