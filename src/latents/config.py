"""Read a study's configuration from a YAML file and, for sweeps, a second one.

`read` rejects unknown keys, wrong types and impossible values with one sentence that names file and key.
"""

import itertools
import re
from pathlib import Path
from typing import Any

import msgspec

from latents import record
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.methods import METHODS
from latents.plain import converted, load_yaml, parse
from latents.settings import Name
from latents.study import DatasetSettings, Study, Sweep

# folders that are not a study's
OWN = {"archive", "config", "data", "docs", "figures", "from-reference", "paper", "profiles", "reference"}
OWN |= {"logs", "results", "rules", "src", "tests", ".ci", ".git", ".github", ".snakemake", ".venv"}
# what a note cannot hold: all but Latin letters, their punctuation and the signs that TeX's text fonts have
PRINTED = r"[^ -~\u00a1-\u00ac\u00ae-\u017f\u2013\u2014\u2018-\u201a\u201c-\u201e\u2020-\u2022\u2026]"


def read(path: str | Path) -> Study:
    """Read a study. Raises Problem with the file, the key, and what is wrong.

    The key `sweeps` may name a second file, with data set -> method -> sweep name -> sweep.
    """
    content = load_yaml(path)
    beside = content.pop("sweeps", None) if isinstance(content, dict) else None
    if beside is not None:
        if not isinstance(beside, str) or not beside:
            raise Problem(f"{path}: sweeps: {beside!r} is not the name of a file; name one beside this file")
        file = Path(path).parent / beside
        datasets = content.get("datasets")
        for name, sweeps in parse(file, dict[str, dict[str, dict[Name, Sweep]]]).items():
            if not isinstance(datasets, dict) or not isinstance(datasets.get(name), dict):
                raise Problem(f"{file}: {name}: not a data set of {path}; take it out, or add it there")
            if "sweeps" in datasets[name]:
                raise Problem(
                    f"{path}: datasets.{name}.sweeps: {file} has sweeps of it too; keep them in one place"
                )
            datasets[name]["sweeps"] = msgspec.to_builtins(sweeps)
    return from_plain(path, content)


def settled(study: Study, machine: str | Path | None) -> Study:
    """The study, its precision `auto` replaced by what `latents.machine` chose. Raises Problem."""
    if study.precision != "auto":
        return study
    if machine is None:
        raise Problem(
            "precision: auto needs --machine, a file of latents.machine; or set float32 or bfloat16"
        )
    chosen = record.read_json(machine).get("precision")
    if chosen not in ("float32", "bfloat16"):
        raise Problem(f"{machine}: names no precision; {record.again(machine)}")
    return msgspec.structs.replace(study, precision=chosen)


def from_plain(path: str | Path, content: Any) -> Study:
    """A study from plain data, checked. Raises Problem with a message that begins with the path."""
    if isinstance(content, dict) and isinstance(content.get("datasets"), dict):
        # one by one, since a message about all of them would not name the data set
        content = content | {
            "datasets": {
                name: typed_dataset(f"{path}: datasets.{name}", name, dataset)
                for name, dataset in content["datasets"].items()
            }
        }
    study = parse(path, Study, content)
    if not study.datasets:
        raise Problem(f"{path}: datasets: none; known are {', '.join(DATASETS)}")
    check_places(path, study)
    for name, dataset in study.datasets.items():
        check(f"{path}: datasets.{name}", name, dataset, study)
        check_sweeps(f"{path}: datasets.{name}", name, dataset, study)
    check_measurement(path, study)
    check_starts(path, study)
    return study


def typed_dataset(place: str, name: str, content: Any) -> DatasetSettings:
    """One data set's settings from plain data. Raises Problem."""
    if name not in DATASETS:
        raise Problem(f"{place}: unknown data set; known are {', '.join(DATASETS)}")
    if isinstance(content, dict) and isinstance(content.get("sweeps"), dict):
        for method, some in content["sweeps"].items():
            for key, sweep in some.items() if isinstance(some, dict) else ():
                converted(f"{place}.sweeps.{method}.{key}", Sweep, sweep)
    dataset = converted(place, DatasetSettings, content)
    for method, settings in dataset.methods.items():
        if method not in METHODS:
            raise Problem(f"{place}.methods.{method}: unknown method; known are {', '.join(METHODS)}")
        dataset.methods[method] = converted(f"{place}.methods.{method}", METHODS[method].settings, settings)
    return dataset


def check_places(path: str | Path, study: Study) -> None:
    """Check what becomes part of paths. Raises Problem."""
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]*", study.study):
        raise Problem(
            f"{path}: study: {study.study!r} cannot be part of a path; use letters, digits, - and _ alone"
        )
    folder = study.folder
    if folder and not folder.endswith("/"):
        raise Problem(f"{path}: folder: {folder!r} does not end in /; write {folder + '/'!r}")
    if not folder and study.study != "study":
        raise Problem(
            f"{path}: folder: '' is that of the study named study, whose results would be overwritten; "
            f"give one of its own, like {study.study}/"
        )
    if {"..", "."} & set(folder.split("/")) or re.search(r"[{}<>~*?\\\x00-\x1f\x7f]|//|^-|^/$", folder):
        raise Problem(
            f"{path}: folder: {folder!r} has a part that is no plain name; "
            "use names without . and .. and a - in front, and without any of { } < > ~ * ? and \\"
        )
    if not folder.startswith("/") and folder.partition("/")[0] in OWN:
        raise Problem(f"{path}: folder: {folder!r} is a folder of the project; give another, like mine/")
    if not study.note.isprintable():
        raise Problem(f"{path}: note: {study.note!r} is more than one line; write it as one")
    if odd := re.search(PRINTED, study.note):
        raise Problem(f"{path}: note: TeX's fonts have no {odd.group()!r}; write it with Latin letters")


def check(place: str, name: str, dataset: DatasetSettings, study: Study) -> None:
    """Check what types cannot express about one data set's settings. Raises Problem."""
    lists = {"seeds": dataset.seeds} | {
        f"sweeps.{method}.{key}.seeds": one.seeds
        for method, some in dataset.sweeps.items()
        for key, one in some.items()
    }
    for key, seeds in lists.items():
        if len(set(seeds)) < len(seeds):
            raise Problem(f"{place}.{key}: {seeds} names a seed twice; each counts as a run of its own")
    for key in ("split_seed", "reference_classifier_seed"):
        if any(getattr(dataset, key) in seeds for seeds in lists.values()):
            raise Problem(
                f"{place}.{key.replace('_', '-')}: {getattr(dataset, key)} is a training seed too; "
                "choose another"
            )
    if not dataset.methods:
        raise Problem(f"{place}.methods: none; known are {', '.join(METHODS)}")
    if lacking := sorted(set(study.methods) ^ dataset.methods.keys()):
        raise Problem(
            f"{place}.methods: {lacking[0]} is on some data sets of this study and not on others; "
            "add it to all, with {} where it has no settings, or take it out"
        )
    check_images(place, name, dataset, study)


def check_images(place: str, name: str, dataset: DatasetSettings, study: Study) -> None:
    """Check a data set's source and its numbers of images. Raises Problem."""
    spec = DATASETS[name]
    if study.source == "stand-in" and spec.stand_in is None:
        raise Problem(f"{place}: has no stand-in; use source: download, or take it out")
    fewest = max(study.probe.knn_k, len(spec.classes))
    for key in ("train", "validation", "test"):
        if (size := getattr(dataset, key)) <= fewest:
            raise Problem(
                f"{place}.{key}: {size} images are too few to measure; take more than {fewest}, "
                "so more than knn-k and than the classes"
            )
    sizes = {"train + validation": dataset.train + dataset.validation, "test": dataset.test}
    for (key, size), published in zip(sizes.items(), spec.images, strict=True):
        if size > published:
            raise Problem(f"{place}.{key}: {size} images, of which {published} were published; lower it")


def check_measurement(path: str | Path, study: Study) -> None:
    """Check the settings of measurements against the numbers of images and classes. Raises Problem."""
    settings, place = study.measurement, f"{path}: measurement"
    for name, dataset in study.datasets.items():
        points = min(settings.tsne_points, dataset.test)
        if 3 * min(settings.tsne_perplexity, points / 3) < 1:
            raise Problem(
                f"{place}.tsne-perplexity: {settings.tsne_perplexity:g} leaves no neighbour; take 5 to 50"
            )
        if settings.tsne_neighbours >= points / 2:
            raise Problem(
                f"{place}.tsne-neighbours: {settings.tsne_neighbours} is not less than half of the {points} "
                f"points of {name}'s t-SNE; lower it, or raise tsne-points"
            )
        if settings.silhouette_points <= (classes := len(DATASETS[name].classes)):
            raise Problem(
                f"{place}.silhouette-points: {settings.silhouette_points} points do not show {classes} "
                "classes; take some hundred"
            )
        height, width, channels = DATASETS[name].shape
        for run in study.runs(name):
            if (size := study.settings(name, run.method).code_size) > height * width * channels:
                raise Problem(
                    f"{path}: datasets.{name}: code-size of {run.method}: {size} numbers are more than an "
                    f"image has pixel values, {height * width * channels}; lower it"
                )


def check_sweeps(place: str, name: str, dataset: DatasetSettings, study: Study) -> None:
    """Check that all variants can be resolved and that those of a sweep differ. Raises Problem."""
    for method in dataset.sweeps:
        if method not in study.trained_methods:
            raise Problem(
                f"{place}.sweeps.{method}: not a method that is trained; "
                f"those are {', '.join(study.trained_methods)}"
            )
    for run in study.runs(name):
        try:
            study.plain_channels(run)
        except (msgspec.ValidationError, ValueError) as error:
            key = "sweeps" if run.variant != "main" else "methods"
            raise Problem(f"{place}.{key}.{run.method}: {error}; mend that key") from None
    for method, key, sweep in (
        (method, key, sweep) for method, some in dataset.sweeps.items() for key, sweep in some.items()
    ):
        for one, other in itertools.combinations(sweep.variants, 2):
            if study.settings(name, f"{method}.{key}.{one}") == study.settings(
                name, f"{method}.{key}.{other}"
            ):
                raise Problem(
                    f"{place}.sweeps.{method}.{key}: {one} and {other} are the same settings; take one out"
                )


def check_starts(path: str | Path, study: Study) -> None:
    """Check that what a run starts from is a run of the study, with the same encoder. Raises Problem."""
    runs = study.runs()
    for run in [*runs, *study.reference_classifiers().values()]:
        if (start := study.start(run)) is None:
            continue
        place = f"{path}: datasets.{run.dataset}: start of {run.method}"
        if start not in runs:
            raise Problem(
                f"{place}: {start} is not a run of this study; add that method or seed, or take this one out"
            )
        one, other = (study.settings(run.dataset, each.method) for each in (run, start))
        same = one.code_size == other.code_size and bool(one.linear_path) == bool(other.linear_path)
        if not same or study.encoder_of(run) != study.encoder_of(start):
            raise Problem(
                f"{place}: the encoder of {start} is another one; give both the same widths, code-size and "
                "linear-path"
            )
        for key, mine, its in (
            ("projection", one.projection, other.projection),
            ("contrastive-size", one.contrastive_size, other.contrastive_size),
        ):
            if None not in (mine, its) and mine != its:
                raise Problem(f"{place}: {start} has another {key}; give both the same")
