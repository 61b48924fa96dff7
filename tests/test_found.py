"""Data that are there already: published content is used under any known name, all else is named and kept."""

import bz2
import errno
import gzip
import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_fetch import files_below, published

from latents import fetch, record
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.datasets.spec import Archive, DatasetSpec

RANDOM = np.random.default_rng(2)
CONTENT = {name: RANDOM.bytes(3000) for spec in DATASETS.values() for name in spec.files}
IMAGES, BATCH = "MNIST/raw/train-images-idx3-ubyte", "cifar-10-batches-py/data_batch_3"
MNIST_FILES = [name for name in CONTENT if name.startswith("MNIST")]
CIFAR_FILES = [name for name in CONTENT if name not in MNIST_FILES]


def tar(names: list[str], *, prefix: str = "", kind: str = "gz") -> bytes:
    """A tar archive of some of the files, and of one that nobody asked for."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{kind}") as archive:
        for name, content in {"../outside": b"x", **{name: CONTENT[name] for name in names}}.items():
            member = tarfile.TarInfo(f"{prefix}{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


PACKED = {f"{name}.gz": gzip.compress(CONTENT[name], mtime=0) for name in MNIST_FILES}
PACKED["cifar-10-python.tar.gz"] = tar(CIFAR_FILES)


def made_up(dataset: str) -> DatasetSpec:
    """A data set with its own names and other, short content."""
    packed = lambda one: published(one.place, PACKED[one.place], {name: CONTENT[name] for name in one.files})
    spec = DATASETS[dataset]
    return replace(spec, sources=("http://x/",), archives=tuple(map(packed, spec.archives)))


def give(url: str, archive: Archive, partial: Path) -> None:
    """A source that has every archive."""
    partial.write_bytes(PACKED[archive.place])


def refuse(url: str, archive: Archive, partial: Path) -> None:
    raise fetch.Refused("403")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "receive", refuse)


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "receive", give)


def write(root: Path, names: list[str]) -> None:
    for name in names:
        record.write_bytes(root / name, CONTENT[name])


def whole(root: Path, names: list[str]) -> bool:
    return all((root / name).is_file() and (root / name).read_bytes() == CONTENT[name] for name in names)


def dataset_of(name: str) -> str:
    return "mnist" if name in MNIST_FILES else "cifar10"


# what is used


def test_a_folder_that_is_whole_is_not_written_to_whatever_lies_in_the_archives_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], offline: None
) -> None:
    write(tmp_path, list(CONTENT))
    for place in PACKED:
        (tmp_path / place).write_bytes(PACKED[place][:100])
    folders = [tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())]
    before = [folder.stat().st_mtime_ns for folder in folders]
    for dataset in DATASETS:
        fetch.fetch(tmp_path, made_up(dataset))
    assert [folder.stat().st_mtime_ns for folder in folders] == before
    assert all((tmp_path / place).read_bytes() == PACKED[place][:100] for place in PACKED)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "place",
    [
        "{folder}-{kind}-ubyte",
        "{folder}.{kind}-ubyte",
        "MNIST/{folder}-{kind}-ubyte",
        "mnist/{folder}.{kind}-ubyte",
        "kaggle/{folder}-{kind}-ubyte/{folder}-{kind}-ubyte",
        "{folder}-{kind}-ubyte.gz",
        "mnist/{folder}.{kind}-ubyte.gz",
        "MNIST/raw/{folder}-{kind}-ubyte.gz",  # packed again, with another MD5
    ],
)
def test_mnist_under_its_other_public_names_is_used_and_stays(
    tmp_path: Path, place: str, offline: None
) -> None:
    placed = {}
    for name in MNIST_FILES:
        *stem, kind, _ = name.removeprefix("MNIST/raw/").split("-")
        path = place.format(folder="-".join(stem), kind=kind)
        placed[path] = gzip.compress(CONTENT[name], mtime=7) if path.endswith("gz") else CONTENT[name]
        record.write_bytes(tmp_path / path, placed[path])
    fetch.fetch(tmp_path, made_up("mnist"))
    assert whole(tmp_path, MNIST_FILES) and files_below(tmp_path) == sorted([*MNIST_FILES, *placed])
    assert all((tmp_path / path).read_bytes() == content for path, content in placed.items())


@pytest.mark.parametrize(
    ("place", "content"),
    [
        ("cifar-10-python.tar", tar(CIFAR_FILES, kind="")),
        ("cifar-10-python.tar.gz", tar(CIFAR_FILES[::-1], prefix="./")),
        ("cifar-10-python.tar.gz", tar(CIFAR_FILES, kind="")),  # unpacked by a browser, under the old name
        ("downloads/cifar-10-batches-py.tgz", tar(CIFAR_FILES, prefix="home/")),
        ("cifar10/cifar-10-python.tar.xz", tar(CIFAR_FILES, kind="xz")),
    ],
)
def test_an_archive_of_ones_own_is_used_and_stays_and_chooses_no_path(
    tmp_path: Path, place: str, content: bytes, offline: None
) -> None:
    record.write_bytes(tmp_path / "data" / place, content)
    record.write_bytes(tmp_path / "data/cifar-10-python.tar.gz.partial", b"of an earlier run")
    fetch.fetch(tmp_path / "data", made_up("cifar10"))
    assert whole(tmp_path / "data", CIFAR_FILES)
    assert files_below(tmp_path) == sorted(f"data/{name}" for name in [*CIFAR_FILES, place])
    assert (tmp_path / "data" / place).read_bytes() == content


def test_the_published_archive_is_unpacked_from_its_place_or_from_a_download(
    tmp_path: Path, online: None
) -> None:
    record.write_bytes(tmp_path / "own/cifar-10-python.tar.gz", PACKED["cifar-10-python.tar.gz"])
    for folder in (tmp_path / "own", tmp_path / "downloaded"):
        fetch.fetch(folder, made_up("cifar10"))
        assert whole(folder, CIFAR_FILES)
    assert files_below(tmp_path / "downloaded") == sorted(CIFAR_FILES)


@pytest.mark.parametrize("folder", ["cifar10/cifar-10-batches-py", "cifar", "."])
def test_cifar10_unpacked_at_another_place_in_the_folder_is_used(
    tmp_path: Path, folder: str, offline: None
) -> None:
    for name in CIFAR_FILES:
        record.write_bytes(tmp_path / folder / Path(name).name, CONTENT[name])
    fetch.fetch(tmp_path, made_up("cifar10"))
    assert whole(tmp_path, CIFAR_FILES)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        PACKED[f"{IMAGES}.gz"][:1000],
        PACKED[f"{IMAGES}.gz"][:-1],
        PACKED[f"{IMAGES}.gz"][:500] + bytes(500) + PACKED[f"{IMAGES}.gz"][1000:],
        PACKED["cifar-10-python.tar.gz"][:5000],
        tar(CIFAR_FILES, kind="")[:5000],
        tar(CIFAR_FILES, kind="xz")[:5000],
        bz2.compress(b"x"),
    ],
)
def test_what_is_not_whole_under_a_known_name_does_not_stop_the_download_and_stays(
    tmp_path: Path, content: bytes, online: None
) -> None:
    places = [*PACKED, "cifar-10-python.tar", "train-images.idx3-ubyte", "mnist/t10k-images-idx3-ubyte.gz"]
    for place in places:
        record.write_bytes(tmp_path / place, content)
    (tmp_path / "data_batch_1").mkdir()
    (tmp_path / "data_batch_2").symlink_to("nowhere")
    for dataset in DATASETS:
        fetch.fetch(tmp_path, made_up(dataset))
    assert whole(tmp_path, list(CONTENT)) and files_below(tmp_path) == sorted([*CONTENT, *places])
    assert all((tmp_path / place).read_bytes() == content for place in places)


# what is not as published


DAMAGE = {
    "appended": lambda content: content + b"\0",
    "truncated": lambda content: content[:-1],
    "flipped": lambda content: content[:999] + bytes([content[999] ^ 1]) + content[1000:],
    "emptied": lambda content: b"",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("name", CONTENT)
def test_a_damaged_file_is_named_before_the_download_and_kept_beside_the_published_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    damage: Callable[[bytes], bytes],
) -> None:
    said: list[str] = []

    def give_and_listen(*given) -> None:
        said.append(capsys.readouterr().err)
        give(*given)

    write(tmp_path, list(CONTENT))
    damaged = damage(CONTENT[name])
    (tmp_path / name).write_bytes(damaged)
    monkeypatch.setattr(fetch, "receive", give_and_listen)
    for dataset in DATASETS:
        fetch.fetch(tmp_path, made_up(dataset))
    kept = f"{name}.replaced-1"
    assert said == [
        f"{tmp_path / name}: not the published file; once the published one is here, "
        f"this one is kept as {Path(kept).name}\n"
    ]
    assert whole(tmp_path, list(CONTENT)) and (tmp_path / kept).read_bytes() == damaged
    assert files_below(tmp_path) == sorted([*CONTENT, kept])


@pytest.mark.parametrize("name", CONTENT)
def test_a_damaged_file_is_named_and_stays_where_the_download_fails(
    tmp_path: Path, name: str, offline: None
) -> None:
    write(tmp_path, list(CONTENT))
    (tmp_path / name).write_bytes(CONTENT[name] + b"\0")
    with pytest.raises(
        Problem, match=rf"\(http.*: 403\), {name} is not the published file; put this"
    ) as caught:
        fetch.fetch(tmp_path, made_up(dataset_of(name)))
    assert str(caught.value).count("is not the published file") == 1  # the others are not blamed
    assert (tmp_path / name).read_bytes() == CONTENT[name] + b"\0"
    assert files_below(tmp_path) == sorted(CONTENT)


def test_a_file_that_is_damaged_again_takes_the_place_of_no_kept_one(tmp_path: Path, online: None) -> None:
    write(tmp_path, CIFAR_FILES)
    for damaged in (b"first", b"second"):
        (tmp_path / BATCH).write_bytes(damaged)
        fetch.fetch(tmp_path, made_up("cifar10"))
    kept = [(tmp_path / f"{BATCH}.replaced-{number}").read_bytes() for number in (1, 2)]
    assert kept == [b"first", b"second"] and whole(tmp_path, CIFAR_FILES)


def test_a_damaged_file_is_mended_from_an_archive_of_the_user_without_a_download(
    tmp_path: Path, offline: None
) -> None:
    write(tmp_path, CIFAR_FILES)
    (tmp_path / BATCH).write_bytes(b"damaged")
    (tmp_path / "cifar-10-python.tar").write_bytes(tar(CIFAR_FILES, kind=""))
    fetch.fetch(tmp_path, made_up("cifar10"))
    assert whole(tmp_path, CIFAR_FILES) and (tmp_path / f"{BATCH}.replaced-1").read_bytes() == b"damaged"


def put_a_folder(path: Path) -> None:
    path.mkdir()
    (path / "note").write_text("mine")


@pytest.mark.parametrize("put", [put_a_folder, lambda path: path.symlink_to("nowhere"), os.mkfifo])
def test_what_is_no_file_in_a_files_place_is_named_and_kept_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], put: Callable[[Path], None], online: None
) -> None:
    write(tmp_path, MNIST_FILES)
    (tmp_path / IMAGES).unlink()
    put(tmp_path / IMAGES)
    mode = os.lstat(tmp_path / IMAGES).st_mode
    fetch.fetch(tmp_path, made_up("mnist"))
    assert f"{tmp_path / IMAGES}: not the published file" in capsys.readouterr().err
    assert whole(tmp_path, MNIST_FILES) and os.lstat(f"{tmp_path / IMAGES}.replaced-1").st_mode == mode


def test_a_link_into_a_shared_store_is_used_or_replaced_and_its_target_stays(
    tmp_path: Path, online: None
) -> None:
    folder, store = tmp_path / "data", tmp_path / "store"
    write(store, CIFAR_FILES)
    (store / BATCH).write_bytes(b"damaged")
    (folder / "cifar-10-batches-py").mkdir(parents=True)
    for name in CIFAR_FILES:
        (folder / name).symlink_to(store / name)
    fetch.fetch(folder, made_up("cifar10"))
    assert whole(folder, CIFAR_FILES) and (store / BATCH).read_bytes() == b"damaged"
    assert [(folder / name).is_symlink() for name in CIFAR_FILES] == [name != BATCH for name in CIFAR_FILES]


# what cannot be used


def test_an_archive_in_its_place_that_is_another_file_is_named_and_stays(
    tmp_path: Path, offline: None
) -> None:
    record.write_bytes(tmp_path / f"{IMAGES}.gz", b"another file")
    with pytest.raises(Problem, match=rf": 403\), {IMAGES}\.gz is not the published file; put this archive"):
        fetch.fetch(tmp_path, made_up("mnist"))
    assert files_below(tmp_path) == [f"{IMAGES}.gz"]
    assert (tmp_path / f"{IMAGES}.gz").read_bytes() == b"another file"


def test_a_damaged_folder_that_cannot_be_written_is_refused_with_the_files_name_before_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, online: None
) -> None:
    write(tmp_path, CIFAR_FILES)
    (tmp_path / BATCH).write_bytes(b"damaged")
    # the superuser may write to all: no mode of the folder would do
    monkeypatch.setattr(fetch.os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(Problem, match=rf"no permission to write.*, {BATCH} is not the published file; "):
        fetch.fetch(tmp_path, made_up("cifar10"))
    assert files_below(tmp_path) == sorted(CIFAR_FILES) and (tmp_path / BATCH).read_bytes() == b"damaged"


def test_a_file_in_a_folders_place_is_named(tmp_path: Path, online: None) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    with pytest.raises(Problem, match=f"{tmp_path / 'data'}: cannot be read or written.*what is in the way"):
        fetch.fetch(tmp_path / "data", made_up("mnist"))


def test_a_file_that_may_not_be_read_is_named_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, online: None
) -> None:
    write(tmp_path, MNIST_FILES)
    wanted = made_up("mnist")

    def refused(path: Path) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))  # the superuser may read all

    monkeypatch.setattr(record, "sha256", refused)
    with pytest.raises(Problem, match=f"Permission denied: '{tmp_path / IMAGES}'\\); free"):
        fetch.fetch(tmp_path, wanted)
