"""The two data sets: verify, parse, split. The files are those that latents.fetch put into place."""

import io
import math
import pickle
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from latents import config, record
from latents.config import Problem, Study
from latents.settings import CLASSES, Positive, Strict

BATCHES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}


class Archive(Strict, frozen=True):
    """One published archive: its place below the data folder, and the files it holds (name -> SHA-256)."""

    place: str
    bytes: Positive
    md5: str
    files: dict[str, str]


class Source(Strict, frozen=True):
    """Where one data set comes from: addresses, the canonical first, each holding every archive."""

    sources: list[str]
    archives: list[Archive]

    @property
    def files(self) -> dict[str, str]:
        return {name: sha256 for archive in self.archives for name, sha256 in archive.files.items()}


@dataclass(frozen=True)
class Part:
    """images: uint8 [n, c, h, w]; labels: int64 [n]; indices: int64 [n], ascending positions in the training or test file."""

    images: np.ndarray
    labels: np.ndarray
    indices: np.ndarray


@dataclass(frozen=True)
class Split:
    """The parts of one data set; `test` is None unless it was asked for."""

    train: Part
    val: Part
    test: Part | None
    split_sha256: str
    data_sha256: str


def load(study: Study, dataset: str, *, with_test: bool) -> Split:
    """Verify, parse and split; without `with_test` no test file is opened. Raises Problem naming the file or key."""
    chosen = study.dataset(dataset)
    expected = pins(study, dataset)
    images, labels = read_part(dataset, "train", Path(study.data), expected)
    if (wanted := chosen.train + chosen.validation) > len(labels):
        raise Problem(f"datasets.{dataset}.train + validation: {wanted} images, but the training files hold {len(labels)}; lower one")
    sizes = {"train_size": chosen.train, "test_size": chosen.validation}
    try:
        train, val = train_test_split(np.arange(len(labels)), **sizes, stratify=labels, random_state=chosen.split_seed)
    except ValueError as error:
        raise Problem(f"datasets.{dataset}.train, validation: no stratified split ({error}); raise the smaller one") from None
    train, val, test = np.sort(train), np.sort(val), np.arange(chosen.test)
    parts = [Part(images[indices], labels[indices], indices) for indices in (train, val)]
    if with_test:
        images, labels = read_part(dataset, "test", Path(study.data), expected)
        if chosen.test > len(labels):
            raise Problem(f"datasets.{dataset}.test: {chosen.test} images, but the test file holds {len(labels)}; lower it")
    listing = [record.sha256(indices.astype("<i8").tobytes()) for indices in (train, val, test)]
    tested = Part(images[test], labels[test], test) if with_test else None
    return Split(*parts, tested, config.digest(listing), config.digest(expected))


def labelled(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Ascending positions of a share of the labels [n], rounded up in each class; the smaller share lies in the larger one."""
    order = np.random.default_rng(seed).permutation(len(labels))
    classes = [order[labels[order] == name] for name in np.unique(labels)]
    return np.sort(np.concatenate([one[: math.ceil(share * len(one) - 1e-9)] for one in classes]))


def read_sources() -> dict[str, Source]:
    """The sources and hashes of config/data.yaml."""
    return config.parse(record.ROOT / "config/data.yaml", dict[str, Source])


def pins(study: Study, dataset: str) -> dict[str, str]:
    """Name -> SHA-256 of every file: pinned in config/data.yaml, or from the manifest of the stand-in."""
    published = read_sources()[dataset].files
    if study.source == "download":
        return published
    manifest = Path(study.data) / f"{dataset}.json"
    files = record.read_json(manifest).get("files")
    if not isinstance(files, dict) or set(files) != set(published):
        raise Problem(f"{manifest}: does not name the files of {dataset}; delete it and run again, its step will be repeated")
    return files


def read_part(dataset: str, part: str, root: Path, expected: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, c, h, w] and labels int64 [n] of the training or the test files, in their order."""
    if dataset == "mnist":
        stem = {"train": "train", "test": "t10k"}[part]
        names = [f"MNIST/raw/{stem}-images-idx3-ubyte", f"MNIST/raw/{stem}-labels-idx1-ubyte"]
        items = zip(names, ((28, 28), ()), strict=True)
        images, labels = (parse_idx(root / name, checked(root, name, expected), item) for name, item in items)
        if len(images) != len(labels) or labels.max(initial=0) >= CLASSES:
            raise Problem(f"{root / names[1]}: does not hold one label 0 to 9 for each of {len(images)} images; delete it and run again")
        return images[:, None], labels.astype(np.int64)  # [n, h, w] -> [n, 1, h, w]
    names = [f"cifar-10-batches-py/{name}" for name in BATCHES[part]]
    batches = [parse_batch(root / name, checked(root, name, expected)) for name in names]
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


def checked(root: Path, name: str, expected: dict[str, str]) -> bytes:
    """A file's content, once its SHA-256 is the expected one."""
    mend = "run again with `--forcerun data` behind the command, and the data will be put in place anew"
    try:
        content = (root / name).read_bytes()
    except OSError as error:
        raise Problem(f"{root / name}: cannot be read ({error.strerror}); {mend}") from None
    if record.sha256(content) != expected[name]:
        raise Problem(f"{root / name}: corrupt or truncated ({len(content)} bytes, the wrong SHA-256); {mend}")
    return content


def parse_idx(path: Path, content: bytes, item: tuple[int, ...]) -> np.ndarray:
    """Bytes of an IDX file of uint8 [n, *item] (http://yann.lecun.com/exdb/mnist/); `path` is for the message."""
    n = int.from_bytes(content[4:8], "big")
    header = struct.pack(f">4B{1 + len(item)}I", 0, 0, 8, 1 + len(item), n, *item)
    if not content.startswith(header) or len(content) != len(header) + n * int(np.prod(item)):
        raise Problem(f"{path}: not an IDX file of unsigned bytes {('n', *item)}, or not whole; replace it by the published file")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(n, *item)


class Kept:
    """Stands for an array or its type while a batch is read: it keeps what the pickle says of it, and does nothing."""

    def __init__(self, *given: Any) -> None:
        self.given, self.state = given, None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def images(self) -> np.ndarray | None:
        """uint8 [n, 3, 32, 32], or None when it is anything else; numpy itself would trust a damaged description."""
        match self.state:
            case (_, (int(n), 3072), Kept(given=(b"u1" | "u1", *_)), False | 0, bytes(pixels)) if len(pixels) == n * 3072:
                return np.frombuffer(pixels, np.uint8).reshape(n, 3, 32, 32)
        return None


class BatchUnpickler(pickle.Unpickler):
    """Reads what a CIFAR-10 batch holds and nothing else: three names, each bound to something harmless."""

    def find_class(self, module: str, name: str) -> Any:
        # the second is an argument of the first, never called
        allowed = {("numpy.core.multiarray", "_reconstruct"): Kept, ("numpy", "ndarray"): None, ("numpy", "dtype"): Kept}
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return allowed[module, name]


def parse_batch(path: Path, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, 3, 32, 32] and labels int64 [n] of a CIFAR-10 batch; refuses before any foreign code could run."""
    stream = io.BytesIO(content)
    try:
        batch = BatchUnpickler(stream, encoding="bytes").load()
        if stream.read(1):
            raise ValueError("bytes follow its end")
        batch = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        labels = batch["labels"]
        images = batch["data"].images()
        if images is None or len(images) != len(labels):
            raise ValueError(f"its images are not unsigned bytes [{len(labels)}, 3072]")
        if not all(type(label) is int and 0 <= label < CLASSES for label in labels):
            raise ValueError("its labels are not whole numbers 0 to 9")
        return images, np.array(labels, np.int64)
    except Exception as error:  # a broken pickle can raise almost anything
        raise Problem(f"{path}: refused as a CIFAR-10 batch ({error}); replace it by the published file") from None
