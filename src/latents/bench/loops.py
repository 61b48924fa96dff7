"""What one process of the benchmark measures: steps of our loop and of the ordinary one, their parts, the fastest convolution.

Everything here runs in processes that `latents.bench` starts, since the allocator's settings and the peak of the memory
belong to a process. A cell is prepared once a process, and kept.
"""

import contextlib
import functools
import io
import itertools
import re
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
import torch
from msgspec.structs import replace
from sklearn import manifold
from torch import Tensor
from torch.nn import functional

from latents import augment, config, data, networks, train
from latents.bench import ordinary
from latents.device import device_of, generator
from latents.encode import encode
from latents.loop import fit
from latents.model import load_model
from latents.optimise import optimizers_for
from latents.settings import Strict
from latents.tsne import embed

FEWEST, FEWEST_ORDINARY = 3, 6  # steps of a measurement: a loader's batches come in bursts
MOST_JUDGED = 10_000  # points of a t-SNE whose trustworthiness is found: that takes all their distances


def prepared(path: str, dataset: str, run: str) -> tuple[train.Prepared, Strict, torch.device]:
    """A cell of the study at `path` with its first weights, its settings and its device."""
    study = config.read(path)
    cell, start = kept(path, dataset, run)
    cell.model.load_state_dict(start)
    return cell, study.method(dataset, run), device_of(study)


@functools.cache
def kept(path: str, dataset: str, run: str) -> tuple[train.Prepared, dict[str, Tensor]]:
    """A cell and a copy of its first weights."""
    study = config.read(path)
    cell = train.prepare(study, dataset, run, 1, device_of(study))
    return cell, {name: value.clone() for name, value in cell.model.state_dict().items()}


def rate(steps: Callable[[int], float], batch: int, seconds: float, fewest: int = FEWEST, most: int = 1000) -> float:
    """Images a second: `steps(k)` takes k steps and returns their seconds; enough of them for `seconds`, after a warm-up."""
    steps(1)
    k = min(most, max(fewest, round(seconds / steps(1))))
    return batch * k / steps(k)


def ours(path: str, dataset: str, run: str, seconds: float, *, channels_last: bool = True) -> float:
    """Images a second of `loop.fit` itself; without channels_last in the default memory format."""
    (model, split, loss, _), settings, device = prepared(path, dataset, run)
    once = replace(settings.optimisation, epochs=1)
    model.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    contiguous = mock.patch.object(train, "to_float", lambda images: images.float().div_(255))

    def steps(k: int) -> float:
        items = k * once.batch_size
        with contextlib.redirect_stderr(io.StringIO()):  # no bar
            return fit(loss, lambda _: 0.0, model, once, items, 1, device, name="bench", linear_rate=getattr(settings, "linear_rate", 1.0))[1]

    with contextlib.nullcontext() if channels_last else contiguous:
        return rate(steps, once.batch_size, seconds, most=len(split.train.labels) // once.batch_size)


def theirs(path: str, dataset: str, run: str, seconds: float, workers: int) -> float:
    """Images a second of the ordinary loop, the start of its workers and the filling of their queue left out."""
    study = config.read(path)
    (model, split, _, _), settings, _ = prepared(path, dataset, run)
    torch.use_deterministic_algorithms(False)  # PyTorch's default
    model.to(memory_format=torch.contiguous_format)
    images = ordinary.published(Path(study.data), dataset, ordinary.Views(settings, dataset))
    batch = settings.optimisation.batch_size
    loader = ordinary.batches(images, split.train.indices.tolist(), batch, workers)
    stream = ordinary.steps(model, settings, loader, lambda _: settings.optimisation.learning_rate)

    def steps(k: int) -> float:
        started = time.perf_counter()
        for _ in itertools.islice(stream, k):
            pass
        return time.perf_counter() - started

    steps(2 * workers + 1)
    found = rate(steps, batch, seconds, FEWEST_ORDINARY)
    stream.close()
    return found


def parts(path: str, dataset: str, run: str, seconds: float) -> dict[str, float]:
    """Seconds of a step's parts (medians), of validating once, and its FLOPs; on a CPU, where a call ends when its work is done."""
    (model, split, loss, validate), settings, device = prepared(path, dataset, run)
    model.to(memory_format=torch.channels_last)
    optimizers = optimizers_for(model, settings.optimisation, getattr(settings, "linear_rate", 1.0))
    batch, spent = settings.optimisation.batch_size, [0.0]

    def timed(function: Callable) -> Callable:
        def run_timed(*arguments: Any) -> Any:
            started = time.perf_counter()
            result = function(*arguments)
            spent[0] += time.perf_counter() - started
            return result

        return run_timed

    def step(number: int) -> dict[str, float]:
        spent[0] = 0.0
        index, random = torch.arange(batch, device=device), generator(device, 1, number)
        begun = time.perf_counter()
        value = loss(index, random)
        forward = time.perf_counter()
        model.zero_grad(set_to_none=True)
        value.backward()
        backward = time.perf_counter()
        for optimizer in optimizers:
            optimizer.step()
        stages = {"data": spent[0], "forward": forward - begun - spent[0], "backward": backward - forward}
        return stages | {"optimizer": time.perf_counter() - backward, "step": time.perf_counter() - begun}

    model.train()
    with mock.patch.object(train, "to_float", timed(train.to_float)), mock.patch.object(augment, "view", timed(augment.view)):
        first = [step(number) for number in range(FEWEST)]
        found = [step(number) for number in range(max(FEWEST, round(seconds / first[-1]["step"])))]
    result = {part: median(one[part] for one in found) for part in found[0]}
    model.eval()
    begun = time.perf_counter()
    with torch.inference_mode():
        validate(generator(device, 1))
    result["validation"] = time.perf_counter() - begun
    return result | {"flops": train.flops_of_step(model, loss, settings.optimisation, device, len(split.train.labels))}


def convolution(path: str, shape: tuple[int, int, int, int], seconds: float) -> float:
    """FLOP/s of one 3x3 convolution, forward and backward, in the study's precision, channels last."""
    study = config.read(path)
    device = device_of(study)
    inputs, outputs, side, batch = shape
    kind = torch.bfloat16 if study.precision == "bfloat16" else torch.float32
    x = torch.randn(batch, inputs, side, side, device=device).to(kind, memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(outputs, inputs, 3, 3, device=device).to(kind, memory_format=torch.channels_last).requires_grad_()
    gradient = torch.randn(batch, outputs, side, side, device=device).to(kind, memory_format=torch.channels_last)

    def steps(k: int) -> float:
        started = time.perf_counter()
        for _ in range(k):
            torch.autograd.grad(functional.conv2d(x, weight, padding=1), (x, weight), gradient)
        return time.perf_counter() - started

    return rate(steps, flops_of_convolution(shape), seconds)


def flops_of_convolution(shape: tuple[int, int, int, int]) -> int:
    """Forward, and backward two products of the same size; a multiplication and an addition count as two."""
    inputs, outputs, side, batch = shape
    return 3 * 2 * 9 * inputs * outputs * side * side * batch


def peak_gib() -> float:
    """The most memory of this process so far, in GiB. Its own: what getrusage tells begins at the peak of the process that started it."""
    return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 2**20


def epoch(path: str, dataset: str, run: str, folder: str) -> dict[str, float]:
    """Seconds of the training at `path` and the peak memory of its process in GiB."""
    seconds = train.train(config.read(path), dataset, run, 1, Path(folder) / "growth.checkpoint")[3]["training"]
    return {"seconds": seconds, "gib": peak_gib()}


def tsne(path: str, points: int, *, other: bool) -> dict[str, float]:
    """Seconds of one t-SNE of MNIST's principal components, 750 iterations by openTSNE or by scikit-learn, and the process's peak memory in GiB.

    Of few enough points also the trustworthiness, found after both.
    """
    study = config.read(path)
    images, _ = data.read_part("mnist", "train", Path(study.data), data.pins(study, "mnist"))
    pca = networks.PCA(config.DATASETS["mnist"])
    pca.fit(torch.tensor(images))  # a copy: the file's own bytes are not writable
    pixels = torch.from_numpy(images[np.random.default_rng(1).permutation(len(images))[:points]]).float().div(255)
    codes = pca(pixels).numpy()
    perplexity, started = study.measurement.tsne_perplexity, time.perf_counter()
    if other:
        drawn = manifold.TSNE(perplexity=perplexity, init="pca", random_state=1, n_jobs=study.threads, max_iter=750).fit_transform(codes)
    else:
        drawn = embed(codes, perplexity, 1, study.threads)
    found = {"seconds": time.perf_counter() - started, "gib": peak_gib()}
    if points <= MOST_JUDGED:
        found["trustworthiness"] = float(manifold.trustworthiness(codes, drawn, n_neighbors=study.measurement.tsne_neighbours))
    return found


def head_accuracy(path: str, weights: str, dataset: str, *, final: bool) -> float:
    """Accuracy in percent of a model's own head, on val, or on test when it is the final reading."""
    study = config.read(path)
    model, _ = load_model(weights, study)
    device = device_of(study)
    split = data.load(study, dataset, with_test=final)
    part = split.test if final else split.val
    with torch.inference_mode():
        named = model.head(encode(model.to(device), torch.from_numpy(part.images).to(device), study)).argmax(1)
    return 100 * (named.cpu() == torch.from_numpy(part.labels)).double().mean().item()
