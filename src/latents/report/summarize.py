"""Gather the records: every number of every run into runs.csv, means and intervals into summary.csv.

    python -m latents.report.summarize --config config/study.yaml --results results \
        --out-runs results/runs.csv --out-summary results/summary.csv

Everything that is printed comes from runs.csv; summary.csv follows from it, and writes a variant of a sweep
as <method>.<sweep>.<variant>. Both are byte-identical for the same records. Takes about a second.
"""

from collections.abc import Iterable, Iterator
from math import isclose
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple, TypedDict

from latents import cli, config, record
from latents.cli import Problem
from latents.metrics import PROBES
from latents.record import again
from latents.report.archive import BESIDE
from latents.report.read import number, read_csv, read_record
from latents.study import Run, Study

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
SHARED = ("split_sha256", "data_sha256", "reference_classifier_sha256")  # in all records of a data set


class Metric(TypedDict):
    """A number of a record."""

    metric: str
    split: str
    value: float
    unit: str


class Record(TypedDict):
    """What the report reads of every run's record, which holds more."""

    dataset: str
    run: str
    method: str
    variant: str
    seed: int
    metrics: list[Metric]
    correct: dict[str, str]  # probe -> a bit for each test image, in base64
    probe_chosen_on_val: str
    data_sha256: str
    codes_sha256: str
    split_sha256: str
    source_sha256: str
    versions: dict[str, str]
    processor: str
    device: str
    precision: str
    threads: int


class Embedding(TypedDict):
    """What the report reads of the record of a t-SNE."""

    trustworthiness: float
    points_sha256: str
    codes_sha256: str


class OfYardstick(Metric):
    """A number of a yardstick."""

    variant: str


class Yardsticks(TypedDict):
    """What the report reads of the record of a data set's yardsticks."""

    split_sha256: str
    data_sha256: str
    metrics: list[OfYardstick]


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

    def __init__(self, found: Iterable[tuple[Key, Estimate]] = (), path: Path = Path("runs.csv")) -> None:
        """`path` is the file that they come from."""
        super().__init__(found)
        self.path = path

    def __missing__(self, key: Key) -> Estimate:
        dataset, method, metric, split = key
        raise Problem(
            f"{self.path}: {metric} of {dataset}/{method} on {split} is not in it; {again(self.path)}"
        )


def values_of(made: Record) -> list[Value]:
    """The numbers of a record, in the order of their measurement."""
    place = made["dataset"], made["method"], made["variant"], made["seed"]
    return [Value(*place, one["metric"], one["split"], one["value"], one["unit"]) for one in made["metrics"]]


def record_of(run: Run, results: Path) -> Record:
    """A run's record. Raises Problem on a missing or foreign one."""
    path = results / "records" / f"{run}.json"
    made = read_record(path, Record)
    if (made["dataset"], made["run"], made["seed"]) != run:
        raise Problem(f"{path}: is the record of another run; {again(path)}")
    return made


def check_beside(run: Run, results: Path, name: str) -> None:
    """Raises Problem where a file of BESIDE is not the one that the run's record describes."""
    check(results / name.format(run), record_of(run, results), BESIDE[name])


def records(study: Study, results: Path) -> Iterator[Record]:
    """Every run's record, in the order of the study. Raises Problem on a missing, foreign or mixed one."""
    first: dict[str, Record] = {}
    for run in study.runs():
        path, made = results / "records" / f"{run}.json", record_of(run, results)
        for key in SHARED:
            if made.get(key) != first.setdefault(run.dataset, made).get(key):
                raise Problem(
                    f"{path}: its {key} is not that of the other {run.dataset} records; "
                    "delete those that are old and run again"
                )
        yield made


def trustworthiness(results: Path, dataset: str, method: str, seed: int) -> float:
    """That of a method's t-SNE, of its first seed. Raises Problem where points or codes are not its own."""
    path = results / "tsne" / dataset / f"{method}.json"
    found = read_record(path, Embedding)
    check(path.with_suffix(".csv"), found, "points_sha256")
    if found["codes_sha256"] != record_of(Run(dataset, method, seed), results)["codes_sha256"]:
        raise Problem(f"{path}: is the t-SNE of other codes than those of {dataset}/{method}; {again(path)}")
    return found["trustworthiness"]


def check(path: Path, made: dict[str, Any], key: str) -> None:
    """Raises Problem where a file is missing, or not the one that its (sealed) record describes."""
    if not path.is_file() or record.sha256(path) != made.get(key):
        raise Problem(f"{path}: not the file that its record describes ({key}); {again(path)}")


def gather(study: Study, results: Path) -> list[Value]:
    """All numbers of all runs, in the order of the study; that of a t-SNE belongs to the first seed."""
    values, of_dataset = [], {}
    for made in records(study, results):
        of_dataset[made["dataset"]] = made
        run = Run(made["dataset"], made["run"], made["seed"])
        for place, key in BESIDE.items():
            check(results / place.format(run), made, key)
        values += values_of(made)
        if study.is_first(run):
            trusted = trustworthiness(results, *run)
            place = made["dataset"], made["method"], made["variant"], made["seed"]
            values.append(Value(*place, "tsne_trustworthiness", "test", trusted, ""))
    return values + [value for made in of_dataset.values() for value in yardsticks(results, made)]


def yardsticks(results: Path, run: Record) -> list[Value]:
    """The numbers of the yardsticks of a run's data set; they have no seed, for which stands 0.

    Raises Problem where they are missing, or of other data or another split than the run.
    """
    path = results / "yardsticks" / f"{run['dataset']}.json"
    made = read_record(path, Yardsticks)
    for key in ("data_sha256", "split_sha256"):
        if made[key] != run[key]:
            raise Problem(f"{path}: its {key} is not that of the {run['dataset']} records; {again(path)}")
    place = run["dataset"], "yardsticks"
    return [
        Value(*place, one["variant"], 0, *(one[key] for key in Metric.__annotations__))
        for one in made["metrics"]
    ]


def check_summary(found: Estimates, study: Study, results: Path) -> None:
    """Raises Problem where means or intervals are not those of the records."""
    made = estimates([value for one in records(study, results) for value in values_of(one)])
    for key, estimate in made.items():
        ends = zip(estimate[:3], found[key][:3], strict=True)
        if not all(a == b if None in (a, b) else isclose(a, b, rel_tol=1e-9) for a, b in ends):
            raise Problem(f"{found.path}: {'/'.join(key)} is not that of the records; {again(found.path)}")


def read_runs(path: Path) -> list[Value]:
    """What `gather` found, from runs.csv."""

    def read(line: dict[str, str]) -> Value:
        fields = {name: line[name] for name in Value._fields}
        return Value(**fields | {"seed": int(line["seed"]), "value": number(line["value"])})

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
        low, high = (number(line[end]) if line[end] else None for end in ("ci95_low", "ci95_high"))
        return key, Estimate(number(line["mean"]), low, high, int(line["n"]), line["unit"])

    found = read_csv(path, SUMMARY, read)
    if len(found) > len(dict(found)):
        raise Problem(f"{path}: has two lines of one number; {again(path)}")
    return Estimates(found, path)


def probes_in(found: Estimates) -> list[str]:
    """The probes of the table that these results have. Raises Problem where they have none."""
    measured = {metric for _, _, metric, _ in found}
    probes = [probe for probe in PROBES if f"accuracy_{probe}" in measured]
    if not probes:
        raise Problem(
            f"{found.path}: holds the accuracy of no probe ({', '.join(PROBES)}); {again(found.path)}"
        )
    return probes


@cli.command
def main() -> None:
    options = cli.parser(__doc__, "config", paths=("results", "out-runs", "out-summary")).parse_args()
    values = gather(config.read(options.config), options.results)
    record.write_csv(options.out_runs, Value._fields, values)
    found = estimates(values)
    record.write_csv(options.out_summary, SUMMARY, [(*key, *estimate) for key, estimate in found.items()])


if __name__ == "__main__":
    main()
