"""What a study will cost, before it is started: jobs, operations, hours, disk and download.

    python -m latents.report.plan --config config/study.yaml [--nodes 8]

Hours are those that the committed run took (reference/timing). A job counts as recorded where one with
the same settings, at any seed, was timed there; the others are named, not guessed. With --nodes: how long
the recorded jobs take on that many nodes of the recorded kind. Takes some ten seconds: operations are
counted on a few random images for each kind of training.
"""

import shutil
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from latents import cli, config, record
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.report.figures import figure_targets
from latents.report.schedule import Job, Seconds, on_nodes
from latents.settings import CODE_SIZE
from latents.study import Run, Study

NAMED = 6  # runs without a time, at most
FEW = 4  # images to count operations on
GB, MB, PETA = 1e9, 1e6, 1e15


def jobs(study: Study) -> dict[str, int]:
    """How many jobs of each rule Snakemake will start."""
    n, runs = len(study.datasets), len(study.runs())
    return {
        "data": n,
        "train": runs + n,
        "evaluate": runs,
        "tsne": n * len(study.methods),
        "similarity": n,
        "summarize": 1,
        "figure": len(figure_targets(study)),
        "tables": 1,
        "claims": 1,
        "speed_table": 1,
        "faults": 1,
        "paper": 1,
    }


def without_seed(settings: dict[str, Any]) -> dict[str, Any]:
    """Plain settings as they stand in a record, the seed left out."""
    plain = msgspec.json.decode(msgspec.json.encode(settings))
    return {key: value for key, value in plain.items() if key != "seed"}


def recorded(study: Study, reference: Path) -> tuple[Seconds, set[str]]:
    """Seconds of every training and evaluation (None where none such was timed), and the machines."""
    measured = study.runs()
    trained = [*measured, *study.reference_classifiers().values()]
    steps = (("train", "train", study.training, trained), ("evaluate", "records", study.measuring, measured))
    seconds: Seconds = {}
    machines = set()
    for step, folder, settings, runs in steps:
        for run in runs:
            wanted, times = without_seed(settings(run)), []
            for path in sorted((reference / folder / run.dataset / run.method).glob("seed*.json")):
                found = record.read_json(path)
                if without_seed(found["config"]) != wanted:
                    continue
                timing = reference / "timing" / run.dataset / run.method / f"{path.stem}.{step}.json"
                times.append(record.read_json(timing)["seconds"])
                machines.add(f"{found['processor']}, {found['device']}, {found['threads']} threads")
            seconds[Job(step, run)] = fmean(times) if times else None
    return seconds, machines


def hours(seconds: Seconds, machines: set[str]) -> list[str]:
    """Lines on time: the sum of what was recorded, its longest job, and how many jobs are missing in it."""
    known = {job: value for job, value in seconds.items() if value is not None}
    if not known:
        return ["not known: no job of these settings is in reference/timing"]
    steps = {
        step: sum(value for job, value in known.items() if job.step == step) for step in ("train", "evaluate")
    }
    parts = ", ".join(f"{value / 3600:.2f} {step}" for step, value in steps.items())
    step, run = max(known, key=known.__getitem__)
    longest = f"{known[Job(step, run)] / 60:.0f} min ({step} {run.dataset}/{run.method})"
    lines = [
        f"{sum(known.values()) / 3600:.2f} ({parts}), one job after the other, as recorded on",
        *sorted(machines),
        f"longest job: {longest}; t-SNE, figures and paper take minutes more",
    ]
    missing = {f"{job.run.dataset}/{job.run.method}" for job, value in seconds.items() if value is None}
    if missing:
        names = sorted(missing, key=lambda name: ("." in name, name))
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        lines.append(
            f"not recorded, and not counted: {len(seconds) - len(known)} of {len(seconds)} jobs "
            f"(of {', '.join(names[:NAMED])}{more})"
        )
    return lines


def operations(study: Study) -> float:
    """FLOPs of all trainings, forward and backward, without the optimiser's.

    Counted over FEW random images for each method and variant, and scaled.
    """
    total, counted = 0.0, {}
    for run in [*study.runs(), *study.reference_classifiers().values()]:
        if (run.dataset, run.method) not in counted:
            counted[run.dataset, run.method] = operations_of(study, run)
        total += counted[run.dataset, run.method]
    return total


def operations_of(study: Study, run: Run) -> float:
    """FLOPs of one training; 0 where nothing is trained."""
    settings, spec = study.settings(run.dataset, run.method), DATASETS[run.dataset]
    if settings.optimisation is None:
        return 0.0
    import torch  # here: nothing else that the report does needs it
    from torch.utils.flop_counter import FlopCounterMode

    from latents.model import build

    (height, width, channels), classes = spec.shape, len(spec.classes)
    images, labels = torch.rand(FEW, channels, height, width), torch.arange(FEW)
    with FlopCounterMode(display=False) as counter:
        model = build(study, run)
        model.objective(model.views(images, torch.Generator()), labels).backward()
    # a share of the labels is rounded up in each class
    items = classes * ceil(study.dataset(run.dataset).train * settings.labels / classes)
    batch = min(settings.optimisation.batch_size, items)
    return counter.get_total_flops() / FEW * (items // batch * batch) * settings.optimisation.epochs


def disk(study: Study) -> str:
    """Sizes of data and codes from their shapes; free space where the checkout lies."""
    used = {name: chosen.train + chosen.validation + chosen.test for name, chosen in study.datasets.items()}
    raw = 0
    for name, images in used.items():
        height, width, channels = DATASETS[name].shape
        published = sum(DATASETS[name].images) if study.source == "download" else images
        raw += published * (1 + height * width * channels)
    runs = study.runs()
    codes = sum(
        used[run.dataset] * (CODE_SIZE * 4 + 16) for run in runs
    )  # float32 codes, two int64 beside each
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
    parser.add_argument("--nodes", type=int, help="also: how long on 1, 2, 4 ... up to this many nodes")
    options = parser.parse_args()
    if options.nodes is not None and options.nodes < 1:
        raise Problem(f"--nodes {options.nodes}: not a number of machines; give 1 or more")
    study, reference = config.read(options.config), record.ROOT / "reference"
    kinds = jobs(study)
    seconds, machines = recorded(study, reference)
    work = f"{operations(study) / PETA:.3g} PFLOP of training, counted; without the optimiser, and measuring"
    facts = {
        "study": [options.config],
        "jobs": [f"{sum(kinds.values())} ({', '.join(f'{n} {kind}' for kind, n in kinds.items())})"],
        "work": [work],
        "hours": hours(seconds, machines),
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
