"""Records: small JSON files with sorted keys, a seal (a checksum), and the hashes of their inputs.

They are written atomically.
"""

import contextlib
import csv
import hashlib
import io
import json
import math
import os
import platform
import secrets
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from latents.cli import Problem

FORMAT = 1  # of records, codes and weights; increased when old files can no longer be read
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "openTSNE", "latents")
ROOT = Path(__file__).resolve().parents[2]  # the checkout


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically; folders are created as needed. Raises Problem if writing fails."""
    path = Path(path)
    if path.exists() and not path.is_file():
        raise Problem(f"{path}: is not a regular file; name another place")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # without it, a power failure could leave the name without the content
        os.replace(partial, path)
    except OSError as error:
        raise Problem(
            f"{path}: cannot be written ({error.strerror}); "
            "free space or mend the permissions, then run again"
        ) from None
    finally:
        with contextlib.suppress(OSError):  # where its folder could not be made, for example
            partial.unlink(missing_ok=True)  # still there if it was not renamed


def write_text(path: str | Path, content: str) -> None:
    """Like write_bytes, for text in UTF-8."""
    write_bytes(path, content.encode())


def csv_text(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """A table with a header, as CSV. Floats are written so that they read back the same."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue()


def write_csv(path: str | Path, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    """Like write_text, for the `csv_text` of a table."""
    write_text(path, csv_text(header, lines))


def seal(content: dict[str, Any]) -> str:
    """SHA-256 of a record's content, which reveals later changes."""
    return sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode())


def write_json(path: str | Path, content: dict[str, Any]) -> None:
    """Like write_bytes, for a record: sorted keys, one value per line, its seal under the key `sha256`.

    Raises ValueError for NaN and infinity.
    """
    write_text(
        path,
        json.dumps(content | {"sha256": seal(content)}, indent=1, sort_keys=True, allow_nan=False) + "\n",
    )


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a record, without its seal.

    Raises Problem if it is missing, broken, changed or of another format version.
    """
    try:
        content = json.loads(Path(path).read_bytes(), parse_constant=refuse_constant, parse_float=finite)
    except FileNotFoundError:
        raise Problem(f"{path}: missing; {again(path)}") from None
    except OSError as error:
        raise Problem(
            f"{path}: cannot be read ({error.strerror}); mend its permissions and run again"
        ) from None
    except (ValueError, RecursionError) as error:
        raise Problem(f"{path}: not valid JSON ({error}); {again(path)}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise Problem(f"{path}: not a record of format {FORMAT}; {again(path)}")
    if content.pop("sha256", None) != seal(content):
        raise Problem(f"{path}: changed since it was written (its seal is broken); {again(path)}")
    return content


def refuse_constant(name: str) -> None:
    """Python's JSON reader takes NaN and Infinity, which are no JSON. Raises ValueError."""
    raise ValueError(f"it holds {name}, which is not a number")


def finite(text: str) -> float:
    """A number of a record. Raises ValueError where it is beyond the range of floats."""
    if not math.isfinite(value := float(text)):
        raise ValueError(f"it holds {text}, which is beyond the range of numbers")
    return value


def again(path: str | Path) -> str:
    """What to do about a result that is missing or broken: which step makes it, or how to restore it."""
    inside = Path(os.path.abspath(path))
    if inside.is_relative_to(ROOT):
        name = inside.relative_to(ROOT).as_posix()
        if name.startswith("reference/"):
            return f"no step makes it: restore it from the repository (git checkout -- {name})"
        if name.startswith("archive/"):
            return "restore it from a copy, or delete its run's files in archive/ and run again"
    if not inside.exists():
        return "run snakemake again, with the same --config: it makes what is missing"
    return "delete it and run again, its step will be repeated"


def sha256(content: bytes | Path) -> str:
    """SHA-256 of bytes, or of a file's content."""
    if isinstance(content, Path):
        with content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(content).hexdigest()


def tree_sha256(files: list[Path]) -> str:
    """SHA-256 over the names and contents of files in the checkout, in order of name."""
    listing = "".join(f"{sha256(file)}  {file.relative_to(ROOT).as_posix()}\n" for file in sorted(files))
    return sha256(listing.encode())


def source_sha256() -> str:
    """Hash of the source that can change a number: modules that train and measure, and the lock file.

    The data have hashes of their own.
    """
    core = ROOT / "src/latents"
    apart = (
        "cli.py",
        "explorer.py",
        "export.py",
        "fetch.py",
        "host.py",
        "images.py",
        "machine.py",
        "standin.py",
    )
    modules = [path for path in core.glob("*.py") if path.name not in apart]
    modules += [path for folder in ("methods", "datasets") for path in (core / folder).glob("*.py")]
    return tree_sha256([*modules, ROOT / "requirements.lock"])


def build_files() -> list[Path]:
    """What the paper is built with: source, workflow, configuration and the lock file.

    The paper prints their hash.
    """
    patterns = ("src/**/*.py", "Snakefile", "rules/*.smk", "config/*.yaml", "requirements.lock")
    return [path for pattern in patterns for path in ROOT.glob(pattern)]


def environment() -> dict[str, Any]:
    """Versions of packages and Python, and the processor, for a record.

    A package that is not installed, as this one where it runs from its folder, has none.
    """
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {"versions": versions, "processor": processor()}


def processor() -> str:
    """The processor's name, or the machine type if there is none, with the number of cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()} ({os.cpu_count()} cores)"


def config_sha256(config: dict[str, Any]) -> str:
    """Hash of a resolved configuration, as in a record."""
    return sha256(json.dumps(msgspec.to_builtins(config), sort_keys=True).encode())


def header(config: dict[str, Any]) -> dict[str, Any]:
    """What all records contain: format, resolved configuration and its hash, source hash, environment."""
    found = {
        "format": FORMAT,
        "config": msgspec.to_builtins(config),
        "config_sha256": config_sha256(config),
        "source_sha256": source_sha256(),
    }
    return found | environment()
