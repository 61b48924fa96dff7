"""Steps of our loop and of the ordinary one, their parts, and the convolution that is the machine's peak.

Everything here runs in the processes of `latents.bench.worker`. A run is prepared once in a process.
"""

import contextlib
import functools
import io
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from latents import config, train
from latents.bench import ordinary
from latents.device import device_of, generator
from latents.loop import Task, fit
from latents.optimise import optimizers_for
from latents.study import Run, Study

COPIED = 2**28  # bytes
GATHERED = ("aten::index", "aten::index_select", "aten::gather")  # operations that read a part of a tensor
REPLACED = ("aten::fill_", "aten::zero_", "aten::copy_")  # those that do not read what they write to
FEWEST, FEWEST_ORDINARY = 3, 6  # steps of a measurement: a loader's batches come in bursts


@functools.cache
def study_at(path: str) -> Study:
    """The study of a configuration, read once in a process."""
    return config.read(path)


@functools.cache
def prepare_once(path: str, run: Run, channels_last: bool) -> tuple[train.Prepared, dict[str, Tensor]]:
    """A run of the study at `path` before its first step, and a copy of its first weights."""
    study = study_at(path)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    found = train.prepare(study, run, device_of(study), memory_format=layout)
    return found, {name: value.clone() for name, value in found.model.state_dict().items()}


def prepare(path: str, run: Run, *, channels_last: bool = True) -> train.Prepared:
    """The same, with its first weights again; without channels_last in torch's default memory format.

    Sets threads and deterministic algorithms as a training does.
    """
    device_of(study_at(path))
    found, weights = prepare_once(path, run, channels_last)
    found.model.load_state_dict(weights)
    return found


def task_of(path: str, run: Run, prepared: train.Prepared, items: int) -> Task:
    """One epoch over the first `items` training images of a prepared run, without validation."""
    study = study_at(path)
    settings = study.settings(run.dataset, run.method)
    return Task(
        name=str(run),
        module=prepared.model,
        loss=prepared.loss,
        items=items,
        settings=replace(settings.optimisation, epochs=1),
        seed=run.seed,
        device=device_of(study),
        linear_rate=settings.linear_rate,
    )


def rate(
    steps: Callable[[int], float], items: int, seconds: float, fewest: int = FEWEST, most: int = 1000
) -> float:
    """Items a second, with `items` in each step: `steps(k)` takes k steps and returns their seconds.

    After a warm-up it takes as many steps as last for `seconds`, between `fewest` and `most`.
    """
    steps(1)
    k = min(most, max(fewest, round(seconds / steps(1))))
    return items * k / steps(k)


def ours(path: str, run: Run, seconds: float, *, channels_last: bool = True) -> float:
    """Images a second of `loop.fit` itself; without channels_last in torch's default memory format."""
    prepared = prepare(path, run, channels_last=channels_last)
    images = len(prepared.split.train.labels)
    batch = task_of(path, run, prepared, images).settings.batch_size

    def steps(k: int) -> float:
        with contextlib.redirect_stderr(io.StringIO()):  # no progress bar
            return fit(task_of(path, run, prepared, k * batch))[1]

    return rate(steps, batch, seconds, most=images // batch)


def theirs(path: str, run: Run, seconds: float, workers: int) -> float:
    """Images a second of the ordinary loop, once its workers have started and filled their queue."""
    study = study_at(path)
    prepared, settings = prepare(path, run, channels_last=False), study.settings(run.dataset, run.method)
    torch.use_deterministic_algorithms(False)  # PyTorch's default
    optimisation = settings.optimisation
    images = ordinary.published(Path(study.data), run.dataset, ordinary.views(settings, run.dataset))
    loader = ordinary.batches(images, prepared.split.train.indices.tolist(), optimisation.batch_size, workers)
    stream = ordinary.steps(prepared.model, settings, loader, lambda _: optimisation.learning_rate)

    def steps(k: int) -> float:
        started = time.perf_counter()
        for _ in itertools.islice(stream, k):
            pass
        return time.perf_counter() - started

    steps(2 * workers + 1)
    found = rate(steps, optimisation.batch_size, seconds, FEWEST_ORDINARY)
    stream.close()
    return found


def parts(path: str, run: Run, seconds: float) -> dict[str, float]:
    """Seconds of a step's parts (medians) and of validating once; and what a step does.

    `flops` are those of forward and backward, `products` the same with the optimiser's; `bytes`: `Traffic`.

    For a CPU, where a call ends when its work is done. `data`: from bytes to views; `forward`: from views
    to the loss.
    """
    prepared = prepare(path, run)
    task = task_of(path, run, prepared, len(prepared.split.train.labels))
    optimizers = optimizers_for(prepared.model, task.settings, task.linear_rate)
    index = torch.arange(task.batch, device=task.device)

    def step(number: int) -> dict[str, float]:
        random = generator(task.device, run.seed, number)
        moments = [time.perf_counter()]
        views, labels = prepared.batch(index, random)
        moments.append(time.perf_counter())
        loss = prepared.objective(views, labels)
        moments.append(time.perf_counter())
        prepared.model.zero_grad(set_to_none=True)
        loss.backward()
        moments.append(time.perf_counter())
        for optimizer in optimizers:
            optimizer.step()
        moments.append(time.perf_counter())
        spent = [b - a for a, b in itertools.pairwise(moments)]
        stages = dict(zip(("data", "forward", "backward", "optimizer"), spent, strict=True))
        return stages | {"step": moments[-1] - moments[0]}

    prepared.model.train()
    last = [step(number) for number in range(FEWEST)][-1]
    found = [step(number) for number in range(max(FEWEST, round(seconds / last["step"])))]
    result = {part: median(one[part] for one in found) for part in found[0]}
    prepared.model.eval()
    started = time.perf_counter()
    with torch.inference_mode():
        prepared.validate(generator(task.device, run.seed))
    result["validation"] = time.perf_counter() - started
    prepared.model.train()
    with FlopCounterMode(display=False) as counter, Traffic() as traffic:
        step(0)
    counted = {"products": counter.get_total_flops(), "bytes": traffic.bytes}
    return result | {"flops": train.flops_of_step(task)} | counted


def tensors(found: Any) -> list[Tensor]:
    """All tensors in nested lists and dictionaries."""
    return [one for one in tree_leaves(found) if isinstance(one, Tensor)]


def size(tensor: Tensor) -> int:
    """Bytes of a tensor; an expanded one has fewer than elements."""
    return min(tensor.nbytes, tensor.untyped_storage().nbytes())


class Traffic(TorchDispatchMode):
    """Counts the bytes that all operations but convolutions and matrix products read and write.

    Every operation counts for itself, as if none found its input in a cache.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple = (), keywords: dict | None = None
    ) -> Any:
        result = function(*arguments, **(keywords or {}))
        schema, name = function._schema, function.name().partition(".")[0]
        product = function.overloadpacket in flop_registry
        view = any(one.alias_info and not one.alias_info.is_write for one in schema.returns)
        if product or view or "empty" in name:
            return result
        names = [one.name for one in schema.arguments]
        given = dict(zip(names, arguments, strict=False)) | (keywords or {})
        changed = [one.name for one in schema.arguments if one.alias_info and one.alias_info.is_write]
        written = tensors([given.get(name) for name in changed])
        known = {id(one) for one in written}
        made = [one for one in tensors(result) if id(one) not in known]
        read = [one for one in tensors(given) if id(one) not in known]
        if name in GATHERED:  # of the first, only what the result holds is read
            read[0] = made[0]
        self.bytes += sum(map(size, made)) + sum(map(size, read))
        self.bytes += (1 if name in REPLACED else 2) * sum(map(size, written))
        return result


def copying(path: str, seconds: float) -> float:
    """Bytes/s of copying a tensor that no cache holds, read and written."""
    source = torch.rand(COPIED // 4, device=device_of(study_at(path)))
    target = torch.empty_like(source)

    def steps(k: int) -> float:
        started = time.perf_counter()
        for _ in range(k):
            target.copy_(source)
        return time.perf_counter() - started

    return rate(steps, 2 * COPIED, seconds)


def convolution(path: str, shape: tuple[int, int, int, int], seconds: float) -> float:
    """FLOP/s of a 3x3 convolution, forward and backward, in the study's precision, channels last.

    shape: channels in, channels out, pixels a side, images.
    """
    study = study_at(path)
    kind = torch.bfloat16 if study.precision == "bfloat16" else torch.float32
    convolve = convolver(shape, kind, device_of(study))

    def steps(k: int) -> float:
        started = time.perf_counter()
        for _ in range(k):
            convolve()
        return time.perf_counter() - started

    return rate(steps, flops_of_convolution(shape), seconds)


def convolver(
    shape: tuple[int, int, int, int], kind: torch.dtype, device: torch.device
) -> Callable[[], tuple[Tensor, ...]]:
    """A 3x3 convolution of this shape, forward and backward, channels last, on random numbers."""
    inputs, outputs, side, batch = shape

    def random(*sizes: int) -> Tensor:
        return torch.randn(*sizes, device=device).to(kind, memory_format=torch.channels_last)

    x = random(batch, inputs, side, side).requires_grad_()
    weight = random(outputs, inputs, 3, 3).requires_grad_()
    gradient = random(batch, outputs, side, side)

    def convolve() -> tuple[Tensor, ...]:
        return torch.autograd.grad(functional.conv2d(x, weight, padding=1), (x, weight), gradient)

    return convolve


def flops_of_convolution(shape: tuple[int, int, int, int]) -> int:
    """Forward, and backward two products of the same size; a multiplication and an addition count as two."""
    inputs, outputs, side, batch = shape
    return 3 * 2 * 9 * inputs * outputs * side * side * batch
