"""Data: bad files are refused by name before they are parsed, downloads are whole, and the split is fixed."""

import contextlib
import errno
import gzip
import hashlib
import io
import math
import os
import pickle
import re
import socket
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import numpy as np
import pytest
import yaml

from latents import config, data, fetch, record, standin
from latents.cli import Problem
from latents.datasets import DATASETS, cifar10, mnist
from latents.datasets.cifar10 import CIFAR10, parse_batch
from latents.datasets.mnist import MNIST, parse_idx
from latents.datasets.spec import Archive, DatasetSpec
from latents.plain import digest
from latents.study import Study

TRAIN, VAL, TEST, CLASSES = 60, 20, 10, 10
SHIPPED = record.ROOT / "config/study.yaml"


def small_study(root: Path, **changes: object) -> Study:
    """The shipped study on small stand-in files below root; `changes` are keys of both data sets."""
    study = config.read(SHIPPED)
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


def flip_one_bit(content: bytes) -> bytes:
    return content[:-100] + bytes([content[-100] ^ 1]) + content[-99:]


DAMAGE = [
    flip_one_bit,
    lambda content: content[:-1],
    lambda content: content + b"\0",
    lambda content: b"",
]
DAMAGED = [("mnist", "MNIST/raw/train-images-idx3-ubyte"), ("cifar10", "cifar-10-batches-py/data_batch_3")]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(("dataset", "name"), DAMAGED)
def test_a_changed_file_is_refused_by_name_before_it_is_parsed(
    root: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, name: str, damage: Callable[[bytes], bytes]
) -> None:
    file = root / "data" / name
    file.write_bytes(damage(file.read_bytes()))
    parsed: list[Path] = []
    nothing = np.zeros((0, 3, 32, 32)), np.zeros(0)
    monkeypatch.setattr(mnist, "parse_idx", lambda path, *rest: parsed.append(path))
    monkeypatch.setattr(cifar10, "parse_batch", lambda path, content: parsed.append(path) or nothing)
    with pytest.raises(Problem, match=f"{name}: corrupt or truncated.*run again with `--forcerun data`"):
        data.load(small_study(root), dataset, with_test=False)
    assert file not in parsed


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


@pytest.mark.parametrize(
    "name", ["numpy.ndarray", "numpy.core.multiarray.frombuffer", "numpy.load", "builtins.eval"]
)
def test_a_pickle_may_not_call_what_an_array_does_not_need(name: str) -> None:
    content = b"c%b\n%b\n(I3\ntR." % tuple(word.encode() for word in name.rsplit(".", 1))
    reason = rf"(it asks for {name}|'NoneType' object is not callable)"
    with pytest.raises(Problem, match=rf"batch_x: refused as a CIFAR-10 batch \({reason}"):
        parse_batch(Path("batch_x"), content)


PIXELS = np.zeros((2, 3072), np.uint8)


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
        with pytest.raises(Problem, match=f"{name}: corrupt or truncated"):
            data.load(study, dataset, with_test=True)
        assert file not in read
        file.write_bytes(whole)
    assert len(files * 24) == 240 and not Path("/tmp/never-made").exists()
    read = []
    for dataset in DATASETS:
        data.load(study, dataset, with_test=True)
    assert len(read) == len(files)  # the whole ones are parsed


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


def test_labels_that_do_not_fit_the_images_are_refused(root: Path) -> None:
    for labels in (np.zeros(99), np.full(100, 10)):
        (root / "data/MNIST/raw/train-labels-idx1-ubyte").write_bytes(standin.idx(labels))
        write_manifest(root / "data", "mnist")
        with pytest.raises(Problem, match="train-labels-idx1-ubyte: does not hold one label"):
            data.load(small_study(root), "mnist", with_test=False)


# downloads, from a server on this machine

CONTENT = np.random.default_rng(1).bytes(300_000)
ARCHIVE = gzip.compress(CONTENT, mtime=0)
NAME, PLACE = "MNIST/raw/train-images-idx3-ubyte", "MNIST/raw/train-images-idx3-ubyte.gz"
Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


def send(
    handler: BaseHTTPRequestHandler, status: int, body: bytes, length: int | None = None, **headers: str
) -> None:
    handler.send_response(status)
    length = len(body) if length is None else length
    for name, value in ({"Content-Length": str(length)} | headers).items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def whole(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """The file, or the rest of it where the client asks for that."""
    start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
    given = f"bytes {start}-{len(body) - 1}/{len(body)}"
    send(handler, 206 if start else 200, body[start:], Content_Range=given)


def ignoring_range(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    send(handler, 200, body)


def half(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """Half of the file, then the connection breaks."""
    send(handler, 200, body[: len(body) // 2], length=len(body))


def busy(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    send(handler, 503, b"")


def absent(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    send(handler, 404, b"")


def forbidden(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    send(handler, 403, b"")


def stalled(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """A third of the file, then nothing for longer than anyone waits."""
    send(handler, 200, body[: len(body) // 3], length=len(body))
    handler.wfile.flush()
    time.sleep(1.0)


def page(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """A login page with status 200, as a captive portal sends it."""
    send(handler, 200, b"<html>please log in</html>", Content_Type="text/html")


def other_file(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """Another file of the right size."""
    send(handler, 200, bytes(len(body)))


def too_much(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    send(handler, 200, body + bytes(10_000_000))


class Server(ThreadingHTTPServer):
    """Gives its answers in turn, the last one for good; `asked` holds the Range of each request."""

    def __init__(self, answers: tuple[Answer, ...], body: bytes) -> None:
        self.asked: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = answers[min(len(server.asked), len(answers) - 1)]
                server.asked.append(self.headers.get("Range"))
                with contextlib.suppress(ConnectionError):  # the client has read enough
                    answer(self, body)

            def log_message(self, *arguments: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    monkeypatch.setenv("no_proxy", "*")
    running: list[tuple[Server, threading.Thread]] = []

    def start(*answers: Answer, body: bytes = ARCHIVE) -> Server:
        server = Server(answers, body)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def published(place: str, content: bytes, files: dict[str, bytes]) -> Archive:
    """The archive with that content, and with the hashes of the files in it."""
    hashes = {name: record.sha256(inside) for name, inside in files.items()}
    return Archive(place, len(content), hashlib.md5(content).hexdigest(), hashes)


def source(*urls: str) -> DatasetSpec:
    """MNIST, as if it were one small file from these addresses."""
    return replace(MNIST, sources=urls, archives=(published(PLACE, ARCHIVE, {NAME: CONTENT}),))


def files_below(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def fetched(root: Path, *urls: str) -> bool:
    """Fetch with a short back-off; true when exactly the wanted file is there, whole."""
    fetch.fetch(root, source(*urls), pause=0.01)
    return files_below(root) == [NAME] and (root / NAME).read_bytes() == CONTENT


def test_a_download_ends_with_the_unpacked_file_and_nothing_else(
    tmp_path: Path, serve: Callable[..., Server]
) -> None:
    server = serve(whole)
    assert fetched(tmp_path, server.url)
    assert fetched(tmp_path, server.url) and len(server.asked) == 1  # what is whole is not asked for again


def test_a_busy_server_is_asked_again_after_growing_pauses(
    tmp_path: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(fetch.time, "sleep", pauses.append)
    assert fetched(tmp_path, serve(busy, busy, whole).url)
    assert [pause for pause in pauses if pause] == [0.01, 0.02]


def test_a_broken_download_goes_on_where_it_stopped(tmp_path: Path, serve: Callable[..., Server]) -> None:
    server = serve(half, whole)
    assert fetched(tmp_path, server.url)
    assert server.asked == [None, f"bytes={len(ARCHIVE) // 2}-"]


def test_a_stalled_connection_is_given_up_and_gone_on_from(
    tmp_path: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT", (1, 0.2))
    server = serve(stalled, whole)
    assert fetched(tmp_path, server.url)
    first, second = server.asked
    assert first is None and re.fullmatch(r"bytes=[1-9]\d*-", second)


def test_a_broken_download_goes_on_from_another_source_and_in_a_later_run(
    tmp_path: Path, serve: Callable[..., Server]
) -> None:
    with pytest.raises(Problem):
        fetched(tmp_path, serve(half, absent).url)
    assert files_below(tmp_path) == [f"{PLACE}.partial"]
    server = serve(whole)
    assert fetched(tmp_path, server.url)
    assert server.asked == [f"bytes={len(ARCHIVE) // 2}-"]


def test_a_source_that_cannot_resume_sends_the_whole_again(
    tmp_path: Path, serve: Callable[..., Server]
) -> None:
    assert fetched(tmp_path, serve(half, ignoring_range).url)


def test_a_spoilt_beginning_is_thrown_away_and_the_same_source_asked_for_all_of_it(
    tmp_path: Path, serve: Callable[..., Server]
) -> None:
    record.write_bytes(tmp_path / f"{PLACE}.partial", b"spoilt")
    server = serve(whole)
    assert fetched(tmp_path, server.url)
    assert server.asked == ["bytes=6-", None]


def test_a_download_that_was_whole_when_the_run_ended_is_used(tmp_path: Path) -> None:
    record.write_bytes(tmp_path / f"{PLACE}.partial", ARCHIVE)
    assert fetched(tmp_path)


@pytest.mark.parametrize("wrong", [page, other_file, too_much, absent, forbidden])
def test_wrong_content_is_refused_once_and_the_next_source_asked(
    tmp_path: Path, serve: Callable[..., Server], wrong: Answer
) -> None:
    bad, good = serve(wrong), serve(whole)
    assert fetched(tmp_path, bad.url, good.url)
    assert len(bad.asked) == len(good.asked) == 1


def test_an_answer_that_does_not_end_is_left_after_the_published_size(
    tmp_path: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    md5 = fetch.md5

    def watched(path: Path) -> str | None:
        sizes.append(path.stat().st_size if path.exists() else 0)
        return md5(path)

    monkeypatch.setattr(fetch, "md5", watched)
    assert fetched(tmp_path, serve(too_much).url, serve(whole).url)
    assert len(ARCHIVE) < max(sizes) < len(ARCHIVE) + 200_000


def test_when_every_source_fails_the_message_names_the_place_and_the_demo(
    tmp_path: Path, serve: Callable[..., Server]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        unreachable = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    with pytest.raises(Problem) as caught:
        fetched(tmp_path, serve(page).url, serve(busy).url, unreachable)
    message = str(caught.value)
    assert f"put it at {tmp_path / PLACE} and run again" in message
    assert "`make demo` needs neither network" in message
    assert "not the published file" in message and "503" in message and "ConnectionError" in message
    assert "\n" not in message and files_below(tmp_path) == []


def test_a_file_of_the_user_in_the_archives_place_that_is_not_it_is_named_and_stays(
    tmp_path: Path, serve: Callable[..., Server]
) -> None:
    record.write_bytes(tmp_path / PLACE, b"another file")
    with pytest.raises(Problem, match=f"put it at {tmp_path / PLACE}, where another file is, and run again"):
        fetched(tmp_path, serve(absent).url)
    assert (tmp_path / PLACE).read_bytes() == b"another file"


def test_an_archive_that_the_user_put_in_place_is_used_and_stays(tmp_path: Path) -> None:
    record.write_bytes(tmp_path / PLACE, ARCHIVE)
    record.write_bytes(tmp_path / f"{PLACE}.partial", ARCHIVE[:100])
    fetch.fetch(tmp_path, source())
    assert (tmp_path / NAME).read_bytes() == CONTENT and files_below(tmp_path) == [NAME, PLACE]


def test_a_damaged_file_is_replaced_and_stays_where_the_download_fails(
    tmp_path: Path, serve: Callable[..., Server]
) -> None:
    record.write_bytes(tmp_path / NAME, b"damaged")
    with pytest.raises(Problem):
        fetched(tmp_path, serve(absent).url)
    assert (tmp_path / NAME).read_bytes() == b"damaged"
    assert fetched(tmp_path, serve(whole).url)


def test_an_archive_whose_file_has_another_hash_leaves_nothing_under_the_final_name(
    tmp_path: Path, serve: Callable[..., Server]
) -> None:
    wrong = replace(source().archives[0], files={NAME: "0" * 64})
    with pytest.raises(Problem, match=f"its {NAME} does not have the published SHA-256"):
        fetch.fetch(tmp_path, replace(source(serve(whole).url), archives=(wrong,)), pause=0.01)
    assert not (tmp_path / NAME).exists()


def test_a_tar_archive_gives_its_named_files_and_writes_nothing_else(
    tmp_path: Path, serve: Callable[..., Server]
) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        inside = {"folder/b": b"bb", "../outside": b"xx", "folder/readme": b"rr", "folder/a": b"aa"}
        for name, content in inside.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    packed = stream.getvalue()
    archive = published("x.tar.gz", packed, {"folder/a": b"aa", "folder/b": b"bb"})
    spec = replace(CIFAR10, sources=(serve(whole, body=packed).url,), archives=(archive,))
    fetch.fetch(tmp_path / "data", spec)
    assert files_below(tmp_path) == ["data/folder/a", "data/folder/b"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    with pytest.raises(Problem, match=f"{tmp_path / 'data'}: cannot be read or written"):
        fetch.fetch(tmp_path / "data", source())


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record.write_bytes(tmp_path / NAME, CONTENT)
    wanted = source()

    def refused(path: Path) -> str:
        # the superuser may read all: no mode of the file would do
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(record, "sha256", refused)
    with pytest.raises(Problem, match=f"Permission denied: '{tmp_path / NAME}'"):
        fetch.fetch(tmp_path, wanted)


# the command


def call(monkeypatch: pytest.MonkeyPatch, folder: Path, dataset: str, kind: str = "stand-in") -> None:
    """`python -m latents.fetch` with the shipped configuration, but for source and folder."""
    changes = {"source": kind, "folder": f"{folder}/", "sweeps": str(SHIPPED.with_name("sweeps.yaml"))}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(SHIPPED.read_text()) | changes, sort_keys=False))
    given = ["--config", str(path), "--dataset", dataset, "--out", str(folder / f"{dataset}.json")]
    monkeypatch.setattr(sys, "argv", ["fetch", *given])
    fetch.main()


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_the_command_puts_the_stand_in_in_place_for_the_loader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str
) -> None:
    call(monkeypatch, tmp_path, dataset)
    assert set(record.read_json(tmp_path / f"{dataset}.json")["files"]) == set(DATASETS[dataset].files)
    split = data.load(small_study(tmp_path, train=4000, validation=500, test=500), dataset, with_test=True)
    assert (np.bincount(split.train.labels) == 400).all() and (np.bincount(split.test.labels) == 50).all()


def test_the_command_refuses_an_unknown_data_set_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = r"^error: data set 'svhn' is not in this study; it has mnist, cifar10$"
    with pytest.raises(SystemExit, match=said):
        call(monkeypatch, tmp_path, "svhn")


def test_the_command_refuses_the_stand_in_of_a_data_set_that_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS, "mnist", replace(MNIST, stand_in=None))
    said = r"^error: .*config\.yaml: source: mnist has no stand-in; use source: download$"
    with pytest.raises(SystemExit, match=said):
        call(monkeypatch, tmp_path, "mnist")
    assert not (tmp_path / "data").exists() and not (tmp_path / "mnist.json").exists()


def test_the_command_downloads_what_the_table_names_and_the_loader_expects_its_hashes(
    tmp_path: Path, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LATENTS_DATA", str(tmp_path / "data"))
    monkeypatch.setitem(DATASETS, "mnist", source(serve(whole).url))
    call(monkeypatch, tmp_path, "mnist", "download")
    assert files_below(tmp_path / "data") == [NAME] and (tmp_path / "data" / NAME).read_bytes() == CONTENT
    hashes = {NAME: record.sha256(CONTENT)}
    assert record.read_json(tmp_path / "mnist.json")["files"] == hashes
    assert data.pins(config.read(SHIPPED), "mnist") == hashes


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
    study = config.read(SHIPPED)
    fetch.fetch(Path(study.data), replace(DATASETS[dataset], sources=()))
    split = data.load(study, dataset, with_test=True)
    chosen = study.datasets[dataset]
    assert split.train.images.shape == (chosen.train, *shape)
    assert split.val.images.shape == (chosen.validation, *shape)
    assert split.test.images.shape == (10_000, *shape)
    shares = [np.bincount(part.labels) / len(part.labels) for part in (split.train, split.val)]
    assert np.abs(shares[0] - shares[1]).max() < 2e-4
    assert split.test.labels[:5].tolist() == {"mnist": [7, 2, 1, 0, 4], "cifar10": [3, 8, 8, 0, 6]}[dataset]
