"""Data: the split is fixed, and bad files are refused by name before they are parsed."""

import math
import os
import pickle
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from conftest import shipped_study

from latents import data, fetch, record, standin
from latents.cli import Problem
from latents.datasets import DATASETS, cifar10, mnist
from latents.datasets.cifar10 import CIFAR10, parse_batch
from latents.datasets.mnist import parse_idx
from latents.study import Study

TRAIN, VAL, TEST, CLASSES = 60, 20, 10, 10
SHIPPED = record.ROOT / "config/study.yaml"


def small_study(root: Path, **changes: object) -> Study:
    """The shipped study on small stand-in files below root; `changes` are keys of both data sets."""
    study = shipped_study()
    sizes = {"train": TRAIN, "validation": VAL, "test": TEST} | changes
    datasets = {name: msgspec.structs.replace(dataset, **sizes) for name, dataset in study.datasets.items()}
    return msgspec.structs.replace(study, source="stand-in", folder=f"{root}/", datasets=datasets)


def write_small(root: Path) -> None:
    """100 training and 20 test images of both data sets below root/data, with their manifests."""
    generator = np.random.default_rng(0)
    for stem, n in (("train", 100), ("t10k", 20)):
        labels = generator.permutation(np.arange(n) % CLASSES)
        images = generator.integers(0, 256, (n, 28, 28))
        record.write_bytes(root / f"data/MNIST/raw/{stem}-images-idx3-ubyte", standin.idx(images))
        record.write_bytes(root / f"data/MNIST/raw/{stem}-labels-idx1-ubyte", standin.idx(labels))
    for name in [*CIFAR10.parts["train"], *CIFAR10.parts["test"]]:
        labels = generator.permutation(np.arange(20) % CLASSES)
        record.write_bytes(root / "data" / name, batch(labels, generator))
    meta = standin.python2_pickle({b"num_vis": 3072})
    record.write_bytes(root / "data/cifar-10-batches-py/batches.meta", meta)
    for dataset in DATASETS:
        write_manifest(root / "data", dataset)


def write_manifest(folder: Path, dataset: str) -> None:
    files = {name: record.sha256(folder / name) for name in DATASETS[dataset].files}
    record.write_json(folder / f"{dataset}.json", {"format": record.FORMAT, "files": files})


def batch(labels: np.ndarray, generator: np.random.Generator) -> bytes:
    pixels = generator.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    return standin.python2_pickle({b"data": pixels, b"labels": labels.tolist()})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_small(tmp_path)
    return tmp_path


# the split


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_the_split_is_disjoint_and_stratified_and_keeps_each_image_with_its_label(
    root: Path, dataset: str
) -> None:
    split = data.load(small_study(root), dataset, with_test=True)
    shape = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32)}[dataset]
    for part, n in ((split.train, TRAIN), (split.val, VAL), (split.test, TEST)):
        assert part.images.shape == (n, *shape)
        assert part.images.dtype == np.uint8 and part.images.flags.c_contiguous
        assert part.labels.dtype == part.indices.dtype == np.int64
        assert (np.diff(part.indices) > 0).all()
    assert not set(split.train.indices) & set(split.val.indices)
    assert (np.bincount(split.train.labels) == TRAIN // CLASSES).all()
    assert (np.bincount(split.val.labels) == VAL // CLASSES).all()
    pins = data.pins(small_study(root), dataset)
    images, labels = data.read_part(dataset, "train", root / "data", pins)
    for part in (split.train, split.val):
        assert (part.images == images[part.indices]).all() and (part.labels == labels[part.indices]).all()


def test_a_share_of_the_labels_is_stratified_repeats_and_lies_in_the_larger_share() -> None:
    labels = np.random.default_rng(1).integers(0, 10, 3000)
    shares = (0.01, 0.1, 0.5, 1.0)
    chosen = [data.labelled(labels, share, 7) for share in shares]
    for share, places, larger in zip(shares, chosen, [*chosen[1:], np.arange(3000)], strict=True):
        assert set(places) <= set(larger) and (np.diff(places) > 0).all()
        sizes = [math.ceil(share * n - 1e-9) for n in np.bincount(labels)]
        assert np.bincount(labels[places]).tolist() == sizes
    assert np.array_equal(chosen[0], data.labelled(labels, 0.01, 7))
    assert not np.array_equal(chosen[0], data.labelled(labels, 0.01, 8))
    assert np.array_equal(chosen[-1], np.arange(3000))


def test_the_split_is_the_same_each_time_and_does_not_depend_on_training_seeds(root: Path) -> None:
    studies = [small_study(root, seeds=seeds) for seeds in ([1], [2, 3])]
    first, again = (data.load(study, "mnist", with_test=True) for study in studies)
    assert (first.val.indices == again.val.indices).all()
    assert first.split_sha256 == again.split_sha256 and first.data_sha256 == again.data_sha256


def test_another_split_seed_or_size_changes_the_hash(root: Path) -> None:
    changes = ({}, {"split_seed": 77}, {"validation": VAL - 1}, {"test": TEST - 1})
    studies = [small_study(root, **change) for change in changes]
    hashes = {data.load(study, "mnist", with_test=True).split_sha256 for study in studies}
    assert len(hashes) == len(changes)


TEST_FILES = [("mnist", "MNIST/raw/t10k-*"), ("cifar10", "cifar-10-batches-py/test_batch")]


@pytest.mark.parametrize(("dataset", "files"), TEST_FILES)
def test_without_the_switch_the_test_files_are_not_opened(root: Path, dataset: str, files: str) -> None:
    whole = data.load(small_study(root), dataset, with_test=True)
    for file in (root / "data").glob(files):
        file.unlink()
    split = data.load(small_study(root), dataset, with_test=False)
    assert split.test is None
    assert split.split_sha256 == whole.split_sha256 and split.data_sha256 == whole.data_sha256
    with pytest.raises(Problem, match="cannot be read"):
        data.load(small_study(root), dataset, with_test=True)


def test_more_images_than_there_are_is_refused_by_key(root: Path) -> None:
    with pytest.raises(Problem, match=r"datasets\.mnist\.train \+ validation.*training files hold 100"):
        data.load(small_study(root, train=90), "mnist", with_test=False)
    with pytest.raises(Problem, match=r"datasets\.cifar10\.test.*holds 20"):
        data.load(small_study(root, test=21), "cifar10", with_test=True)
    with pytest.raises(Problem, match=r"datasets\.mnist\.train, validation: no stratified split"):
        data.load(small_study(root, validation=5), "mnist", with_test=False)


# bad files


def test_a_missing_file_and_a_missing_or_strange_manifest_are_refused_by_name(root: Path) -> None:
    (root / "data/cifar-10-batches-py/data_batch_2").unlink()
    with pytest.raises(Problem, match=r"data_batch_2: cannot be read \(No such file"):
        data.load(small_study(root), "cifar10", with_test=False)
    record.write_json(root / "data/cifar10.json", {"format": record.FORMAT, "files": {"other": "0"}})
    with pytest.raises(Problem, match=r"cifar10\.json: does not name the files"):
        data.load(small_study(root), "cifar10", with_test=False)
    (root / "data/mnist.json").unlink()
    with pytest.raises(Problem, match=r"mnist\.json: missing"):
        data.load(small_study(root), "mnist", with_test=False)


class Malicious:
    """Makes a folder when it is unpickled by the ordinary unpickler."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("protocol", range(6))
def test_a_malicious_pickle_is_refused_before_its_code_runs_even_where_its_hash_is_expected(
    root: Path, protocol: int
) -> None:
    content = pickle.dumps({"data": Malicious(root / "marker"), "labels": []}, protocol)
    (root / "data/cifar-10-batches-py/data_batch_1").write_bytes(content)
    write_manifest(root / "data", "cifar10")
    with pytest.raises(Problem, match=r"data_batch_1: refused as a CIFAR-10 batch \(it asks for .*mkdir\)"):
        data.load(small_study(root), "cifar10", with_test=False)
    assert not (root / "marker").exists()
    pickle.loads(content)  # it would have
    assert (root / "marker").exists()


def mutated(content: bytes, draw: np.random.Generator) -> bytes:
    """A copy with bits or bytes changed, put in, taken out or cut off, or a call of os.mkdir in front."""
    changed, place = bytearray(content), int(draw.integers(len(content)))
    match int(draw.integers(6)):
        case 0:
            changed[place] = (changed[place] + int(draw.integers(1, 256))) % 256
        case 1:
            changed[place] ^= 1 << int(draw.integers(8))
        case 2:
            changed[place:place] = draw.bytes(int(draw.integers(1, 6)))
        case 3:
            del changed[place : place + int(draw.integers(1, 6))]
        case 4:
            del changed[place:]
        case 5:
            changed[:0] = b"cos\nmkdir\n(V/tmp/never-made\ntR0"
    return bytes(changed)


def test_240_mutated_files_are_refused_by_name_before_they_are_parsed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, parse in ((mnist, parse_idx), (cifar10, parse_batch)):
        watched = lambda path, *rest, parse=parse: read.append(path) or parse(path, *rest)
        monkeypatch.setattr(module, parse.__name__, watched)
    draw, study = np.random.default_rng(11), small_study(root)
    files = [
        (dataset, path)
        for dataset, spec in DATASETS.items()
        for path in spec.files
        if not path.endswith("meta")
    ]
    for dataset, name in files * 24:
        read: list[Path] = []
        file = root / "data" / name
        whole = file.read_bytes()
        # labels for images, test for train: the wrong file, whole
        other = root / "data" / files[int(draw.integers(len(files)))][1]
        wrong = other.read_bytes() if draw.random() < 0.2 and other != file else mutated(whole, draw)
        file.write_bytes(wrong)
        with pytest.raises(Problem, match=f"{name}: corrupt or truncated.*run again with `--forcerun data`"):
            data.load(study, dataset, with_test=True)
        assert file not in read
        file.write_bytes(whole)
    assert len(files * 24) == 240 and not Path("/tmp/never-made").exists()
    read = []
    for dataset in DATASETS:
        data.load(study, dataset, with_test=True)
    assert len(read) == len(files)  # the whole ones are parsed


def test_labels_that_do_not_fit_the_images_are_refused(root: Path) -> None:
    for labels in (np.zeros(99), np.full(100, 10)):
        (root / "data/MNIST/raw/train-labels-idx1-ubyte").write_bytes(standin.idx(labels))
        write_manifest(root / "data", "mnist")
        with pytest.raises(Problem, match="train-labels-idx1-ubyte: does not hold one label"):
            data.load(small_study(root), "mnist", with_test=False)


# the real data

real = pytest.mark.skipif(
    "LATENTS_DATA" not in os.environ,
    reason="LATENTS_DATA is not set to the folder of the real MNIST and CIFAR-10",
)


@real
@pytest.mark.parametrize(("dataset", "shape"), [("mnist", (1, 28, 28)), ("cifar10", (3, 32, 32))])
def test_the_real_files_are_found_without_a_network_and_split_as_published(
    dataset: str, shape: tuple[int, ...]
) -> None:
    study = shipped_study()
    fetch.fetch(Path(study.data), replace(DATASETS[dataset], sources=()))
    split = data.load(study, dataset, with_test=True)
    chosen = study.datasets[dataset]
    assert split.train.images.shape == (chosen.train, *shape)
    assert split.val.images.shape == (chosen.validation, *shape)
    assert split.test.images.shape == (10_000, *shape)
    shares = [np.bincount(part.labels) / len(part.labels) for part in (split.train, split.val)]
    assert np.abs(shares[0] - shares[1]).max() < 2e-4
    assert split.test.labels[:5].tolist() == {"mnist": [7, 2, 1, 0, 4], "cifar10": [3, 8, 8, 0, 6]}[dataset]
