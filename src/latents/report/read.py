"""Read what the steps have written: tables, records, arrays and text. What is missing or broken is named."""

import csv
import zlib
from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from pathlib import Path
from typing import TypeVar
from zipfile import BadZipFile

import msgspec
import numpy as np

from latents import record
from latents.cli import Problem
from latents.record import again

CKA = ("run_a", "seed_a", "run_b", "seed_b", "cka")  # columns of a table of similarities

Made = TypeVar("Made")


def unreadable(path: Path, error: Exception) -> Problem:
    """What is wrong with a file that could not be read."""
    if isinstance(error, FileNotFoundError):
        return Problem(f"{path}: missing; {again(path)}")
    words = error.strerror if isinstance(error, OSError) and error.strerror else error
    return Problem(f"{path}: cannot be read ({' '.join(str(words).split())}); {again(path)}")


def number(text: str) -> float:
    """A finite number. Raises ValueError."""
    if not isfinite(value := float(text)):
        raise ValueError(f"{text} is no number")
    return value


def read_text(path: Path) -> str:
    """A text file that a step has written. Raises Problem when it is missing or not text."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from None


def read_csv(path: Path, columns: Iterable[str], make: Callable[[dict[str, str]], Made]) -> list[Made]:
    """What is made of each line of a table with a header.

    Raises Problem when it is missing, broken or lacks one of the columns.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            lines, header = list(reader), reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable(path, error) from None
    lacking = [name for name in columns if name not in header]
    if lacking:
        raise Problem(f"{path}: column {lacking[0]!r} is missing; {again(path)}")
    made = []
    for place, line in enumerate(lines, 2):
        try:
            if None in line or None in line.values():
                raise ValueError("more or fewer fields than the header")
            made.append(make(line))
        except ValueError:
            raise Problem(f"{path}: line {place} is broken; {again(path)}") from None
    return made


def read_record(path: Path, kind: type[Made], maker: str = "") -> Made:
    """A record, whole, that has at least the keys of a typed dictionary.

    Raises Problem when it is missing or broken, or a key is missing or has a value of another type. `maker`
    is the command that makes a record that no rule of the workflow makes.
    """
    if maker and not path.exists() and not path.resolve().is_relative_to(record.ROOT / "reference"):
        raise Problem(f"{path}: missing; {maker} makes it")
    content = record.read_json(path)
    try:
        msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise Problem(f"{path}: not the record that belongs there ({error}); {again(path)}") from None
    return content


def benchmarks(results: Path) -> list[Path]:
    """The records of the benchmark on CPUs, a file a kind of processor. Raises Problem when there is none.

    Those of GPUs lie beside them, with the driver's name of the GPU.
    """
    found = sorted(path for path in (results / "bench").glob("*.json") if not path.name.startswith("nvidia"))
    if not found:
        raise Problem(f"{results}/bench/cpu.json: missing; make bench makes it")
    return found


def read_npz(path: Path, *names: str, optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """The named arrays of a file, and those of the optional ones that it has.

    Raises Problem when it is missing or broken, or lacks one of the names.
    """
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            found = dict(arrays)
    # a single array, which is not in a zip file, is a TypeError
    except (OSError, ValueError, TypeError, EOFError, BadZipFile, zlib.error) as error:
        raise unreadable(path, error) from None
    lacking = [name for name in names if not isinstance(found.get(name), np.ndarray)]
    if lacking:
        raise Problem(f"{path}: holds no array {lacking[0]!r}; {again(path)}")
    return {name: found[name] for name in (*names, *optional) if name in found}


def cka_matrix(path: Path, methods: Sequence[str], first: int) -> np.ndarray:
    """[method, method] CKA at the first seed; on the diagonal the mean over pairs of seeds, NaN without any.

    Raises Problem where a pair is missing.
    """
    pairs = {}

    def read(line: dict[str, str]) -> None:
        one, other = (line["run_a"], int(line["seed_a"])), (line["run_b"], int(line["seed_b"]))
        pairs[one, other] = pairs[other, one] = number(line["cka"])

    read_csv(path, CKA, read)
    between = np.full((len(methods), len(methods)), np.nan)
    for a, method in enumerate(methods):
        for b, other in enumerate(methods):
            if a == b:
                continue
            if ((method, first), (other, first)) not in pairs:
                raise Problem(f"{path}: {method} and {other} at seed {first} are missing; {again(path)}")
            between[a, b] = pairs[(method, first), (other, first)]
        seeds = [
            cka for (one, other), cka in pairs.items() if one[0] == other[0] == method and one[1] < other[1]
        ]
        if seeds:
            between[a, a] = np.mean(seeds)
    return between
