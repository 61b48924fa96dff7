"""Download, check and unpack the files of a data set.

    python -m latents.fetch --config config/study.yaml --dataset cifar10 --out results/data/cifar10.json

downloads the files that are missing (MNIST 12 MB, CIFAR-10 170 MB), checks all of them, and writes their
manifest (name -> SHA-256). A folder filled by torchvision is used as it is. Sources and hashes are in
latents.datasets. For a study whose source is `stand-in` the command writes the demo's files instead
(latents.standin; seconds).
"""

import gzip
import hashlib
import pkgutil
import tarfile
import time
from collections.abc import Iterator, Sequence
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


def fetch(root: Path, source: DatasetSpec, *, pause: float = 1.0) -> None:
    """Put all files of a data set below root; files with the right SHA-256 are kept. Raises Problem.

    `pause` is the wait in seconds before the second attempt; it doubles with each further attempt.
    """
    for archive in source.archives:
        placed = root / archive.place
        partial = placed.with_name(f"{placed.name}.partial")
        try:
            missing = [
                name
                for name, sha256 in archive.files.items()
                if not (root / name).is_file() or record.sha256(root / name) != sha256
            ]
            if not missing:
                continue
            found = placed if md5(placed) == archive.md5 else partial
            if found == partial:
                download(archive, source.sources, placed, partial, pause)
            unpack(found, archive, missing, root)
            partial.unlink(missing_ok=True)
        except OSError as error:
            raise Problem(
                f"{root}: cannot be read or written ({error}); "
                "free space or mend the permissions, then run again"
            ) from None


def md5(path: Path) -> str | None:
    """MD5 of a file, or None if there is no file.

    Archives are published with their MD5. It detects accidental damage only.
    """
    return hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else None


class Refused(Exception):
    """A response that makes further requests to the same source pointless."""


def download(archive: Archive, sources: Sequence[str], placed: Path, partial: Path, pause: float) -> None:
    """Download the archive to `partial`, from the first source that provides all of it. Raises Problem."""
    placed.parent.mkdir(parents=True, exist_ok=True)
    if md5(partial) == archive.md5:
        return
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
                failures[url] = str(
                    getattr(getattr(error, "response", None), "status_code", type(error).__name__)
                )
    tried = ", ".join(f"{url}: {reason}" for url, reason in failures.items())
    instead = ", where another file is," if placed.exists() else ""
    mend = (
        f"fetch it by other means, put it at {placed.absolute()}{instead} and run again; "
        "`make demo` needs neither network nor this file"
    )
    raise Problem(f"{placed.name} could not be downloaded ({tried}); {mend}")


def receive(url: str, archive: Archive, partial: Path) -> None:
    """Make one attempt: resume where `partial` ends, then check the whole file.

    Raises Refused for a wrong file or a request that the source rejects, and the exceptions of requests.
    """
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity"} | (
        {"Range": f"bytes={have}-"} if 0 < have < archive.bytes else {}
    )
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


def unpack(path: Path, archive: Archive, wanted: list[str], root: Path) -> None:
    """Check the SHA-256 of each wanted file in an archive, and write it below root. Raises Problem."""
    for name, content in contents(path, wanted):
        if record.sha256(content) != archive.files[name]:
            raise Problem(
                f"{path}: its {name} does not have the published SHA-256; "
                "restore that file as it was published"
            )
        record.write_bytes(root / name, content)


def contents(path: Path, wanted: list[str]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the wanted files in a tar archive, in its order, or of a single gzip file.

    Nothing is written to paths that an archive chooses.
    """
    if ".tar" in path.suffixes:
        with tarfile.open(path) as tar:
            yield from (
                (member.name, tar.extractfile(member).read()) for member in tar if member.name in wanted
            )
    else:
        yield wanted[0], gzip.decompress(path.read_bytes())


@cli.command
def main() -> None:
    # `out` is the manifest (name -> SHA-256); the data folder itself may be read-only
    options = cli.parser(__doc__, "config", "dataset", "out").parse_args()
    study = config.read(options.config)
    study.dataset(options.dataset)
    source, root = DATASETS[options.dataset], Path(study.data)
    if study.source == "download":
        fetch(root, source)
    elif source.stand_in is None:
        raise Problem(f"{options.config}: source: {options.dataset} has no stand-in; use source: download")
    else:
        pkgutil.resolve_name(source.stand_in.write)(root)
    manifest = {"format": record.FORMAT, "files": {name: record.sha256(root / name) for name in source.files}}
    if study.source == "stand-in":
        # there are no published hashes for these files; the manifest beside them takes their place
        record.write_json(root / f"{options.dataset}.json", manifest)
    record.write_json(options.out, manifest)


if __name__ == "__main__":
    main()
