"""The training loop, used for everything that is trained.

It has a one-cycle learning rate, records a curve, and can write a checkpoint after each epoch.
"""

import contextlib
import itertools
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from tqdm import tqdm

from latents.checkpoint import Checkpoint, stop_signals
from latents.cli import Problem
from latents.device import generator, seed_of
from latents.optimise import optimizers_for
from latents.settings import Optimisation

CURVE = ("epoch", "step", "loss", "val_loss", "lr")
EAGER = 3  # steps before one is captured, in which libraries and optimisers set themselves up
MOST_LINES = 25  # of a curve; with more, many short epochs would spend most of their time on validation

Curve = list[tuple[Any, ...]]  # values of CURVE for each epoch or every few epochs


@dataclass(frozen=True)
class Task:
    """What is trained and how: a module, by a loss on `items` items, in full batches only."""

    name: str
    module: torch.nn.Module
    loss: Callable[[Tensor, Generator], Tensor]  # indices of items, generator -> loss
    items: int
    settings: Optimisation
    seed: int
    device: torch.device
    validate: Callable[[Generator], float] = lambda _: 0.0
    linear_rate: float = 1.0  # learning rate of linear paths, relative to the others'
    # is told each epoch before it begins, and says whether its steps are other operations than those before
    begin: Callable[[int], bool] = lambda _: False

    @property
    def batch(self) -> int:
        return min(self.settings.batch_size, self.items)

    @property
    def steps_per_epoch(self) -> int:
        return self.items // self.batch

    @property
    def steps(self) -> int:
        return self.settings.epochs * self.steps_per_epoch

    def ends_line(self, epoch: int) -> bool:
        """Whether the curve has a line for this epoch, counted from 0."""
        every = math.ceil(self.settings.epochs / MOST_LINES)
        return (epoch + 1) % every == 0 or epoch + 1 == self.settings.epochs


@dataclass
class Progress:
    """Progress of a training; part of a checkpoint, with module, optimisers and random state."""

    total: Tensor  # sum of the losses since the curve's last line
    step: int = 0
    curve: Curve = field(default_factory=list)
    seconds_before: float = 0.0  # of earlier processes
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    @property
    def mean_loss(self) -> float:
        """Mean loss since the curve's last line."""
        return self.total.item() / (self.step - (self.curve[-1][1] if self.curve else 0))


def rate_at(step: int, steps: int, settings: Optimisation) -> float:
    """One-cycle learning rate: linear rise over `warmup` of the steps, then linear fall to zero."""
    up = max(1.0, settings.warmup * steps)
    return settings.learning_rate * min(1.0, (step + 1) / up, (steps - step) / max(1.0, steps - up))


def fit(task: Task, checkpoint: Checkpoint | None = None) -> tuple[Curve, float]:
    """Train for `settings.epochs` epochs; returns the curve and the seconds.

    With a checkpoint, the state is written after each epoch, and at SIGTERM or SIGINT, which then end the
    process with status 128 + the signal's number. The next call resumes from it; weights and curve are the
    same as without an interruption.
    """
    optimizers = optimizers_for(task.module, task.settings, task.linear_rate)
    progress = Progress(torch.zeros((), device=task.device))
    state = checkpoint.read(task.device) if checkpoint else None
    if state:
        restore(state, task.module, optimizers, progress)
    random = Generator(task.device)
    step = Step(task, optimizers, random)
    with (
        stop_signals() if checkpoint else contextlib.nullcontext([]) as caught,
        bar_of(task, progress) as bar,
    ):

        def save() -> None:
            checkpoint.write(state_of(task.module, optimizers, progress) | {"random": random.get_state()})

        for epoch in range(progress.step // task.steps_per_epoch, task.settings.epochs):
            if task.begin(epoch):
                step = Step(task, optimizers, random)
            task.module.train()
            random.manual_seed(seed_of(task.seed, epoch))
            order = torch.randperm(task.items, generator=random, device=task.device)
            done = progress.step % task.steps_per_epoch
            if state and done:
                random.set_state(state["random"].cpu())
            for index in order.split(task.batch)[done : task.steps_per_epoch]:
                if caught:
                    save()
                    print(
                        f"{task.name}: stopped by {caught[0].name} after step {progress.step} "
                        f"of {task.steps}; the same command goes on from there",
                        file=sys.stderr,
                    )
                    sys.exit(128 + caught[0])
                rate = rate_at(progress.step, task.steps, task.settings)
                value = step(rate, index)
                progress.total += value
                progress.step += 1
                bar.update()
                if not bar.disable and progress.step % 20 == 1:
                    bar.set_postfix(loss=f"{value.item():.4f}")
            end_epoch(task, progress, epoch, rate, print_line=checkpoint is not None)
            if checkpoint:
                save()
    task.module.eval()
    return progress.curve, progress.seconds


class Step:
    """Takes training steps, each on the items at `index` and at a learning rate; returns the loss.

    On a GPU the first steps are launched operation by operation, as on a CPU. Then one is captured as a CUDA
    graph, which the host launches as a whole: these networks are small, and launching their hundreds of
    operations would take longer than computing them. Operations and random numbers are the same. A state is
    to be loaded before: that replaces the tensors which a captured step reads.
    """

    def __init__(self, task: Task, optimizers: list[torch.optim.Optimizer], random: Generator) -> None:
        self.task, self.optimizers, self.random = task, optimizers, random
        self.taken, self.graph = 0, None

    def __call__(self, rate: float, index: Tensor) -> Tensor:
        set_rate(self.optimizers, rate)
        self.taken += 1
        if self.task.device.type != "cuda" or self.taken <= EAGER:
            return self.descend(index)
        if self.graph is None:
            self.index = index.clone()
            self.graph, self.loss = captured(lambda: self.descend(self.index), self.random, self.task.name)
        self.index.copy_(index)
        self.graph.replay()
        return self.loss

    def descend(self, index: Tensor) -> Tensor:
        """One step of gradient descent."""
        loss = self.task.loss(index, self.random)
        self.task.module.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.detach()


def set_rate(optimizers: list[torch.optim.Optimizer], rate: float) -> None:
    """Set the learning rate of all groups, each to its share of it."""
    for group in itertools.chain(*(optimizer.param_groups for optimizer in optimizers)):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate * group["share"])
        else:
            group["lr"] = rate * group["share"]


def captured(call: Callable[[], Tensor], random: Generator, name: str) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    """A call on the GPU as a CUDA graph, not yet run, and the tensor in which each replay leaves its result.

    `random` is the generator that the call draws from. Raises Problem if the call cannot be captured.
    """
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(random)
    try:
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
            result = call()
    except RuntimeError as error:
        raise Problem(
            f"{name}: cannot be captured as a CUDA graph ({str(error).splitlines()[0]}); "
            "a step must read nothing back from the GPU, and bring nothing there"
        ) from error
    return graph, result


def end_epoch(task: Task, progress: Progress, epoch: int, rate: float, *, print_line: bool) -> None:
    """Add a line to the curve if one is due. Raises Problem if the loss is not finite."""
    mean, validation = progress.mean_loss, 0.0
    if task.ends_line(epoch):
        task.module.eval()
        with torch.inference_mode():
            validation = task.validate(generator(task.device, task.seed, 0, 1))
    if not np.isfinite([mean, validation]).all():  # the last step may have spoilt the weights alone
        raise Problem(
            f"{task.name}: the loss is not finite in epoch {epoch + 1}; "
            "lower its learning-rate in the configuration"
        )
    if not task.ends_line(epoch):
        return
    progress.curve.append((epoch + 1, progress.step, mean, validation, rate))
    progress.total.zero_()
    if print_line:
        seconds = f"{progress.seconds:.0f} s"
        print(f"{task.name}: epoch {epoch + 1}, loss {mean:.4f}, val {validation:.4f}, {seconds}", flush=True)


def bar_of(task: Task, progress: Progress) -> tqdm:
    """A progress bar, shown only on a terminal."""
    return tqdm(
        total=task.steps, initial=progress.step, desc=task.name, unit="step", disable=not sys.stderr.isatty()
    )


def state_of(
    module: torch.nn.Module, optimizers: list[torch.optim.Optimizer], progress: Progress
) -> dict[str, Any]:
    """The state in a checkpoint, except the random state."""
    return {
        "module": module.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "curve": progress.curve,
        "seconds": progress.seconds,
        "step": progress.step,
        "total": progress.total,
    }


def restore(
    state: dict[str, Any],
    module: torch.nn.Module,
    optimizers: list[torch.optim.Optimizer],
    progress: Progress,
) -> None:
    """Restore a state that `state_of` returned."""
    module.load_state_dict(state["module"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    progress.curve = [tuple(line) for line in state["curve"]]
    progress.seconds_before, progress.step, progress.total = state["seconds"], state["step"], state["total"]
