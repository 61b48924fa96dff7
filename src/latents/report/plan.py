"""What a study will cost, before it is started: jobs, hours, disk and download.

    python -m latents.report.plan --config config/study.yaml

Hours are those that the committed run took (reference/timing). A job counts as recorded when one with the same settings,
at any seed, was timed there; the others are named, not guessed. Takes a few seconds, imports no torch.
"""

import argparse
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from latents import config, data, record
from latents.config import DATASETS, ROWS, Study
from latents.settings import CODE_SIZE

IMAGES = {"mnist": 70_000, "cifar10": 60_000}  # in the published files
FIGURES, FIGURES_PER_DATASET = 6, 4  # figure scripts over all data sets, and for each
GB, MB = 1e9, 1e6

Job = tuple[str, str, str, int]  # step, data set, run, seed


def jobs(study: Study) -> dict[str, int]:
    """How many jobs of each kind Snakemake will start."""
    n = len(study.datasets)
    cells = len(study.cells())
    return {
        "data": n, "train": cells + n, "evaluate": cells, "tsne": n * len(ROWS), "similarity": n, "summarize": 1,
        "figures": FIGURES + FIGURES_PER_DATASET * n, "tables": 1, "claims": 1, "speed_table": 1, "paper": 1,
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
    missing = sorted({f"{step} {dataset}/{run}" for (step, dataset, run, _), value in seconds.items() if value is None})
    if missing:
        lines.append(f"not recorded, and not counted: {len(seconds) - len(known)} of {len(seconds)} jobs ({', '.join(missing)})")
    return lines


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
    options = parser.parse_args()
    study = config.read(options.config)
    kinds = jobs(study)
    facts = {
        "study": [options.config],
        "jobs": [f"{sum(kinds.values())} ({', '.join(f'{n} {kind}' for kind, n in kinds.items())})"],
        "hours": hours(*recorded(study, record.ROOT / "reference")),
        "disk": [disk(study)],
        "download": [download(study)],
    }
    for name, lines in facts.items():
        for line in lines:
            print(f"{name:10}{line}")
            name = ""


if __name__ == "__main__":
    main()
