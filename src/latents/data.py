"""The two data sets: fetch, verify, parse, split.

    python -m latents.data --config config/study.yaml --dataset cifar10 --out results/data/cifar10.json

finds or downloads the files (MNIST 12 MB, CIFAR-10 170 MB), checks every one, and writes their manifest (name ->
SHA-256). A folder that torchvision filled is used as it is. Sources and hashes stand in config/data.yaml. With a
configuration whose source is `stand-in` it writes the demo's files instead (latents.standin; seconds).
"""

import argparse
import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import requests
import urllib3
import yaml
from numpy._core.multiarray import _reconstruct
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from latents import config, record, standin
from latents.config import Positive, Problem, Strict, Study

CLASSES = 10
BATCHES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
ATTEMPTS = 4  # rounds over the sources that may still answer
TIMEOUT = (10, 30)  # seconds to connect, seconds without a byte


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


def read_sources() -> dict[str, Source]:
    """The sources and hashes of config/data.yaml."""
    path = record.ROOT / "config/data.yaml"
    try:
        return msgspec.convert(yaml.safe_load(path.read_bytes()), dict[str, Source])
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise Problem(f"{path}: {' '.join(str(error).split())}; restore the file as it was published") from None


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
        images, labels = (parse_idx(root / name, checked(root, name, expected, dataset), item) for name, item in items)
        if len(images) != len(labels) or labels.max(initial=0) >= CLASSES:
            raise Problem(f"{root / names[1]}: does not hold one label 0 to 9 for each of {len(images)} images; delete it and run again")
        return images[:, None], labels.astype(np.int64)  # [n, h, w] -> [n, 1, h, w]
    names = [f"cifar-10-batches-py/{name}" for name in BATCHES[part]]
    batches = [parse_batch(root / name, checked(root, name, expected, dataset)) for name in names]
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


def checked(root: Path, name: str, expected: dict[str, str], dataset: str) -> bytes:
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


class BatchUnpickler(pickle.Unpickler):
    """Reads what a CIFAR-10 batch holds and nothing else: three names, each bound to something harmless."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): lambda kind, shape, code: _reconstruct(np.ndarray, (0,), b"b"),
            ("numpy", "ndarray"): None,  # an argument of _reconstruct, never called
            ("numpy", "dtype"): lambda code, align, copy: np.dtype(code, copy=True),
        }
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
        images, labels = batch["data"], batch["labels"]
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != (len(labels), 3072):
            raise ValueError(f"its images are not unsigned bytes [{len(labels)}, 3072]")
        if not all(type(label) is int and 0 <= label < CLASSES for label in labels):
            raise ValueError("its labels are not whole numbers 0 to 9")
        return images.reshape(-1, 3, 32, 32), np.array(labels, np.int64)
    except Exception as error:  # a broken pickle can raise almost anything
        raise Problem(f"{path}: refused as a CIFAR-10 batch ({error}); replace it by the published file") from None


def fetch(root: Path, source: Source, *, pause: float = 1.0) -> None:
    """Bring every file of a data set under root; what is whole is kept. `pause`: seconds before the second attempt, then doubled."""
    for archive in source.archives:
        missing = [name for name, sha256 in archive.files.items() if not (root / name).is_file() or record.sha256(root / name) != sha256]
        if not missing:
            continue
        placed = root / archive.place
        partial = placed.with_name(f"{placed.name}.partial")
        try:
            found = placed if md5(placed) == archive.md5 else partial
            if found == partial:
                download(archive, source.sources, placed, partial, pause)
            unpack(found, archive, missing, root)
            partial.unlink(missing_ok=True)
        except OSError as error:
            raise Problem(f"{root}: cannot be written ({error}); free space or mend the permissions, then run again") from None


def md5(path: Path) -> str | None:
    """MD5 of a file, None where there is none: what archives are published with, good against accidents only."""
    return hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else None


class Refused(Exception):
    """An answer that asking the same source again cannot mend."""


def download(archive: Archive, sources: list[str], placed: Path, partial: Path, pause: float) -> None:
    """Fill `partial` with the archive, from the first source that gives it whole."""
    placed.parent.mkdir(parents=True, exist_ok=True)
    if md5(partial) == archive.md5:
        return
    failures: dict[str, str] = {}
    asked = [address + placed.name for address in sources]
    for attempt in range(ATTEMPTS):
        time.sleep(pause * 2 ** (attempt - 1) if attempt and asked else 0)
        for url in list(asked):
            try:
                return receive(url, archive, partial)
            except Refused as error:
                asked.remove(url)
                failures[url] = str(error)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                failures[url] = str(getattr(getattr(error, "response", None), "status_code", type(error).__name__))
    tried = ", ".join(f"{url}: {reason}" for url, reason in failures.items())
    mend = f"fetch it by other means, put it at {placed.absolute()} and run again; `make demo` needs neither network nor this file"
    raise Problem(f"{placed.name} could not be downloaded ({tried}); {mend}")


def receive(url: str, archive: Archive, partial: Path) -> None:
    """One attempt: go on where `partial` ends, and check the whole. Raises Refused for a wrong file, and what requests raises."""
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if 0 < have < archive.bytes else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if 400 <= answer.status_code < 500 and answer.status_code not in (408, 429):
            raise Refused(str(answer.status_code))
        answer.raise_for_status()
        resumed = answer.status_code == 206
        bar = tqdm(desc=archive.place, total=archive.bytes, initial=have if resumed else 0, unit="B", unit_scale=True, disable=None)
        with partial.open("ab" if resumed else "wb") as file, bar:
            for chunk in answer.raw.stream(1 << 16, decode_content=False):
                bar.update(file.write(chunk))
                if file.tell() > archive.bytes:
                    break
    if md5(partial) != archive.md5:
        partial.unlink()
        # where it was resumed, what was there may be to blame: the same source is asked again, for all of it
        raise (requests.ConnectionError if resumed else Refused)("not the published file")


def unpack(path: Path, archive: Archive, wanted: list[str], root: Path) -> None:
    """Put each wanted file of the archive into place, once its SHA-256 is right."""
    for name, content in contents(path, wanted):
        if record.sha256(content) != archive.files[name]:
            raise Problem(f"{path}: its {name} does not have the SHA-256 of config/data.yaml; restore that file as it was published")
        record.write_bytes(root / name, content)


def contents(path: Path, wanted: list[str]) -> Iterator[tuple[str, bytes]]:
    """Names and contents in a tar archive, in its order, or of one gzip file; nothing is written where an archive says."""
    if ".tar" in path.suffixes:
        with tarfile.open(path) as tar:
            yield from ((member.name, tar.extractfile(member).read()) for member in tar if member.name in wanted)
    else:
        yield wanted[0], gzip.decompress(path.read_bytes())


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--out", required=True, help="the manifest: name -> SHA-256; the data folder itself may be read-only")
    arguments = parser.parse_args()
    study = config.read(arguments.config)
    study.dataset(arguments.dataset)
    source, root = read_sources()[arguments.dataset], Path(study.data)
    if study.source == "download":
        fetch(root, source)
    else:
        standin.write(root, arguments.dataset)
    manifest = {"format": record.FORMAT, "files": {name: record.sha256(root / name) for name in source.files}}
    if study.source == "stand-in":  # no pins are published for these files: the manifest beside them takes their place
        record.write_json(root / f"{arguments.dataset}.json", manifest)
    record.write_json(arguments.out, manifest)


if __name__ == "__main__":
    main()
