"""The paper's table of tuning effort: what was tried of each method on validation, from paper/tuning.yaml."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from latents.cli import Problem
from latents.datasets import DATASETS
from latents.methods import METHODS
from latents.metrics import fixed
from latents.plain import parse
from latents.report import style
from latents.report.tex import SMALL, escape
from latents.settings import NonNegative, Strict
from latents.study import Study

Count = Annotated[int, Meta(ge=0)]


class Effort(Strict, frozen=True):
    """The settings that were compared, how many of these have a time, and its sum in seconds."""

    tries: Count
    varied: str  # which settings
    timed: Count = 0
    seconds: NonNegative = 0.0

    def __post_init__(self) -> None:
        if self.timed > self.tries or bool(self.timed) != bool(self.seconds):
            raise ValueError(f"{self.timed} of {self.tries} tries took {self.seconds:g} seconds")


Efforts = dict[str, dict[str, Effort]]  # by data set and method


def read(path: Path) -> Efforts:
    """The efforts of a file. Raises Problem, also on a data set or method that is not known."""
    found = parse(path, Efforts)
    for dataset, methods in found.items():
        for known, name in ((DATASETS, dataset), *((METHODS, method) for method in methods)):
            if name not in known:
                raise Problem(f"{path}: {dataset}: {name} is not known; known are {', '.join(known)}")
    return found


def tuning_table(study: Study, efforts: Efforts) -> str:
    """A line for each trained method of each data set; dashes where nothing is known of one."""
    lines = [rf"{SMALL}\begin{{tabular}}{{@{{}}lrrr>{{\raggedright\arraybackslash}}p{{3.6in}}@{{}}}}"]
    lines += [r"\toprule", r" & tries & timed & hours & what was varied \\"]
    for dataset in study.datasets:
        title = style.dataset_name(study, dataset)
        lines += [r"\midrule", rf"\multicolumn{{5}}{{@{{}}l}}{{\textit{{{title}}}}} \\"]
        for method in study.trained_methods:
            cells = 4 * ["--"]
            if one := efforts.get(dataset, {}).get(method):
                hours = fixed(one.seconds / 3600, 1) if one.timed else "--"
                cells = [str(one.tries), str(one.timed), hours, escape(one.varied)]
            lines.append(" & ".join([escape(style.name(method)), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}", ""])
