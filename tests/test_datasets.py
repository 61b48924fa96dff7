"""The data sets: their parsers refuse by name what is not whole, and their table is what it was."""

import re
from pathlib import Path

import numpy as np
import pytest
from test_data import CLASSES, batch, mutated

from latents import standin
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.datasets.cifar10 import parse_batch
from latents.datasets.mnist import parse_idx
from latents.plain import digest

PIXELS = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    "name", ["numpy.ndarray", "numpy.core.multiarray.frombuffer", "numpy.load", "builtins.eval"]
)
def test_a_pickle_may_not_call_what_an_array_does_not_need(name: str) -> None:
    content = b"c%b\n%b\n(I3\ntR." % tuple(word.encode() for word in name.rsplit(".", 1))
    reason = rf"(it asks for {name}|'NoneType' object is not callable)"
    with pytest.raises(Problem, match=rf"batch_x: refused as a CIFAR-10 batch \({reason}"):
        parse_batch(Path("batch_x"), content)


@pytest.mark.parametrize("kind", ["batch", "images", "labels"])
def test_without_the_hash_the_parsers_refuse_mutated_files_or_read_whole_ones(kind: str) -> None:
    draw = np.random.default_rng(12)
    batch = {b"data": PIXELS, b"labels": [3, 4], b"filenames": [b"x.png", b"y.png"]}
    whole = {
        "batch": standin.python2_pickle(batch),
        "images": standin.idx(np.zeros((2, 28, 28))),
        "labels": standin.idx(np.zeros(2)),
    }
    parse = {
        "batch": parse_batch,
        "images": lambda path, content: (parse_idx(path, content, (28, 28)), None),
        "labels": lambda path, content: (parse_idx(path, content, ()), None),
    }
    # pixels are most of a batch and may be anything: what lies around them is what can break
    content, refused, named = whole[kind], 0, 0
    pixels = slice(16, 16)
    if kind == "batch":
        pixels = slice(content.find(bytes(3000)) + 10, content.rfind(bytes(3000)) + 2990)
    around = content[: pixels.start], content[pixels.start : pixels.stop], content[pixels.stop :]
    for _ in range(400):
        end = 2 * int(draw.integers(2))
        parts = [mutated(part, draw) if place == end and part else part for place, part in enumerate(around)]
        try:
            images, labels = parse[kind](Path("x"), b"".join(parts))
        except Problem as problem:
            named += str(problem).startswith("x: ")
            refused += 1
        else:
            assert images.dtype == np.uint8
            if labels is not None:
                assert len(images) == len(labels) and labels.min() >= 0 and labels.max() < CLASSES
    assert refused == named > 150 and not Path("/tmp/never-made").exists()


@pytest.mark.parametrize(
    "content",
    [
        {b"data": PIXELS, b"labels": [0, 10]},
        {b"data": PIXELS, b"labels": [0, -1]},
        {b"data": PIXELS, b"labels": [0]},
        {b"data": PIXELS, b"labels": [0, 1.0]},
        {b"data": PIXELS[:, :-1], b"labels": [0, 1]},
        {b"data": PIXELS.astype(np.int16), b"labels": [0, 1]},
        {b"data": [[0] * 3072] * 2, b"labels": [0, 1]},
        {b"labels": [0, 1]},
        [],
    ],
)
def test_a_batch_of_another_shape_type_or_label_range_is_refused(content: object) -> None:
    with pytest.raises(Problem, match="batch_x: refused as a CIFAR-10 batch"):
        parse_batch(Path("batch_x"), standin.python2_pickle(content))


def test_a_batch_with_bytes_after_its_end_or_cut_short_is_refused() -> None:
    content = batch(np.arange(10), np.random.default_rng(0))
    assert parse_batch(Path("batch_x"), content)[0].shape == (10, 3, 32, 32)
    for wrong in (content + b"x", content[:-1], content[:1000], b"", b"<html>"):
        with pytest.raises(Problem, match="batch_x: refused"):
            parse_batch(Path("batch_x"), wrong)


def test_a_batch_with_text_keys_is_read_like_one_with_byte_keys() -> None:
    images, labels = parse_batch(Path("batch_x"), standin.python2_pickle({"data": PIXELS, "labels": [3, 4]}))
    assert images.shape == (2, 3, 32, 32) and labels.tolist() == [3, 4]


def test_an_idx_file_with_a_wrong_magic_shape_or_length_is_refused() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    content = standin.idx(images)
    assert (parse_idx(Path("x-ubyte"), content, (28, 28)) == images).all()
    signed, zipped = content[:2] + b"\x09" + content[3:], b"\x1f\x8b" + content[2:]
    labels, lower = standin.idx(images[:, 0, 0]), standin.idx(images[:, 1:])
    for wrong in (signed, labels, lower, content[:9], content[:-1], content + b"\0", b"", zipped):
        with pytest.raises(Problem, match="x-ubyte: not an IDX file"):
            parse_idx(Path("x-ubyte"), wrong, (28, 28))


# the table of data sets


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_data_set_names_every_file_once_with_its_hash_its_archives_and_its_sources(dataset: str) -> None:
    spec = DATASETS[dataset]
    names = [name for archive in spec.archives for name in archive.files]
    assert len(names) == len(set(names)) == len(spec.files)
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in spec.files.values())
    assert all(re.fullmatch("[0-9a-f]{32}", archive.md5) and archive.bytes > 0 for archive in spec.archives)
    assert len(spec.sources) >= 2 and all(re.fullmatch(r"https?://.+/", address) for address in spec.sources)
    assert set(spec.parts) == {"train", "test"}
    assert {name for part in spec.parts.values() for name in part} <= set(names)
    assert not set(spec.parts["train"]) & set(spec.parts["test"])
    assert len(set(spec.classes)) == len(spec.classes) == CLASSES


def test_the_sources_and_the_published_hashes_are_those_that_the_study_was_made_with() -> None:
    listing = {}
    for name, spec in DATASETS.items():
        archives = [[one.place, one.bytes, one.md5, one.files] for one in spec.archives]
        listing[name] = [list(spec.sources), archives]
    assert digest(listing) == "0c0a0ca89051f5aad508e4b6ef7aa35f29f96ce312c17701d008fc1f1cee63b8"
