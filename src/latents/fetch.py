"""Find or download the files of a data set, check them, and put them where the study reads them.

    python -m latents.fetch --config config/study.yaml --dataset cifar10 --out results/data/cifar10.json

keeps the files that are as published, takes the others from what the user put into the folder, downloads
what is still missing (MNIST 12 MB, CIFAR-10 170 MB), and writes their manifest (name -> SHA-256). Sources
and hashes are in latents.datasets. For a study whose source is `stand-in` the command writes the demo's
files instead (latents.standin; seconds).
"""

import contextlib
import errno
import gzip
import hashlib
import itertools
import lzma
import os
import pkgutil
import re
import sys
import tarfile
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from latents import cli, config, record
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.datasets.spec import Archive, DatasetSpec

ATTEMPTS = 4  # rounds over the sources that have not refused
TIMEOUT = (10, 30)  # seconds to connect, seconds without data
Hashes = dict[str, str]  # name of a file -> SHA-256
NOT_WHOLE = (EOFError, gzip.BadGzipFile, lzma.LZMAError, tarfile.TarError, zlib.error)


def fetch(root: Path, source: DatasetSpec, *, pause: float = 1.0) -> None:
    """Put all files of a data set below root; files with the right SHA-256 are kept. Raises Problem.

    `pause` is the wait in seconds before the second attempt; it doubles with each further attempt.
    """
    for archive in source.archives:
        lacking: Hashes = {}
        try:
            for name, sha256 in archive.files.items():
                if not (root / name).is_file() or record.sha256(root / name) != sha256:
                    lacking[name] = sha256
            if lacking:
                provide(archive, lacking, source.sources, root, pause)
        except OSError as error:
            raise Problem(
                f"{root}: cannot be read or written ({error}){in_place(lacking, root)}; "
                "free space, mend the permissions or move away what is in the way, then run again"
            ) from None


def provide(archive: Archive, lacking: Hashes, sources: Sequence[str], root: Path, pause: float) -> None:
    """Put the lacking files below root, from what is there or else from a download; see `unpack`."""
    for path in (root / name for name in lacking):
        if os.path.lexists(path):
            kept = f"once the published one is here, this one is kept as {spare(path).name}"
            print(f"{path}: not the published file; {kept}", file=sys.stderr)
    for path in candidates(archive, root):
        unpack(path, lacking, root)
    partial = root / f"{archive.place}.partial"
    if lacking:
        download(archive, lacking, sources, root, pause)
        unpack(partial, lacking, root)
    if lacking:
        raise Problem(
            f"{partial}: has the published MD5, but no {', '.join(lacking)} with the published SHA-256; "
            "correct the hashes in latents.datasets"
        )
    partial.unlink(missing_ok=True)


def in_place(names: Iterable[str], root: Path) -> str:
    """The part of a message that says under which of these names something else is."""
    return "".join(f", {name} is not the published file" for name in names if os.path.lexists(root / name))


def spare(path: Path) -> Path:
    """The name under which something else that is in a file's place is kept."""
    names = (path.with_name(f"{path.name}.replaced-{number}") for number in itertools.count(1))
    return next(name for name in names if not os.path.lexists(name))


def candidates(archive: Archive, root: Path) -> list[Path]:
    """Files in root, or up to two folders below, with the name of the archive or of a file or folder in it.

    Such names are `train-images.idx3-ubyte`, `data_batch_1`, `cifar-10-python.tar`, `MNIST.tgz`.
    """
    places = [Path(place) for place in (archive.place, *archive.files)]
    names = {stem(name) for place in places for name in (place.parts[0], place.name)}
    found = (path for depth in ("*", "*/*", "*/*/*") for path in root.glob(depth) if stem(path.name) in names)
    return [path for path in found if os.path.isfile(path) and os.access(path, os.R_OK)]


def stem(name: str) -> str:
    """A file's name without the endings of archives, and with hyphens for dots."""
    return re.sub(r"(\.(tar|t?gz|bz2|xz))*$", "", name.lower()).replace(".", "-")


def md5(path: Path) -> str | None:
    """MD5 of a file, or None if there is no file. Archives are published with it."""
    return hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else None


class Refused(Exception):
    """A response that makes further requests to the same source pointless."""


def download(archive: Archive, lacking: Hashes, sources: Sequence[str], root: Path, pause: float) -> None:
    """Download the archive to `<place>.partial`, from the first source that provides all of it.

    The names of the lacking files are for the message. Raises Problem and OSError.
    """
    placed = root / archive.place
    partial = placed.with_name(f"{placed.name}.partial")
    placed.parent.mkdir(parents=True, exist_ok=True)
    if md5(partial) == archive.md5:
        return
    if not os.access(placed.parent, os.W_OK):  # said before a server is asked
        raise PermissionError(errno.EACCES, "no permission to write", str(placed.parent))
    failures: dict[str, str] = {}
    asked = [address + placed.name for address in sources]
    for attempt in range(ATTEMPTS):
        time.sleep(pause * 2 ** (attempt - 1) if attempt and asked else 0)
        for url in list(asked):
            try:
                receive(url, archive, partial)
                return
            except Refused as error:
                asked.remove(url)
                failures[url] = str(error)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                answer = getattr(error, "response", None)
                failures[url] = str(getattr(answer, "status_code", type(error).__name__))
    tried = ", ".join(f"{url}: {reason}" for url, reason in failures.items())
    raise Problem(
        f"{placed.absolute()}: could not be downloaded ({tried}){in_place([archive.place, *lacking], root)}; "
        f"put this archive there by other means, or the unpacked {', '.join(lacking)} in {root.absolute()}, "
        "and run again; `make demo` needs neither network nor these files"
    )


def receive(url: str, archive: Archive, partial: Path) -> None:
    """Make one attempt: resume where `partial` ends, then check the whole file.

    Raises Refused for a wrong file or a request that the source rejects, and the exceptions of requests.
    """
    have = partial.stat().st_size if partial.exists() else 0
    rest = {"Range": f"bytes={have}-"} if 0 < have < archive.bytes else {}
    headers = {"Accept-Encoding": "identity"} | rest
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if 400 <= answer.status_code < 500 and answer.status_code not in (408, 429):
            raise Refused(str(answer.status_code))
        answer.raise_for_status()
        resumed = answer.status_code == 206
        bar = tqdm(
            desc=archive.place,
            total=archive.bytes,
            initial=have if resumed else 0,
            unit="B",
            unit_scale=True,
            disable=None,
        )
        with partial.open("ab" if resumed else "wb") as file, bar:
            for chunk in answer.raw.stream(1 << 16, decode_content=False):
                bar.update(file.write(chunk))
                if file.tell() > archive.bytes:
                    break
    if md5(partial) != archive.md5:
        partial.unlink()
        # after resuming, the older part may be wrong: the same source is asked again, for the whole file
        raise (requests.ConnectionError if resumed else Refused)("not the published file")


def unpack(path: Path, lacking: Hashes, root: Path) -> None:
    """Put the lacking files that `path` holds below root, and take them out of `lacking`.

    A file is known by its hash: nothing is written to names that an archive chooses. Raises Problem, OSError.
    """
    with contextlib.suppress(*NOT_WHOLE):  # a damaged archive has no more to give
        for content in contents(path) if lacking else ():
            found = record.sha256(content)
            for name in [name for name, sha256 in lacking.items() if sha256 == found]:
                if os.path.lexists(root / name):
                    (root / name).rename(spare(root / name))
                record.write_bytes(root / name, content)
                del lacking[name]


def contents(path: Path) -> Iterator[bytes]:
    """The content of each file in a tar archive, of a single gzip file, or of any other file."""
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            yield from (tar.extractfile(member).read() for member in tar if member.isfile())
    else:
        content = path.read_bytes()
        yield gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


@cli.command
def main() -> None:
    # `out` is the manifest (name -> SHA-256); the data folder itself may be read-only
    options = cli.parser(__doc__, "config", "dataset", "out").parse_args()
    study = config.read(options.config)
    study.dataset(options.dataset)
    source, root = DATASETS[options.dataset], Path(study.data)
    if study.source == "download":
        fetch(root, source)
    else:
        pkgutil.resolve_name(source.stand_in.write)(root)
    manifest = {"format": record.FORMAT, "files": {name: record.sha256(root / name) for name in source.files}}
    if study.source == "stand-in":
        # there are no published hashes for these files; the manifest beside them takes their place
        record.write_json(root / f"{options.dataset}.json", manifest)
    record.write_json(options.out, manifest)


if __name__ == "__main__":
    main()
