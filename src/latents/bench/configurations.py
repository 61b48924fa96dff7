"""The configuration of every training that the benchmark measures, checked before anything is measured."""

from pathlib import Path
from typing import Any

import msgspec
import yaml

from latents import config, data
from latents.bench.ordinary import PUBLISHED
from latents.bench.settings import METHODS, Bench
from latents.cli import Problem
from latents.plain import merge
from latents.study import Study


def configurations(file: str, bench: Bench, study: str, machine: Path | None, folder: Path) -> dict[str, str]:
    """Write every configuration to the folder; key of the benchmark's `file` that asks for it -> path.

    `machine` is the file of latents.machine, for a study with `precision: auto`.
    Raises Problem where one of them cannot be measured; for that the largest numbers of images are loaded.
    """
    plain = merge(msgspec.to_builtins(config.settled(config.read(study), machine)), bench.changes)
    check(study, config.from_plain(f"{file}: changes", plain))
    paths = {}
    for number, (key, content) in enumerate(wanted(bench, plain).items()):
        config.from_plain(f"{file}: {key}", content)
        path = folder / f"{number}.yaml"
        path.write_text(yaml.safe_dump(content))
        paths[key] = str(path)
    largest = config.read(paths[f"growth.images {max(bench.growth.images)}"])
    for dataset in largest.datasets:
        data.load(largest, dataset, with_test=False)
    return paths


def check(path: str, study: Study) -> None:
    """Refuse a study, read from `path`, that the benchmark cannot train. Raises Problem."""
    if study.source == "stand-in":
        raise Problem(
            f"{path}: source: the benchmark does not use stand-in data; take a study with source: download"
        )
    if "cifar10" not in study.datasets:
        raise Problem(
            f"{path}: datasets: cifar10 is missing, on which the benchmark trains; take a study that has it"
        )
    if missing := [method for method in METHODS if method not in study.methods]:
        raise Problem(
            f"{path}: methods: {missing[0]} is missing, which the benchmark trains; take a study that has it"
        )
    if unknown := study.datasets.keys() - PUBLISHED.keys():
        raise Problem(
            f"{path}: datasets: the ordinary loop cannot read {min(unknown)}; "
            "add it to PUBLISHED in src/latents/bench/ordinary.py"
        )


def wanted(bench: Bench, plain: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Key of the benchmark's settings -> configuration; `plain` is the study's with the changes over it."""

    def guided(changes: dict[str, Any], **dataset: Any) -> dict[str, Any]:
        return merge(plain, {"datasets": {"cifar10": dataset | {"methods": {"guided": changes}}}})

    once, sizes = {"optimisation": {"epochs": 1}}, bench.growth.images
    found = {
        "changes": plain,
        "float32": plain | {"precision": "float32"},
        "sprint": guided(bench.sprint.changes, seeds=bench.sprint.seeds),
    }
    for n in sizes:
        found[f"growth.images {n}"] = guided(once, train=n)
    for widths in bench.growth.widths:
        encoder = {"encoder": {"widths": list(widths)}}
        found[f"growth.widths {widths}"] = merge(guided(once, train=sizes[0]), encoder)
    return found
