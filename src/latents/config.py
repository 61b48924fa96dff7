"""Read a study's configuration from a YAML file and, for sweeps, a second one.

`read` rejects unknown keys, wrong types and impossible values with one sentence that names file and key.
"""

import itertools
from pathlib import Path
from typing import Any

import msgspec

from latents.cli import Problem
from latents.datasets import DATASETS
from latents.methods import METHODS
from latents.plain import converted, load_yaml, parse
from latents.settings import Name
from latents.study import SHOWN, DatasetSettings, Study, Sweep


def read(path: str | Path) -> Study:
    """Read a study. Raises Problem with the file, the key, and what is wrong.

    The key `sweeps` may name a second file, with data set -> method -> sweep name -> sweep.
    """
    content = load_yaml(path)
    beside = content.pop("sweeps", None) if isinstance(content, dict) else None
    if beside is not None:
        file = Path(path).parent / str(beside)
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


def from_plain(path: str | Path, content: Any) -> Study:
    """A study from plain data, checked. Raises Problem with a message that begins with the path."""
    study = parse(path, Study, content)
    if not study.datasets:
        raise Problem(f"{path}: datasets: none; known are {', '.join(DATASETS)}")
    for name, dataset in study.datasets.items():
        place = f"{path}: datasets.{name}"
        if name not in DATASETS:
            raise Problem(f"{place}: unknown data set; known are {', '.join(DATASETS)}")
        for method, settings in dataset.methods.items():
            if method not in METHODS:
                raise Problem(f"{place}.methods.{method}: unknown method; known are {', '.join(METHODS)}")
            dataset.methods[method] = converted(
                f"{place}.methods.{method}", METHODS[method].settings, settings
            )
    for name, dataset in study.datasets.items():
        check(f"{path}: datasets.{name}", name, dataset, study)
    return study


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
    for key in ("validation", "test"):
        if (size := getattr(dataset, key)) <= max(SHOWN, study.probe.knn_k):
            raise Problem(
                f"{place}.{key}: {size} images are too few to measure; take more than {SHOWN} and than knn-k"
            )
    if not dataset.methods:
        raise Problem(f"{place}.methods: none; known are {', '.join(METHODS)}")
    if lacking := sorted(set(study.methods) ^ dataset.methods.keys()):
        raise Problem(
            f"{place}.methods: {lacking[0]} is on some data sets of this study and not on others; "
            "add it to all, with {} where it has no settings, or take it out"
        )
    check_sweeps(place, name, dataset, study)


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
