"""What a study will cost, before it is started: jobs, operations, hours, disk and download.

    python -m latents.report.plan --config config/study.yaml [--cores 8] [--nodes 8] [--machine FILE]

Hours are a forecast for this machine (latents.report.forecast) from results/machine.json, which is made if it
is missing, in half a minute. Of a study under way they are what is left, corrected by what its jobs took so
far. With --machine: for the machine of that file, which latents.machine or latents.bench.gpu wrote. With
--nodes: how long it takes on that many nodes like it.
"""

import os
import shutil
import sys
from argparse import Namespace
from pathlib import Path

from latents import cli, config, host, record
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.report import archive, forecast
from latents.report.figures import figure_targets
from latents.report.forecast import Machine
from latents.report.read import read_record
from latents.report.schedule import Job, Seconds, on_nodes
from latents.settings import CODE_SIZE
from latents.study import Study

GB, MB, PETA = 1e9, 1e6, 1e15


def jobs(study: Study, folder: Path) -> dict[str, int]:
    """How many jobs of each rule Snakemake starts in a fresh clone; what `folder` archives is copied.

    The study is in its precision.
    """
    runs, classifiers = archive.taken(study, folder)
    datasets = {run.dataset for run in classifiers}.intersection(archive.measured(study, folder))
    copies = {
        "archived": len(runs),
        "archived_tsne": len(archive.embedded(study, runs)),
        "archived_classifier": len(classifiers),
        "archived_yardsticks": len(datasets),
    }
    n = len(study.datasets)
    return {
        **{rule: count for rule, count in copies.items() if count},
        "data": n,
        "train": len(study.runs()) + n - len(runs) - len(classifiers),
        "evaluate": len(study.runs()) - len(runs),
        "tsne": n * len(study.methods) - copies["archived_tsne"],
        "yardsticks": n - len(datasets),
        "similarity": n,
        "summarize": 1,
        "figure": len(figure_targets(study)),
        "tables": 1,
        "claims": 1,
        "speed_table": 1,
        "faults": 1,
        "paper": 1,
        "provenance": 1,
    }


def machine_of(study: Study, path: Path, cores: int) -> Machine:
    """What this machine can do, as the study's first job writes it; made here if it is missing or older.

    A study that was begun keeps to its precision.
    """
    kinds = {f"{run.dataset}/{run.method}" for run in study.runs()}
    found = read_record(path, Machine) if path.exists() else None
    known = found is not None and found["threads"] == study.threads
    if not known or not kinds <= found["operations"].keys():
        from latents.machine import choose, describe  # here: nothing else of the report needs torch

        print("timing this machine, half a minute ...", file=sys.stderr)
        begun = (path, Path(f"archive/{study.study}/machine.json"))
        first = next((one for one in begun if one.exists()), None)
        here = min(cores, len(os.sched_getaffinity(0)))  # a plan may be for more cores than there are
        made = describe(study, host.jobs_at_once(here, study.threads))
        record.write_json(path, made | choose(study, made["rates"], first))
    return read_record(path, Machine)


def another(study: Study, path: Path) -> Machine:
    """The machine of a file, which may be of another study: this one's operations at the same FLOP/s.

    The record of a GPU may have speeds of this study too.
    """
    found = read_record(path, Machine)
    from latents.machine import work  # here, as above

    print("counting the operations of this study ...", file=sys.stderr)
    mine, rates = work(study), {}
    for kind, precisions in found["rates"].items():
        if mine["operations"].get(kind):
            a_piece = found["operations"][kind] / found["images"][kind]
            scale = a_piece / (mine["operations"][kind] / mine["images"][kind])
            rates[kind] = {precision: scale * rate for precision, rate in precisions.items()}
    for run, one in found.get("speed", {}).get(study.study, {}).items():
        kind = run.rpartition("/")[0]
        if mine["operations"].get(kind):
            rate = one["flops_per_second"] * mine["images"][kind] / mine["operations"][kind]
            rates[kind] = rates.get(kind, {}) | {found["precision"]: rate}
    return found | mine | {"rates": rates}


def hours(study: Study, seconds: Seconds, machine: Machine, options: Namespace) -> list[str]:
    """Lines on time: how long it takes on all cores, the sum by step, the longest job, what is done."""
    results = Path(f"{study.folder}results")
    finished = forecast.done(study, machine, results)
    expected = seconds
    if not options.machine:  # else the clocks are of this one
        expected = forecast.corrected(study, machine, seconds, results)
    left = {job: spent for job, spent in expected.items() if job not in finished}
    at_once = forecast.workers(study, machine, options.cores)
    total = {
        step: sum(one for job, one in left.items() if job.step == step) for step in ("train", "evaluate")
    }
    parts = ", ".join(f"{one / 3600:.2f} {step}" for step, one in total.items())
    spent = forecast.elapsed(study, machine, record.ROOT / "reference", left.items(), options.cores)
    precisions = dict.fromkeys(forecast.precision_of(study, machine, dataset) for dataset in study.datasets)
    computed = f"{study.threads} threads, {' and '.join(precisions)}"
    where = f"{machine['processor']}, {machine['device']}, {computed}"
    alone = f"{sum(total.values()) / 3600:.2f} one after the other ({parts})"
    lines = [f"{spent:.2f} with {at_once} jobs at once, {alone}"]
    if left:
        step, run = max(left, key=left.__getitem__)
        lines.append(f"longest job: {left[Job(step, run)] / 60:.0f} min ({step} {run.dataset}/{run.method})")
    if finished:
        lines.append(f"done before: {len(finished)} of {len(seconds)} trainings and evaluations")
    return [*lines, f"forecast for {where}; t-SNE, figures and paper are in the first number"]


def memory(study: Study, machine: Machine, cores: int) -> str:
    """What the jobs need at once, and what is here."""
    at_once = forecast.workers(study, machine, cores)
    return (
        f"{at_once * host.JOB / GB:.1f} GB for {at_once} jobs at once; {host.memory() / GB:.0f} GB are here"
    )


def disk(study: Study) -> str:
    """Sizes of data and codes from their shapes; free space where the checkout lies."""
    used = {name: chosen.train + chosen.validation + chosen.test for name, chosen in study.datasets.items()}
    raw = 0
    for name, images in used.items():
        height, width, channels = DATASETS[name].shape
        published = sum(DATASETS[name].images) if study.source == "download" else images
        raw += published * (1 + height * width * channels)
    runs = study.runs()
    codes = 0
    for run in runs:
        size = getattr(study.settings(run.dataset, run.method), "code_size", CODE_SIZE)
        codes += used[run.dataset] * (size * 4 + 16)  # float32 codes, two int64 beside each
    free = shutil.disk_usage(".").free
    return (
        f"{raw / GB:.2f} GB data, at most {codes / GB:.2f} GB codes, "
        f"{len(runs) + len(study.datasets)} files of weights (some MB each); {free / GB:.0f} GB are free here"
    )


def download(study: Study) -> str:
    """Bytes still to be fetched, by data set."""
    if study.source != "download":
        return "none: the data come with the environment"
    needed = {}
    for name in study.datasets:
        here = all((Path(study.data) / file).is_file() for file in DATASETS[name].files)
        needed[name] = 0 if here else sum(archive.bytes for archive in DATASETS[name].archives)
    parts = ", ".join(f"{name} {size / MB:.0f}" for name, size in needed.items())
    return f"{sum(needed.values()) / MB:.0f} MB ({parts})"


@cli.command
def main() -> None:
    parser = cli.parser(__doc__, "config")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="of a machine")
    parser.add_argument("--machine", type=Path, help="forecast for the machine of this file")
    parser.add_argument("--nodes", type=int, help="also: how long on 1, 2, 4 ... up to this many nodes")
    options = parser.parse_args()
    if options.nodes is not None and options.nodes < 1:
        raise Problem(f"--nodes {options.nodes}: not a number of machines; give 1 or more")
    study, reference = config.read(options.config), record.ROOT / "reference"
    here = Path(f"{study.folder}results/machine.json")
    machine = another(study, options.machine) if options.machine else machine_of(study, here, options.cores)
    kinds = {"machine": 1} if study.precision == "auto" else {}
    kinds |= jobs(forecast.settled(study, machine), Path(f"archive/{study.study}"))
    seconds = forecast.forecast(study, machine, reference)
    trainings = [job.run for job in seconds if job.step == "train"]
    operations = sum(machine["operations"][f"{run.dataset}/{run.method}"] for run in trainings)
    work = f"{operations / PETA:.3g} PFLOP of training, counted; without the optimiser, and measuring"
    facts = {
        "study": [options.config],
        "jobs": [f"{sum(kinds.values())} ({', '.join(f'{n} {kind}' for kind, n in kinds.items())})"],
        "work": [work],
        "hours": hours(study, seconds, machine, options),
        "memory": [memory(study, machine, options.cores)],
        "disk": [disk(study)],
        "download": [download(study)],
    }
    if options.nodes:
        facts["on nodes"] = on_nodes(study, reference, seconds, options.nodes)
    for name, lines in facts.items():
        for place, line in enumerate(lines):
            print(f"{'' if place else name:10}{line}")


if __name__ == "__main__":
    main()
