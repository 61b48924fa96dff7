"""Archived runs: the light results of finished runs, kept when a study is interrupted or moves to another
machine.

    python -m latents.report.archive --config config/study.yaml --out archive

copies the light results of every finished run (all but weights and codes, some 0.6 MB) from the study's
results/ to archive/<study>/, with the precision that the study keeps to (machine.json), the yardsticks, and
the weights that further runs need: of reference classifiers, and of runs from which unfinished ones start.
The workflow takes them from there instead of making them, where configuration, data and source are still the
same: any machine can then go on with the next run.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from latents import cli, config, record
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.plain import digest
from latents.study import Run, Study

LIGHT = (  # files of a run
    "records/{}.json",
    "train/{}.json",
    "curves/{}.csv",
    "timing/{}.train.json",
    "timing/{}.evaluate.json",
    "pictures/{}.npz",
    "samples/{}.npz",
)
BESIDE = {  # of these: those whose hash the record holds, and its key
    "curves/{}.csv": "curve_sha256",
    "pictures/{}.npz": "pictures_sha256",
    "samples/{}.npz": "sample_sha256",
}
CLASSIFIER = ("train/{}.json", "curves/{}.csv", "timing/{}.train.json")  # of a reference classifier
WEIGHTS = "weights/{}.safetensors"  # where the archive has weights
YARDSTICKS = ("yardsticks/{}.json", "timing/{}/yardsticks.json")  # of a data set
LIGHT_TSNE = ("tsne/{}.csv", "tsne/{}.json", "timing/{}/tsne.json")  # of the first seed of a method


def embedded(study: Study, runs: Iterable[Run]) -> list[str]:
    """Those of the runs that have a t-SNE, as `<data set>/<method>`: the first seed of each method."""
    return [f"{run.dataset}/{run.method}" for run in runs if study.is_first(run)]


def files(study: Study, run: Run) -> list[str]:
    """Names of the light files of a run, relative to the folder of results."""
    names = [name.format(run) for name in LIGHT]
    return names + [name.format(place) for place in embedded(study, [run]) for name in LIGHT_TSNE]


def origins(study: Study) -> dict[str, dict[str, str]]:
    """By data set what records say of source and data; without a stand-in that is not here yet.

    Read without the loader and its libraries.
    """
    source, found = record.source_sha256(), {}
    for dataset in study.datasets:
        files = DATASETS[dataset].files
        if study.source == "stand-in":
            try:
                files = record.read_json(Path(study.data) / f"{dataset}.json").get("files")
            except Problem:
                continue
        found[dataset] = {"source_sha256": source, "data_sha256": digest(files)}
    return found


def whole(study: Study, folder: Path, run: Run, wanted: dict[str, Any]) -> bool:
    """Whether a run's light files below folder belong together, and its record has the wanted values."""
    if not all((folder / name).is_file() for name in files(study, run)):
        return False
    try:
        made = record.read_json(folder / f"records/{run}.json")
        trained = record.read_json(folder / f"train/{run}.json")
        for step in ("train", "evaluate"):
            record.read_json(folder / f"timing/{run}.{step}.json")
        points, described, _ = LIGHT_TSNE
        tsne = [
            (record.sha256(folder / points.format(place)), record.read_json(folder / described.format(place)))
            for place in embedded(study, [run])
        ]
    except Problem:  # broken, or of an older version: as if it were not there
        return False
    wanted = wanted | {key: record.sha256(folder / place.format(run)) for place, key in BESIDE.items()}
    wanted |= {"weights_sha256": trained.get("weights_sha256")}
    same_source = made.get("trained_by", {}).get("source_sha256") == wanted["source_sha256"]
    settings = {
        "seed": study.measurement.seed,
        "neighbours": study.measurement.tsne_neighbours,
        "codes_sha256": made.get("codes_sha256"),
    }
    return (
        same_source
        and has(made, wanted)
        and all(has(one, settings | {"points_sha256": points_sha256}) for points_sha256, one in tsne)
    )


def has(made: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a record has all of these values."""
    return all(made.get(key) == value for key, value in wanted.items())


def is_record(path: Path, wanted: dict[str, Any]) -> bool:
    """Whether a file is a whole record that has all of these values."""
    try:
        return has(record.read_json(path), wanted)
    except Problem:
        return False


def finished(study: Study, folder: Path) -> list[Run]:
    """Runs below folder that are whole, and of this configuration, data and source."""
    return [
        run
        for dataset, origin in origins(study).items()
        for run in study.runs(dataset)
        if whole(study, folder, run, origin | {"config_sha256": record.config_sha256(study.measuring(run))})
    ]


def described(folder: Path, run: Run, weights: Path) -> bool:
    """Whether a file holds the weights that the record of a run's training below folder describes."""
    if not weights.is_file():
        return False
    return is_record(folder / f"train/{run}.json", {"weights_sha256": record.sha256(weights)})


def started_from(study: Study, done: list[Run]) -> list[Run]:
    """Those of the runs that are done from which others start that are not."""
    starts = {study.start(run) for run in study.runs() if run not in done}
    return [run for run in done if run in starts]


def classifiers(study: Study, folder: Path, weights: Path) -> list[Run]:
    """Reference classifiers as `finished` runs are, with their weights below the folder `weights`."""
    found = []
    for dataset, origin in origins(study).items():
        run = study.reference_classifiers()[dataset]
        made, curve, timing = (folder / name.format(run) for name in CLASSIFIER)
        if curve.is_file() and described(folder, run, weights / f"{run}.safetensors"):
            wanted = origin | {"config_sha256": record.config_sha256(study.training(run))}
            wanted |= {"curve_sha256": record.sha256(curve)}
            found += [run] if is_record(made, wanted) and is_record(timing, {}) else []
    return found


def measured(study: Study, folder: Path) -> list[str]:
    """The same for yardsticks: the data sets that have them."""
    found = []
    for dataset, origin in origins(study).items():
        made, timing = (folder / name.format(dataset) for name in YARDSTICKS)
        wanted = origin | {"config_sha256": record.config_sha256(study.yardsticks(dataset))}
        found += [dataset] if is_record(made, wanted) and is_record(timing, {}) else []
    return found


def taken(study: Study, folder: Path) -> tuple[list[Run], list[Run]]:
    """The runs, and the reference classifiers, that a fresh clone takes from an archive."""
    done = finished(study, folder)
    starts = started_from(study, done)
    with_weights = [run for run in starts if described(folder, run, folder / WEIGHTS.format(run))]
    runs = [run for run in done if run not in starts or run in with_weights]
    return runs, classifiers(study, folder, folder / "weights")


@cli.command
def main() -> None:
    options = cli.parser(__doc__, "config", paths=("out",)).parse_args()
    study = config.read(options.config)
    results, out = Path(f"{study.folder}results"), options.out / study.study
    as_read, study = study, config.settled(study, results / "machine.json")
    runs, checkpoints = finished(study, results), Path(study.checkpoints)
    # the choice binds the rest of the study as soon as a run was made by it
    chosen = any(as_read.precision_of(run.dataset) == "auto" for run in runs)
    names = ["machine.json"] if chosen else []
    ready = classifiers(study, results, checkpoints)
    names += [name for run in runs for name in files(study, run)]
    names += [name.format(run) for run in ready for name in CLASSIFIER]
    names += [name.format(dataset) for dataset in measured(study, results) for name in YARDSTICKS]
    copies = {out / name: results / name for name in names}
    needed = {run: checkpoints / f"{run}.safetensors" for run in [*ready, *started_from(study, runs)]}
    copies |= {out / WEIGHTS.format(run): path for run, path in needed.items() if path.is_file()}
    for copy, original in copies.items():
        content = original.read_bytes()
        if not copy.is_file() or copy.read_bytes() != content:
            record.write_bytes(copy, content)
    print(f"{len(runs)} of {len(study.runs())} runs are finished; their light results are in {out}/")


if __name__ == "__main__":
    main()
