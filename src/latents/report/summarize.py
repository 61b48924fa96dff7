"""Gather the records: every number of every run into runs.csv, means and intervals into summary.csv.

    python -m latents.report.summarize --config config/study.yaml --results results \
        --out-runs results/runs.csv --out-summary results/summary.csv

Everything that is printed comes from runs.csv; summary.csv follows from it, and writes a variant of a sweep
as <method>.<sweep>.<variant>. Both are byte-identical for the same records. Takes about a second.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple, TypeVar

import numpy as np

from latents import cli, config, record
from latents.cli import Problem
from latents.metrics import PROBES
from latents.report.archive import BESIDE
from latents.study import Run, Study

Made = TypeVar("Made")
SUMMARY = (
    "dataset",
    "method",
    "metric",
    "split",
    "mean",
    "ci95_low",
    "ci95_high",
    "n",
    "unit",
)  # its columns
CKA = ("run_a", "seed_a", "run_b", "seed_b", "cka")  # columns of a table of similarities
SHARED = ("split_sha256", "data_sha256", "reference_classifier_sha256")  # in all records of a data set
AGAIN = "delete it and run again, its step will be repeated"


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
    def run(self) -> Run:
        """The run that was measured."""
        name = self.method if self.variant == "main" else f"{self.method}.{self.variant}"
        return Run(self.dataset, name, self.seed)


class Estimate(NamedTuple):
    """Mean over n seeds; the interval's ends are None where the seeds cannot give one."""

    mean: float
    low: float | None
    high: float | None
    n: int
    unit: str


Key = tuple[str, str, str, str]  # data set, method or variant, metric, split


class Estimates(dict[Key, Estimate]):
    """Mean and interval over seeds of every number. Raises Problem on one that is not there."""

    def __missing__(self, key: Key) -> Estimate:
        dataset, method, metric, split = key
        raise Problem(
            f"{metric} of {dataset}/{method} on {split} is not in these results; "
            "run summarize again, or the study that has it"
        )


def values_of(made: dict[str, Any]) -> list[Value]:
    """The numbers of a record, in the order of their measurement."""
    place = made["dataset"], made["method"], made["variant"], made["seed"]
    return [Value(*place, one["metric"], one["split"], one["value"], one["unit"]) for one in made["metrics"]]


def records(study: Study, results: Path) -> Iterator[dict[str, Any]]:
    """Every run's record, in the order of the study. Raises Problem on a missing, foreign or mixed one."""
    first: dict[str, dict[str, Any]] = {}
    for run in study.runs():
        path = results / "records" / f"{run}.json"
        made = record.read_json(path)
        if (made.get("dataset"), made.get("run"), made.get("seed")) != run:
            raise Problem(f"{path}: is the record of another run; delete it and run again")
        for key in SHARED:
            if made.get(key) != first.setdefault(run.dataset, made).get(key):
                raise Problem(
                    f"{path}: its {key} is not that of the other {run.dataset} records; "
                    "delete those that are old and run again"
                )
        yield made


def trustworthiness(results: Path, dataset: str, method: str) -> float:
    """That of a method's t-SNE, from its record. Raises Problem where its points are not those on disk."""
    path = results / "tsne" / dataset / f"{method}.json"
    found = record.read_json(path)
    if found.get("trustworthiness") is None:
        raise Problem(f"{path}: holds no trustworthiness; delete it and run again")
    check(path.with_suffix(".csv"), found, "points_sha256")
    return found["trustworthiness"]


def check(path: Path, made: dict[str, Any], key: str) -> None:
    """Raises Problem where a file is missing, or not the one that its (sealed) record describes."""
    if not path.is_file() or record.sha256(path) != made.get(key):
        raise Problem(f"{path}: not the file that its record describes ({key}); {AGAIN}")


def read_csv(path: Path, columns: Iterable[str], make: Callable[[dict[str, str]], Made]) -> list[Made]:
    """What is made of each line of a table with a header.

    Raises Problem when it is missing, broken or lacks one of the columns.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            lines, header = list(reader), reader.fieldnames or []
    except FileNotFoundError:
        raise Problem(f"{path}: missing; run the step that makes it (snakemake {path})") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Problem(f"{path}: cannot be read ({error}); {AGAIN}") from None
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
            raise Problem(f"{path}: line {number} is broken; {AGAIN}") from None
    return made


def gather(study: Study, results: Path) -> list[Value]:
    """All numbers of all runs, in the order of the study; that of a t-SNE belongs to the first seed."""
    values = []
    for made in records(study, results):
        run = Run(made["dataset"], made["run"], made["seed"])
        for place, key in BESIDE.items():
            check(results / place.format(run), made, key)
        values += values_of(made)
        if run.method in study.methods and run.seed == study.dataset(run.dataset).seeds[0]:
            trusted = trustworthiness(results, run.dataset, run.method)
            place = made["dataset"], made["method"], made["variant"], made["seed"]
            values.append(Value(*place, "tsne_trustworthiness", "test", trusted, ""))
    return values


def read_runs(path: Path) -> list[Value]:
    """What `gather` found, from runs.csv."""

    def read(line: dict[str, str]) -> Value:
        fields = {name: line[name] for name in Value._fields}
        return Value(**fields | {"seed": int(line["seed"]), "value": float(line["value"])})

    return read_csv(path, Value._fields, read)


def interval(values: list[float]) -> tuple[float | None, float | None]:
    """Student's t 95 % interval of the mean; none for a single value, nor for one that no seed changes."""
    if len(values) == 1 or min(values) == max(values):
        return None, None
    from scipy.stats import t  # here: figures that only read tables need not wait for scipy

    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return fmean(values) - half, fmean(values) + half


def estimates(values: list[Value]) -> Estimates:
    """Of every number of every run."""
    groups: dict[Key, list[Value]] = {}
    for value in values:
        groups.setdefault((value.dataset, value.run.method, value.metric, value.split), []).append(value)
    found = Estimates()
    for key, members in groups.items():
        numbers = [member.value for member in members]
        found[key] = Estimate(fmean(numbers), *interval(numbers), len(numbers), members[0].unit)
    return found


def read_summary(path: Path) -> Estimates:
    """As `estimates`, from summary.csv."""

    def read(line: dict[str, str]) -> tuple[Key, Estimate]:
        key = line["dataset"], line["method"], line["metric"], line["split"]
        low, high = (float(line[end]) if line[end] else None for end in ("ci95_low", "ci95_high"))
        return key, Estimate(float(line["mean"]), low, high, int(line["n"]), line["unit"])

    return Estimates(read_csv(path, SUMMARY, read))


def probes_in(found: Estimates) -> list[str]:
    """The probes of the table that these results have. Raises Problem where they have none."""
    measured = {metric for _, _, metric, _ in found}
    probes = [probe for probe in PROBES if f"accuracy_{probe}" in measured]
    if not probes:
        raise Problem(
            f"these results have the accuracy of no probe ({', '.join(PROBES)}); run summarize again"
        )
    return probes


def cka_matrix(path: Path, methods: Sequence[str], first: int) -> np.ndarray:
    """[method, method] CKA at the first seed; on the diagonal the mean over pairs of seeds, NaN without any.

    Raises Problem where a pair is missing.
    """
    pairs = {}

    def read(line: dict[str, str]) -> None:
        one, other = (line["run_a"], int(line["seed_a"])), (line["run_b"], int(line["seed_b"]))
        pairs[one, other] = pairs[other, one] = float(line["cka"])

    read_csv(path, CKA, read)
    between = np.full((len(methods), len(methods)), np.nan)
    for a, method in enumerate(methods):
        for b, other in enumerate(methods):
            if a == b:
                continue
            if ((method, first), (other, first)) not in pairs:
                raise Problem(
                    f"{path}: {method} and {other} at seed {first} are missing; delete it and run again"
                )
            between[a, b] = pairs[(method, first), (other, first)]
        seeds = [
            cka for (one, other), cka in pairs.items() if one[0] == other[0] == method and one[1] < other[1]
        ]
        if seeds:
            between[a, a] = np.mean(seeds)
    return between


@cli.command
def main() -> None:
    options = cli.parser(__doc__, "config", paths=("results", "out-runs", "out-summary")).parse_args()
    values = gather(config.read(options.config), options.results)
    record.write_csv(options.out_runs, Value._fields, values)
    found = estimates(values)
    record.write_csv(options.out_summary, SUMMARY, [(*key, *estimate) for key, estimate in found.items()])


if __name__ == "__main__":
    main()
