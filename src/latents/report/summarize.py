"""Gather the records: every number of every cell into runs.csv, and its mean and interval over seeds into summary.csv.

    python -m latents.report.summarize --config config/study.yaml --results results \
        --out-runs results/runs.csv --out-summary results/summary.csv

runs.csv is the source of everything that is printed; summary.csv derives from it, and names a variant of a sweep
<row>.<sweep>.<variant>. Both are byte-identical for the same records. Takes about a second.
"""

import argparse
import csv
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple, TypeVar

import numpy as np

from latents import config, record
from latents.config import ROWS, Problem, Study
from latents.report.kept import BESIDE

Made = TypeVar("Made")
SUMMARY = ("dataset", "method", "metric", "split", "mean", "ci95_low", "ci95_high", "n", "unit")  # its columns


class Value(NamedTuple):
    """One line of runs.csv."""

    dataset: str
    method: str
    variant: str
    seed: int
    metric: str
    split: str  # train, val, test, or "-" where the number belongs to the run
    value: float
    unit: str

    @property
    def run(self) -> str:
        """The row, or `<row>.<sweep>.<variant>`."""
        return self.method if self.variant == "main" else f"{self.method}.{self.variant}"


class Estimate(NamedTuple):
    """Mean over n seeds; the interval's ends are None where the seeds cannot give one."""

    mean: float
    low: float | None
    high: float | None
    n: int
    unit: str


def records(study: Study, results: Path) -> Iterator[dict[str, Any]]:
    """Every cell's record, in the order of the study. Raises Problem on a missing, foreign or mixed one."""
    first: dict[str, dict[str, Any]] = {}
    for dataset, run, seed in study.cells():
        path = results / "records" / dataset / run / f"seed{seed}.json"
        cell = record.read_json(path)
        if (cell.get("dataset"), cell.get("run"), cell.get("seed")) != (dataset, run, seed):
            raise Problem(f"{path}: is the record of another cell; delete it and run again")
        for key in ("split_sha256", "data_sha256", "judge_sha256"):
            if cell.get(key) != first.setdefault(dataset, cell).get(key):
                raise Problem(f"{path}: its {key} is not that of the other {dataset} records; delete those that are old and run again")
        yield cell


def trustworthiness(results: Path, dataset: str, row: str) -> float:
    """Of a row's t-SNE, from its record."""
    path = results / "tsne" / dataset / f"{row}.json"
    found = record.read_json(path)
    if found.get("trustworthiness") is None:
        raise Problem(f"{path}: holds no trustworthiness; delete it and run again")
    check(path.with_suffix(".csv"), found, "points_sha256")
    return found["trustworthiness"]


def check(path: Path, made: dict[str, Any], key: str) -> None:
    """That a file is the one its (sealed) record describes. Raises Problem when it is missing or another."""
    if not path.is_file() or record.sha256(path) != made.get(key):
        raise Problem(f"{path}: not the file that its record describes ({key}); delete it and run again, its step will be repeated")


def read_csv(path: Path, columns: Iterable[str], make: Callable[[dict[str, str]], Made]) -> list[Made]:
    """What is made of each line of a table with a header. Raises Problem when it is missing, broken or lacks one of the columns."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            lines, header = list(reader), reader.fieldnames or []
    except FileNotFoundError:
        raise Problem(f"{path}: missing; run the step that makes it (snakemake {path})") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Problem(f"{path}: cannot be read ({error}); delete it and run again, its step will be repeated") from None
    lacking = [name for name in columns if name not in header]
    if lacking:
        raise Problem(f"{path}: column {lacking[0]!r} is missing; delete it and run again with this version")
    made = []
    for number, line in enumerate(lines, 2):
        try:
            if None in line or None in line.values():
                raise ValueError("more or fewer fields than the header")
            made.append(make(line))
        except ValueError:
            raise Problem(f"{path}: line {number} is broken; delete it and run again, its step will be repeated") from None
    return made


def write_csv(path: Path, header: tuple[str, ...], lines: Iterable[tuple]) -> None:
    """Floats are written so that reading them gives the same float."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *lines])
    record.write_text(path, text.getvalue())


def gather(study: Study, results: Path) -> list[Value]:
    """All numbers of all cells, in the order of the cells and of their measurement; t-SNE's belong to the first seed."""
    values = []
    for cell in records(study, results):
        dataset, run, seed = cell["dataset"], cell["run"], cell["seed"]
        for place, key in BESIDE.items():
            check(results / place.format(f"{dataset}/{run}/seed{seed}"), cell, key)
        metrics = [(m["metric"], m["split"], m["value"], m["unit"]) for m in cell["metrics"]]
        if run in ROWS and seed == study.datasets[dataset].seeds[0]:
            metrics.append(("tsne_trustworthiness", "test", trustworthiness(results, dataset, run), ""))
        values += [Value(dataset, cell["method"], cell["variant"], seed, *metric) for metric in metrics]
    return values


def read_runs(path: Path) -> list[Value]:
    """What `gather` found, from runs.csv."""
    return read_csv(path, Value._fields, lambda line: Value(**{name: line[name] for name in Value._fields} | {"seed": int(line["seed"]), "value": float(line["value"])}))


def interval(values: list[float]) -> tuple[float | None, float | None]:
    """Student's t 95 % interval of the mean; none for a single value, nor for one that no seed changes."""
    if len(values) == 1 or min(values) == max(values):
        return None, None
    from scipy.stats import t  # here: figures that only read tables need not wait for scipy

    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return fmean(values) - half, fmean(values) + half


class Estimates(dict[tuple[str, str, str, str], Estimate]):
    """(data set, run, metric, split) -> mean and interval over seeds; a variant's run is `<row>.<sweep>.<variant>`. One that is not there is a Problem."""

    def __missing__(self, key: tuple[str, str, str, str]) -> Estimate:
        dataset, run, metric, split = key
        raise Problem(f"{metric} of {dataset}/{run} on {split} is not in these results; run summarize again, or the study that has it")


def estimates(values: list[Value]) -> Estimates:
    """Of every number of every cell."""
    groups: dict[tuple[str, str, str, str], list[Value]] = {}
    for value in values:
        groups.setdefault((value.dataset, value.run, value.metric, value.split), []).append(value)
    found = Estimates()
    for key, members in groups.items():
        numbers = [member.value for member in members]
        found[key] = Estimate(fmean(numbers), *interval(numbers), len(numbers), members[0].unit)
    return found


def read_summary(path: Path) -> Estimates:
    """As `estimates`, from summary.csv."""

    def made(line: dict[str, str]) -> tuple[tuple[str, str, str, str], Estimate]:
        low, high = (float(line[end]) if line[end] else None for end in ("ci95_low", "ci95_high"))
        return (line["dataset"], line["method"], line["metric"], line["split"]), Estimate(float(line["mean"]), low, high, int(line["n"]), line["unit"])

    return Estimates(read_csv(path, SUMMARY, made))


def cka_matrix(path: Path, first: int) -> np.ndarray:
    """[row, row] CKA at the first seed; the mean over pairs of different seeds on the diagonal, NaN without any."""
    columns, pairs = ("run_a", "seed_a", "run_b", "seed_b", "cka"), {}
    for one, other, cka in read_csv(path, columns, lambda line: ((line["run_a"], int(line["seed_a"])), (line["run_b"], int(line["seed_b"])), float(line["cka"]))):
        pairs[one, other] = pairs[other, one] = cka
    between = np.full((len(ROWS), len(ROWS)), np.nan)
    for a, row in enumerate(ROWS):
        for b, other in enumerate(ROWS):
            if a != b and ((row, first), (other, first)) not in pairs:
                raise Problem(f"{path}: {row} and {other} at seed {first} are missing; delete it and run again")
            if a != b:
                between[a, b] = pairs[(row, first), (other, first)]
        seeds = [value for (one, other), value in pairs.items() if one[0] == other[0] == row and one[1] < other[1]]
        if seeds:
            between[a, a] = np.mean(seeds)
    return between


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--out-runs", type=Path, required=True)
    parser.add_argument("--out-summary", type=Path, required=True)
    arguments = parser.parse_args()

    values = gather(config.read(arguments.config), arguments.results)
    write_csv(arguments.out_runs, Value._fields, values)
    found = estimates(values)
    write_csv(arguments.out_summary, SUMMARY, [(*key, *estimate) for key, estimate in found.items()])


if __name__ == "__main__":
    main()
