"""The table of figures: the script of each, what it reads below results/ or reference/, and its category."""

import ast
import string
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from latents.cli import Problem
from latents.methods.settings import MethodSettings
from latents.study import Run, Study

SAMPLED = "vae"  # the method whose prior samples are drawn from
SWEEP, TRADE, TRADED = "ablation", "trade", "autoencoder-plus"  # sweeps of the figure `sweeps`, and a method
BUDGET = "budget"  # the sweep of the figure `budget`


def swept(study: Study) -> list[str]:
    """The data sets with variants of the code's size, or of accuracy against error."""
    return [
        dataset
        for dataset, chosen in study.datasets.items()
        if any(
            (SWEEP in sweeps and "code_size" in type(chosen.methods[method]).__struct_fields__)
            or (TRADE in sweeps and method == TRADED)
            for method, sweeps in chosen.sweeps.items()
        )
    ]


def budgeted(study: Study) -> list[str]:
    """The data sets with trainings of several lengths."""
    return [
        dataset
        for dataset, chosen in study.datasets.items()
        if any(BUDGET in sweeps for sweeps in chosen.sweeps.values())
    ]


def ablated(study: Study, dataset: str, method: str, *keys: str) -> dict[str, MethodSettings]:
    """Run -> settings, of a method's ablation: `full`, and what differs from it in these keys alone.

    Raises Problem where the ablation has no `full`.
    """
    sweep = study.dataset(dataset).sweeps.get(method, {}).get(SWEEP)
    if sweep is None:
        return {}
    if "full" not in sweep.variants:
        raise Problem(
            f"{dataset}: the sweep {SWEEP!r} of {method} has no variant `full`, "
            "with which the others are compared; add `full: {}`"
        )
    names = [f"{method}.{SWEEP}.{name}" for name in sweep.variants]
    full = study.settings(dataset, f"{method}.{SWEEP}.full")
    found = {name: study.settings(dataset, name) for name in names}
    same = {key: getattr(full, key) for key in keys}
    return {name: settings for name, settings in found.items() if replace(settings, **same) == full}


class FigureSpec(NamedTuple):
    """A line of the table.

    In `inputs`, {dataset} stands for a data set, {method} for each of its methods (`cifar10/guided`),
    {first_run} for the first seed of each (`cifar10/guided/seed1`), {sampled_run} for that of SAMPLED, and
    {trained_run} for every run of a method that is trained; * is left. A study for which `shows` returns
    nothing does not have the figure.
    """

    category: str  # in Snakemake's report
    inputs: tuple[str, ...]
    per_dataset: bool = False
    shows: Callable[[Study], object] = lambda study: study.datasets


class FigureTarget(NamedTuple):
    """A figure of a study: its file's stem, its script, and its data set, where it is of one."""

    name: str
    script: str
    dataset: str | None


SUMMARY = ("summary.csv",)
PICTURES = ("pictures/{first_run}.npz", "records/{first_run}.json")
POINTS = ("tsne/{method}.csv", "tsne/{method}.json", "records/{first_run}.json")
SAMPLES = ("pictures/{sampled_run}.npz", "records/{sampled_run}.json")
CURVES = ("curves/{trained_run}.csv",)
FIGURES = {  # script: figure, in the order of the gallery
    "tradeoff": FigureSpec("Accuracy and reconstruction", (*SUMMARY, *PICTURES)),
    "accuracy": FigureSpec("Accuracy", SUMMARY),
    "few_labels": FigureSpec("Accuracy", SUMMARY, shows=lambda study: study.measurement.label_shares),
    "reconstruction_error": FigureSpec("Reconstruction", SUMMARY),
    "separability": FigureSpec("Geometry of the codes", SUMMARY),
    "similarity": FigureSpec("Geometry of the codes", ("similarity/{dataset}.csv",)),
    "sweeps": FigureSpec("Variants", SUMMARY, shows=swept),
    "budget": FigureSpec("Variants", SUMMARY, shows=budgeted),
    "bits": FigureSpec("Reconstruction", SUMMARY, shows=lambda study: study.measurement.bits),
    "speed": FigureSpec("Benchmark", ("bench/*.json",)),
    "reconstructions": FigureSpec(
        "Reconstruction", (*PICTURES, "yardsticks/{dataset}.json"), per_dataset=True
    ),
    "tsne": FigureSpec(
        "Geometry of the codes",
        POINTS,
        per_dataset=True,
    ),
    "neighbours": FigureSpec(
        "Geometry of the codes",
        PICTURES,
        per_dataset=True,
        shows=lambda study: study.measurement.neighbours,
    ),
    "interpolations": FigureSpec("Reconstruction", PICTURES, per_dataset=True),
    "samples": FigureSpec(
        "Reconstruction",
        SAMPLES,
        per_dataset=True,
        shows=lambda study: SAMPLED in study.methods,
    ),
    "curves": FigureSpec(
        "Training",
        CURVES,
        per_dataset=True,
        shows=lambda study: study.trained_methods,
    ),
}


def figure_targets(study: Study) -> list[FigureTarget]:
    """Every figure of a study."""
    return [
        FigureTarget(f"{script}_{dataset}" if dataset else script, script, dataset)
        for script, spec in FIGURES.items()
        if spec.shows(study)
        for dataset in (study.datasets if spec.per_dataset else (None,))
    ]


def figure_inputs(study: Study, script: str, dataset: str | None = None) -> list[str]:
    """The files that a figure reads, relative to the folder of results; without a data set, those of all."""
    found: list[str] = []
    for pattern in FIGURES[script].inputs:
        field = _field(pattern)
        for one in [dataset] if dataset else study.datasets:
            found += [pattern.format(**{field: value}) for value in _values(study, field, one)]
    return list(dict.fromkeys(found))


def figure_patterns(script: str, dataset: str | None = None) -> list[str]:
    """The same for a reader: each pattern once, with * for whatever varies."""
    stars = {"dataset": "*", "method": f"{dataset or '*'}/*"}
    stars |= dict.fromkeys(("first_run", "trained_run"), f"{dataset or '*'}/*/seed*")
    stars["sampled_run"] = f"{dataset or '*'}/{SAMPLED}/seed*"
    return [pattern.format(**stars) for pattern in FIGURES[script].inputs]


def caption(script: str) -> str:
    """The first paragraph of a script's docstring, on one line."""
    source = (Path(__file__).parent / f"{script}.py").read_text(encoding="utf-8")
    return " ".join(ast.get_docstring(ast.parse(source)).partition("\n\n")[0].split())


def _field(pattern: str) -> str:
    """The name of the one field of a pattern, '' for a plain file name."""
    return next((field for _, field, _, _ in string.Formatter().parse(pattern) if field), "")


def _values(study: Study, field: str, dataset: str) -> list[str]:
    """What a field stands for on a data set."""
    match field:
        case "method":
            return [f"{dataset}/{method}" for method in study.methods]
        case "first_run":
            return [str(Run(dataset, method, study.dataset(dataset).seeds[0])) for method in study.methods]
        case "sampled_run":
            return [str(Run(dataset, SAMPLED, study.dataset(dataset).seeds[0]))]
        case "trained_run":
            return [str(run) for run in study.runs(dataset) if run.method in study.trained_methods]
        case _:
            return [dataset]
