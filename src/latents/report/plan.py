"""What a study will cost, before it is started: jobs, operations, hours, disk and download.

    python -m latents.report.plan --config config/study.yaml [--nodes 8]

Hours are those that the committed run took (reference/timing). A job counts as recorded when one with the same settings,
at any seed, was timed there; the others are named, not guessed. With --nodes: how long the recorded jobs take on that many nodes
of the recorded kind, one job a node at a time, each after those that it needs; no waiting in a queue, no slower disk. Takes some ten
seconds: operations are counted on a few random images for each kind of training.
"""

import argparse
import heapq
import shutil
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from latents import config, data, record
from latents.config import DATASETS, ROWS, Problem, Study
from latents.report.figures import targets
from latents.settings import CLASSES, CODE_SIZE

IMAGES = {"mnist": 70_000, "cifar10": 60_000}  # in the published files
NAMED = 6  # runs without a time, at most
FEW = 4  # images to count operations on
GB, MB, PETA = 1e9, 1e6, 1e15

Job = tuple[str, str, str, int]  # step, data set, run, seed


def jobs(study: Study) -> dict[str, int]:
    """How many jobs of each kind Snakemake will start."""
    n = len(study.datasets)
    cells = len(study.cells())
    return {
        "data": n, "train": cells + n, "evaluate": cells, "tsne": n * len(ROWS), "similarity": n, "summarize": 1,
        "figures": len(targets(study.datasets)), "tables": 1, "claims": 1, "speed_table": 1, "replay": 1, "paper": 1,
    }  # fmt: skip


def without_seed(settings: dict[str, Any]) -> dict[str, Any]:
    """Plain settings as they stand in a record, the seed left out."""
    return {key: value for key, value in msgspec.json.decode(msgspec.json.encode(settings)).items() if key != "seed"}


def recorded(study: Study, reference: Path) -> tuple[dict[Job, float | None], set[str]]:
    """Seconds of every training and evaluation job (None where no job of its settings was timed), and on what they ran."""
    cells = study.cells()
    trainings = [*cells, *study.judges()]
    seconds: dict[Job, float | None] = {}
    machines = set()
    for step, folder, settings, wanted in (("train", "train", study.training, trainings), ("evaluate", "records", study.measuring, cells)):
        for dataset, run, seed in wanted:
            times = []
            for path in sorted((reference / folder / dataset / run).glob("seed*.json")):
                found = record.read_json(path)
                if without_seed(found["config"]) == without_seed(settings(dataset, run, seed)):
                    times.append(record.read_json(reference / "timing" / dataset / run / f"{path.stem}.{step}.json")["seconds"])
                    machines.add(f"{found['processor']}, {found['device']}, {found['threads']} threads")
            seconds[step, dataset, run, seed] = fmean(times) if times else None
    return seconds, machines


def hours(seconds: dict[Job, float | None], machines: set[str]) -> list[str]:
    """Lines on time: the sum of what was recorded, its longest job, and how many jobs are missing in it."""
    known = {job: value for job, value in seconds.items() if value is not None}
    if not known:
        return ["not known: no job of these settings is in reference/timing"]
    sums = [f"{sum(v for job, v in known.items() if job[0] == step) / 3600:.2f} {step}" for step in ("train", "evaluate")]
    step, dataset, run, _ = max(known, key=known.__getitem__)
    lines = [
        f"{sum(known.values()) / 3600:.2f} ({', '.join(sums)}), one job after the other, as recorded on",
        *sorted(machines),
        f"longest job: {max(known.values()) / 60:.0f} min ({step} {dataset}/{run}); t-SNE, figures and paper take minutes more",
    ]
    missing = sorted({f"{dataset}/{run}" for (_, dataset, run, _), value in seconds.items() if value is None}, key=lambda name: ("." in name, name))
    if missing:
        more = f" and {len(missing) - NAMED} runs more" if len(missing) > NAMED else ""
        lines.append(f"not recorded, and not counted: {len(seconds) - len(known)} of {len(seconds)} jobs (of {', '.join(missing[:NAMED])}{more})")
    return lines


def graph(study: Study, reference: Path, seconds: dict[Job, float]) -> dict[Job, tuple[float, list[Job]]]:
    """Every recorded job with its seconds and the jobs that it needs; the end (figures, tables, paper) needs all."""
    judges = {dataset: ("train", dataset, run, seed) for dataset, run, seed in study.judges()}
    found: dict[Job, tuple[float, list[Job]]] = {}
    for job, spent in seconds.items():
        step, dataset, run, seed = job
        needs = [("train", dataset, run, seed), judges[dataset]] if step == "evaluate" else []
        found[job] = spent, [need for need in needs if need in seconds]
    for dataset, chosen in study.datasets.items():
        for row in ROWS:
            timing, first = reference / f"timing/{dataset}/{row}/tsne.json", ("evaluate", dataset, row, chosen.seeds[0])
            if timing.is_file() and first in seconds:
                found["tsne", dataset, row, chosen.seeds[0]] = record.read_json(timing)["seconds"], [first]
    found["end", "", "", 0] = record.read_json(reference / "bench.json")["workflow"]["paper"]["median"], list(found)
    return found


def below(graph: dict[Job, tuple[float, list[Job]]]) -> dict[Job, float]:
    """Seconds from the start of each job to the end of all, were there a node for every job; the largest is the critical path."""
    found: dict[Job, float] = {}
    for job in reversed(graph):  # in `graph` a job stands behind those that it needs
        spent, needs = graph[job]
        found[job] = found.get(job, 0.0) + spent
        for need in needs:
            found[need] = max(found.get(need, 0.0), found[job])
    return found


def makespan(graph: dict[Job, tuple[float, list[Job]]], nodes: int) -> float:
    """Seconds until all jobs are done on some nodes: a free node takes the ready job with most behind it (list scheduling, Graham 1969)."""
    behind, needs = below(graph), {job: set(needs) for job, (_, needs) in graph.items()}
    now, running, waiting = 0.0, [], set(graph)
    while waiting or running:
        ready = sorted((job for job in waiting if not needs[job]), key=lambda job: (-behind[job], job))
        for job in ready[: nodes - len(running)]:
            heapq.heappush(running, (now + graph[job][0], job))
            waiting.remove(job)
        now, done = heapq.heappop(running)
        for others in needs.values():
            others.discard(done)
    return now


def on_nodes(study: Study, reference: Path, seconds: dict[Job, float | None], most: int) -> list[str]:
    """Lines: hours, gain and share of each node that works, on 1, 2, 4 ... nodes, and the critical path; of how many jobs, where not all were timed."""
    known = {job: value for job, value in seconds.items() if value is not None}
    left_out = [f"of {len(known)} of {len(seconds)} jobs: no time is known of the others"] if len(known) < len(seconds) else []
    if not known:
        return left_out
    jobs = graph(study, reference, known)
    alone, path = makespan(jobs, 1), max(below(jobs).values())
    counts = sorted({*(2**k for k in range(most.bit_length()) if 2**k <= most), most})
    lines = ["nodes   hours   times as fast   of each node used"]
    for n in counts:
        spent = makespan(jobs, n)
        lines.append(f"{n:5}{spent / 3600:8.2f}{alone / spent:16.1f}{100 * alone / spent / n:18.0f} %")
    enough = next((n for n in range(1, len(jobs) + 1) if makespan(jobs, n) <= 1.01 * path), len(jobs))
    return [*lines, f"the critical path is {path / 3600:.2f} hours: more than {enough} nodes gain nothing", *left_out]


def operations(study: Study) -> float:
    """FLOPs of all trainings, forward and backward, the optimiser's left out: counted over FEW random images a run, and scaled."""
    import torch  # here: nothing else that the report does needs it
    from torch.utils.flop_counter import FlopCounterMode

    from latents import train
    from latents.model import build

    total, counted = 0.0, {}
    for dataset, run, seed in [*study.cells(), *study.judges()]:
        settings = study.method(dataset, run)
        if settings and (dataset, run) not in counted:
            height, width, channels = DATASETS[dataset]
            images, labels = torch.rand(FEW, channels, height, width), torch.arange(FEW)
            with FlopCounterMode(display=False) as counter:
                train.loss_of(build(study, dataset, run, seed), settings, images, labels, torch.Generator()).backward()
            items = CLASSES * ceil(study.datasets[dataset].train * getattr(settings, "labels", 1.0) / CLASSES)  # a share is rounded up in each class
            batch = min(settings.optimisation.batch_size, items)
            counted[dataset, run] = counter.get_total_flops() / FEW * (items // batch * batch) * settings.optimisation.epochs
        total += counted.get((dataset, run), 0.0)
    return total


def disk(study: Study) -> str:
    """Sizes of data and codes from their shapes; free space where the checkout lies."""
    images = {name: chosen.train + chosen.validation + chosen.test for name, chosen in study.datasets.items()}
    published = IMAGES if study.source == "download" else images
    raw = sum(published[name] * (1 + height * width * colours) for name, (height, width, colours) in DATASETS.items() if name in images)
    codes = sum(images[dataset] * (CODE_SIZE * 4 + 16) for dataset, _, _ in study.cells())  # float32 codes, two int64 beside each
    weights = len(study.cells()) + len(study.datasets)
    free = shutil.disk_usage(".").free
    return (
        f"{raw / GB:.2f} GB data, at most {codes / GB:.2f} GB codes, {weights} files of weights (some MB each); {free / GB:.0f} GB are free here"
    )


def download(study: Study) -> str:
    """Bytes still to be fetched, by data set."""
    if study.source != "download":
        return "none: the data come with the environment"
    needed = {}
    for name in study.datasets:
        source = data.read_sources()[name]
        here = all((Path(study.data) / file).is_file() for file in source.files)
        needed[name] = 0 if here else sum(archive.bytes for archive in source.archives)
    return f"{sum(needed.values()) / MB:.0f} MB ({', '.join(f'{name} {size / MB:.0f}' for name, size in needed.items())})"


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--nodes", type=int, help="also: how long on 1, 2, 4 ... up to this many nodes")
    options = parser.parse_args()
    if options.nodes is not None and options.nodes < 1:
        raise Problem(f"--nodes {options.nodes}: not a number of machines; give 1 or more")
    study = config.read(options.config)
    kinds = jobs(study)
    seconds, machines = recorded(study, record.ROOT / "reference")
    facts = {
        "study": [options.config],
        "jobs": [f"{sum(kinds.values())} ({', '.join(f'{n} {kind}' for kind, n in kinds.items())})"],
        "work": [f"{operations(study) / PETA:.3g} PFLOP of training, counted; the optimiser's, and measuring, left out"],
        "hours": hours(seconds, machines),
        "disk": [disk(study)],
        "download": [download(study)],
    }
    if options.nodes:
        facts["on nodes"] = on_nodes(study, record.ROOT / "reference", seconds, options.nodes)
    for name, lines in facts.items():
        for line in lines:
            print(f"{name:10}{line}")
            name = ""


if __name__ == "__main__":
    main()
