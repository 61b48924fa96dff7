"""Verify, parse and split the files of a data set, which `latents.fetch` provides."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from latents import datasets, record
from latents.cli import Problem
from latents.datasets import spec
from latents.plain import digest
from latents.study import Study


@dataclass(frozen=True)
class Part:
    """Part of a data set: images uint8 [n, c, h, w], labels int64 [n], indices int64 [n].

    The indices are ascending positions in the published training or test set.
    """

    images: np.ndarray
    labels: np.ndarray
    indices: np.ndarray

    def at(self, positions: np.ndarray) -> "Part":
        """The images at some positions, with labels and indices."""
        return Part(self.images[positions], self.labels[positions], self.indices[positions])


@dataclass(frozen=True)
class Split:
    """The parts of one data set; `test` is None unless it was requested."""

    train: Part
    val: Part
    test: Part | None
    split_sha256: str
    data_sha256: str


def load(study: Study, dataset: str, *, with_test: bool) -> Split:
    """Verify, parse and split a data set; without `with_test` no test file is opened.

    Raises Problem naming the file or key.
    """
    chosen = study.dataset(dataset)
    expected = pins(study, dataset)
    images, labels = read_part(dataset, "train", Path(study.data), expected)
    if (wanted := chosen.train + chosen.validation) > len(labels):
        raise Problem(
            f"datasets.{dataset}.train + validation: {wanted} images, "
            f"but the training files hold {len(labels)}; lower one"
        )
    sizes = {"train_size": chosen.train, "test_size": chosen.validation}
    try:
        train, val = train_test_split(
            np.arange(len(labels)), **sizes, stratify=labels, random_state=chosen.split_seed
        )
    except ValueError as error:
        raise Problem(
            f"datasets.{dataset}.train, validation: no stratified split ({error}); raise the smaller one"
        ) from None
    train, val, test = np.sort(train), np.sort(val), np.arange(chosen.test)
    parts = [Part(images[indices], labels[indices], indices) for indices in (train, val)]
    tested = None
    if with_test:
        images, labels = read_part(dataset, "test", Path(study.data), expected)
        if chosen.test > len(labels):
            raise Problem(
                f"datasets.{dataset}.test: {chosen.test} images, "
                f"but the test file holds {len(labels)}; lower it"
            )
        tested = Part(images[test], labels[test], test)
    listing = [record.sha256(indices.astype("<i8").tobytes()) for indices in (train, val, test)]
    return Split(*parts, tested, digest(listing), digest(expected))


def labelled(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Ascending positions of a share of the labels [n], rounded up in each class.

    With the same seed, a smaller share is a subset of a larger one.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    classes = [order[labels[order] == name] for name in np.unique(labels)]
    return np.sort(np.concatenate([one[: math.ceil(share * len(one) - 1e-9)] for one in classes]))


def pins(study: Study, dataset: str) -> dict[str, str]:
    """File name -> expected SHA-256, as published or from the manifest of the stand-in. Raises Problem."""
    published = datasets.DATASETS[dataset].files
    if study.source == "download":
        return published
    manifest = Path(study.data) / f"{dataset}.json"
    if not manifest.exists():
        raise Problem(f"{manifest}: missing; {spec.ANEW}")
    files = record.read_json(manifest).get("files")
    if not isinstance(files, dict) or set(files) != set(published):
        raise Problem(
            f"{manifest}: does not name the files of {dataset}; delete it and run again, "
            "its step will be repeated"
        )
    return files


def read_part(
    dataset: str, part: spec.Part, root: Path, expected: dict[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Check and read the training or test files below root.

    Returns images uint8 [n, c, h, w] and labels int64 [n], in the order of the files.
    """
    chosen = datasets.DATASETS[dataset]
    return chosen.read(part, [spec.checked(root, name, expected[name]) for name in chosen.parts[part]])
