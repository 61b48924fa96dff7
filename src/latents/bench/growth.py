"""How time and memory grow: one epoch of `guided` on CIFAR-10, and t-SNE, each in a process of its own."""

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn import manifold

from latents import config, data, train
from latents.bench.compare import SEED, say
from latents.bench.settings import Bench
from latents.bench.worker import Worker
from latents.datasets import DATASETS
from latents.methods.baselines import PCA
from latents.study import Run
from latents.tsne import embed

MOST_SCORED = 10_000  # points whose trustworthiness is measured: it takes all their distances
ITERATIONS = 750  # of scikit-learn's t-SNE, as many as openTSNE makes


def growth(bench: Bench, paths: dict[str, str], folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Seconds and peak memory in GiB of every size of the settings; `folder` takes the checkpoints."""
    sizes = bench.growth
    found: dict[str, list[dict[str, Any]]] = {"images": [], "widths": [], "tsne": [], "tsne_other": []}
    first = sizes.images[0]
    runs = [("images", n, {"images": n}) for n in sizes.images]
    runs += [("widths", widths, {"images": first, "widths": list(widths)}) for widths in sizes.widths]
    for kind, size, facts in runs:
        checkpoint = folder / "growth.checkpoint"
        checkpoint.unlink(missing_ok=True)
        with Worker() as tuned:
            run = Run("cifar10", "guided", SEED)
            found[kind].append(facts | tuned(epoch, paths[f"growth.{kind} {size}"], run, str(checkpoint)))
        say(f"{kind}: {found[kind][-1]}")
    for kind, numbers in (("tsne", sizes.tsne_points), ("tsne_other", sizes.tsne_points_other)):
        for n in numbers:
            with Worker() as tuned:
                measured = tuned(tsne, paths["changes"], n, other=kind == "tsne_other")
            found[kind].append({"points": n} | measured)
            say(f"{kind}: {found[kind][-1]}")
    return found


def peak_gib() -> float:
    """The peak memory of this process in GiB.

    From /proc: what getrusage returns begins at the peak of the process that started this one.
    """
    return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 2**20


def epoch(path: str, run: Run, checkpoint: str) -> dict[str, float]:
    """Seconds of training a run of the study at `path`, and the peak memory of its process in GiB."""
    seconds = train.train(config.read(path), run, Path(checkpoint)).seconds["training"]
    return {"seconds": seconds, "gib": peak_gib()}


def tsne(path: str, points: int, *, other: bool) -> dict[str, float]:
    """Seconds and peak memory in GiB of a t-SNE of MNIST's principal components.

    By openTSNE or, with `other`, by scikit-learn.
    With at most MOST_SCORED points also the trustworthiness, measured after both.
    """
    study = config.read(path)
    images, _ = data.read_part("mnist", "train", Path(study.data), data.pins(study, "mnist"))
    pca = PCA(DATASETS["mnist"].shape)
    pca.fit(torch.tensor(images))  # a copy: the file's own bytes are not writable
    chosen = np.random.default_rng(1).permutation(len(images))[:points]
    codes = pca(torch.from_numpy(images[chosen]).float().div(255)).numpy()  # [points, 128]
    perplexity, started = study.measurement.tsne_perplexity, time.perf_counter()
    if other:
        library = manifold.TSNE(
            perplexity=perplexity, init="pca", random_state=1, n_jobs=study.threads, max_iter=ITERATIONS
        )
        embedded = library.fit_transform(codes)
    else:
        embedded = embed(codes, perplexity, 1, study.threads)
    found = {"seconds": time.perf_counter() - started, "gib": peak_gib()}
    if points <= MOST_SCORED:
        neighbours = study.measurement.tsne_neighbours
        found["trustworthiness"] = float(manifold.trustworthiness(codes, embedded, n_neighbors=neighbours))
    return found
