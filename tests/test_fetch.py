"""Downloads: resumed, from one source after the other, and never a wrong file under the final name."""

import contextlib
import gzip
import hashlib
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import yaml
from test_data import SHIPPED, small_study

from latents import config, data, fetch, record
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.datasets.mnist import MNIST
from latents.datasets.spec import Archive, DatasetSpec

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


def test_when_every_source_fails_the_message_names_archive_and_files_with_their_folder_and_the_demo(
    tmp_path: Path, serve: Callable[..., Server]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        unreachable = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    with pytest.raises(Problem) as caught:
        fetched(tmp_path, serve(page).url, serve(busy).url, unreachable)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / PLACE}: could not be downloaded (")
    assert f"; put this archive there by other means, or the unpacked {NAME} in {tmp_path}, and" in message
    assert "`make demo` needs neither network" in message
    assert "not the published file" in message and "503" in message and "ConnectionError" in message
    assert "\n" not in message and files_below(tmp_path) == []


def test_an_archive_whose_file_has_another_hash_leaves_nothing_under_the_final_name(
    tmp_path: Path, serve: Callable[..., Server]
) -> None:
    wrong = replace(source().archives[0], files={NAME: "0" * 64})
    with pytest.raises(Problem, match=f"published MD5, but no {NAME} with the published SHA-256; correct"):
        fetch.fetch(tmp_path, replace(source(serve(whole).url), archives=(wrong,)), pause=0.01)
    assert not (tmp_path / NAME).exists()


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
