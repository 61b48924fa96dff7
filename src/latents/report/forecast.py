"""How long a study takes on this machine: counted operations and measured parts of the committed run, scaled
by what `latents.machine` measured here.

    python -m latents.report.forecast --config config/study.yaml --machine results/machine.json \
        --results results

prints which share of a running study's operations is done, and the hours that are left. Takes a second.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean, median
from typing import NotRequired, TypedDict

from msgspec.structs import replace

from latents import cli, config, host, record
from latents.cli import Problem
from latents.report import archive
from latents.report.read import read_record
from latents.report.schedule import Job, Seconds, graph, makespan
from latents.study import Run, Study

START = 4.0  # seconds of a job on a CPU before its work: Python, torch, and the data
DECODERS = "train decoder"  # part of an evaluation
CONVOLVED = ("encode", "decode", DECODERS)  # those that are mostly convolutions
ON_GPU = 3  # jobs at once on one GPU: the limit in profiles/default


class Kind(TypedDict):
    """What is read of one kind of training on a GPU."""

    flops_per_second: float


class Machine(TypedDict):
    """What is read of machine.json."""

    processor: str
    device: str
    threads: int
    precision: str
    rates: dict[str, dict[str, float]]  # data set/method -> precision -> images per second
    operations: dict[str, float]  # data set/method or variant -> FLOP of one training
    images: dict[str, int]  # the same -> images of one training, each as often as it is seen
    speed: NotRequired[dict[str, dict[str, Kind]]]  # study -> run -> its speed, in the record of a GPU


class Part(TypedDict):
    """What is read of a timing file."""

    seconds: float
    parts: dict[str, float]


class Whole(TypedDict):
    """What is read of a whole training and evaluation on a GPU."""

    seconds: dict[str, float]  # by part


class AtOnce(TypedDict):
    """What is read of training jobs at once on a GPU."""

    seconds: float
    parts: list[dict[str, float]]


class Gpu(TypedDict):
    """What is read of the record of latents.bench.gpu."""

    device: str
    guided: Whole
    contrastive: Whole
    jobs: dict[str, AtOnce]  # how many at once


def gpu_of(reference: Path, device: str) -> Gpu:
    """The committed record of this GPU, or of the first. Raises Problem if there is none."""
    paths = sorted((reference / "bench").glob("nvidia-*.json")) or [reference / "bench/nvidia.json"]
    found = [read_record(path, Gpu) for path in paths]
    return next((one for one in found if one["device"] == device), found[0])


def precision_of(study: Study, machine: Machine, dataset: str) -> str:
    """The precision of a data set's runs on a machine."""
    precision = study.precision_of(dataset)
    return machine["precision"] if precision == "auto" else precision


def speeds(study: Study, machine: Machine) -> dict[str, float]:
    """FLOP/s of each kind of training that was timed, `<data set>/<method>`, in its precision."""
    found = {}
    for kind, rates in machine["rates"].items():
        rate = rates.get(precision_of(study, machine, kind.partition("/")[0]))
        if rate:  # the record of a GPU may have a kind in one precision alone
            found[kind] = rate * machine["operations"][kind] / machine["images"][kind]
    return found


def speed(found: dict[str, float], run: Run) -> float:
    """FLOP/s of a run: of its method, else of its method on another data set, else of all that was timed.

    Raises Problem where nothing was.
    """
    if not found:
        raise Problem("no method of the study was timed on this machine: nothing can be forecast")
    base = "guided" if run.base not in {kind.partition("/")[2] for kind in found} else run.base
    same = [one for kind, one in found.items() if kind.partition("/")[2] == base]
    return found.get(f"{run.dataset}/{base}") or (median(same) if same else median(found.values()))


def recorded(reference: Path, step: str) -> dict[str, dict[int, Part]]:
    """`<data set>/<method>` -> seed -> the timing of its job in the committed run."""
    found: dict[str, dict[int, Part]] = {}
    for path in sorted((reference / "timing").glob(f"*/*/seed*.{step}.json")):
        seed = int(path.name.partition(".")[0].removeprefix("seed"))
        found.setdefault(f"{path.parts[-3]}/{path.parts[-2]}", {})[seed] = read_record(path, Part)
    return found


def slower(found: dict[str, float], reference: Path) -> float:
    """How many times as long a machine of these `speeds` takes as that of the committed run.

    The median over the methods in both.
    """
    timed = recorded(reference, "train")
    ratios = []
    for kind, here in found.items():
        seconds = [one["parts"]["training"] for one in timed.get(kind, {}).values()]
        if times := [spent for spent in seconds if spent > 0]:
            trained = read_record(next((reference / "train" / kind).glob("*.json")), Trained)
            ratios.append(trained["train_flops"] / fmean(times) / here)
    return median(ratios) if ratios else 1.0


class Trained(TypedDict):
    """What is read of the record of a training."""

    train_flops: float


def forecast(study: Study, machine: Machine, reference: Path) -> Seconds:
    """Seconds of every training and evaluation of the study, each alone on this machine."""
    found, measured = speeds(study, machine), study.runs()
    if machine["device"] == "cpu":
        start = START
        scaled = on_cpu(study, slower(found, reference), reference)
        evaluations = {run: start + spent for run, spent in scaled.items()}
    else:
        gpu = gpu_of(reference, machine["device"])
        alone = gpu["jobs"]["1"]
        start = alone["seconds"] - alone["parts"][0]["training"]
        spent = [
            sum(seconds for part, seconds in gpu[method]["seconds"].items() if part.startswith("evaluation"))
            for method in ("guided", "contrastive")
        ]
        evaluations = dict.fromkeys(measured, start + fmean(spent))
    seconds: Seconds = {}
    for run in [*measured, *study.reference_classifiers().values()]:
        operations = machine["operations"].get(f"{run.dataset}/{run.method}", 0.0)
        seconds[Job("train", run)] = start + (operations / speed(found, run) if operations else 0.0)
    return seconds | {Job("evaluate", run): one for run, one in evaluations.items()}


def on_cpu(study: Study, scale: float, reference: Path) -> dict[Run, float]:
    """Seconds of every evaluation on a CPU that trains `scale` times as slowly as that of the committed run.

    What is convolutions there is as much slower, and decoders take their epochs; the rest takes as long as
    recorded.
    """
    settings = reference / "study.yaml"
    made = config.read(settings) if settings.exists() else study
    evaluated: dict[str, tuple[float, float]] = {}  # seconds but for decoders, and of an epoch of these
    for kind, some in recorded(reference, "evaluate").items():
        times = []
        for seed, one in some.items():
            parts = {
                name: spent * (scale if name in CONVOLVED else 1) for name, spent in one["parts"].items()
            }
            decoders = parts.pop(DECODERS, 0.0)
            epochs = decoder_epochs(made, Run(*kind.split("/"), seed))
            times.append((sum(parts.values()), decoders / epochs))
        evaluated[kind] = means(times)
    everywhere = means(list(evaluated.values())) if evaluated else (60.0 * scale, 0.0)
    found = {}
    for run in study.runs():
        kinds = (f"{run.dataset}/{run.method}", f"{run.dataset}/{run.base}")
        rest, epoch = next((evaluated[kind] for kind in kinds if kind in evaluated), everywhere)
        found[run] = rest + epoch * decoder_epochs(study, run)
    return found


def means(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """The mean of each of two numbers."""
    first, second = zip(*pairs, strict=True)
    return fmean(first), fmean(second)


def decoder_epochs(study: Study, run: Run) -> int:
    """Epochs of all decoders on the frozen codes of a run: a first seed has several."""
    several = study.is_first(run)
    return study.decoder.optimisation.epochs + (sum(study.decoder.epochs_curve) if several else 0)


def done(study: Study, machine: Machine, results: Path) -> set[Job]:
    """The jobs of a study whose results are there, or in the archive from which the workflow takes them."""
    trained = [*study.runs(), *study.reference_classifiers().values()]
    found = {Job("train", run) for run in trained if (results / f"train/{run}.json").is_file()}
    found |= {Job("evaluate", run) for run in study.runs() if (results / f"records/{run}.json").is_file()}
    runs, classifiers = archive.taken(settled(study, machine), Path(f"archive/{study.study}"))
    return (
        found | {Job("train", run) for run in (*runs, *classifiers)} | {Job("evaluate", run) for run in runs}
    )


def settled(study: Study, machine: Machine) -> Study:
    """The study in the precision that was chosen for a machine, if it leaves the choice open."""
    return replace(study, precision=machine["precision"]) if study.precision == "auto" else study


def elapsed(
    study: Study, machine: Machine, reference: Path, seconds: Iterable[tuple[Job, float]], cores: int
) -> float:
    """Hours that jobs take on so many cores. On a GPU they slow each other down, as recorded."""
    at_once, slowed = workers(study, machine, cores), 1.0
    if machine["device"] != "cpu" and at_once > 1:
        at = gpu_of(reference, machine["device"])["jobs"]
        alone, together = at["1"]["seconds"], at[str(ON_GPU)]["seconds"]
        slowed += (together / alone - 1) * (at_once - 1) / (ON_GPU - 1)
    return makespan(graph(study, reference, {job: slowed * one for job, one in seconds}), at_once) / 3600


def workers(study: Study, machine: Machine, cores: int) -> int:
    """How many jobs of the study run at once on so many cores, with the memory of this machine."""
    most = host.jobs_at_once(cores, study.threads)
    return most if machine["device"] == "cpu" else min(most, ON_GPU)


def corrected(study: Study, machine: Machine, seconds: Seconds, results: Path) -> Seconds:
    """The forecast of a study under way: jobs take as much longer as those of their step and data set did.

    Left out are archived runs, perhaps of another machine, and all on a GPU, where jobs wait for others.
    """
    settings, folder = settled(study, machine), Path(f"archive/{study.study}")
    runs, classifiers = archive.taken(settings, folder)
    sums: dict[tuple[str, str], tuple[float, float]] = {}  # taken, forecast
    for job, one in seconds.items():
        clock = results / f"timing/{job.run}.{job.step}.json"
        if machine["device"] == "cpu" and job.run not in (*runs, *classifiers) and clock.is_file():
            taken, expected = sums.get((job.step, job.run.dataset), (0.0, 0.0))
            sums[job.step, job.run.dataset] = taken + read_record(clock, Part)["seconds"], expected + one
    scale = {kind: taken / expected for kind, (taken, expected) in sums.items()}
    return {job: one * scale.get((job.step, job.run.dataset), 1.0) for job, one in seconds.items()}


def progress(study: Study, machine: Machine, results: Path, cores: int) -> str:
    """One line: the share of the study's operations that is done, and the hours that are left."""
    reference = record.ROOT / "reference"
    seconds, finished = forecast(study, machine, reference), done(study, machine, results)
    work = {
        job: machine["operations"].get(f"{job.run.dataset}/{job.run.method}", 0.0)
        for job in seconds
        if job.step == "train"
    }
    share = sum(one for job, one in work.items() if job in finished) / (sum(work.values()) or 1.0)
    expected = corrected(study, machine, seconds, results)
    left = [(job, spent) for job, spent in expected.items() if job not in finished]
    hours = elapsed(study, machine, reference, left, cores) if left else 0.0
    return f"{100 * share:.0f} % of the training is done, about {hours:.1f} hours are left"


@cli.command
def main() -> None:
    parser = cli.parser(__doc__, "config", paths=("machine", "results"))
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    machine = read_record(options.machine, Machine)
    print(progress(config.read(options.config), machine, options.results, options.cores))


if __name__ == "__main__":
    main()
