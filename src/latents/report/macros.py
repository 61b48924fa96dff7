"""What macros.tex defines: every number of summary.csv, the similarities, the methods, the figures, and the
facts of the study."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from latents.methods import METHODS
from latents.metrics import fixed
from latents.report.facts import Facts
from latents.report.figures import caption, figure_targets
from latents.report.page import CAPTIONS
from latents.report.read import cka_matrix
from latents.report.summarize import Estimates
from latents.report.tex import definitions, escape, rounded
from latents.study import Study


def numbers(found: Estimates) -> dict[str, str]:
    """Every number with its count of seeds."""
    values = {}
    for key, estimate in found.items():
        name = "res@" + "/".join(key)
        values |= {name: rounded(key[2], estimate.mean), f"{name}@n": str(estimate.n)}
    return values


def similarities(study: Study, results: Path) -> dict[str, str]:
    """CKA of every two methods; a method with a single seed has none with itself."""
    values = {}
    for dataset, chosen in study.datasets.items():
        path = results / "similarity" / f"{dataset}.csv"
        for (a, b), cka in np.ndenumerate(cka_matrix(path, study.methods, chosen.seeds[0])):
            if not np.isnan(cka):
                values[f"res@cka/{dataset}/{study.methods[a]}/{study.methods[b]}"] = fixed(cka, 2)
    return values


def methods(study: Study) -> str:
    r"""The methods' printed names, and lists for \@for: all, those without labels, those that are trained."""
    names = {f"method@{method}": escape(METHODS[method].label) for method in study.methods}
    return definitions(names) + listed(
        {
            "allmethods": study.methods,
            "labelfree": [method for method in study.methods if not METHODS[method].sees_labels],
            "trained": study.trained_methods,
        }
    )


def contents(study: Study) -> dict[str, str]:
    r"""The captions of the study's figures and tables; the lists are \allfigures and \alltables."""
    figures = {f"figure@{one.name}": caption(one.script) for one in figure_targets(study)}
    tables = {f"table@{name}": text for name, text in CAPTIONS.items()}
    return {name: escape(text) for name, text in (figures | tables).items()}


def listed(lists: dict[str, Iterable[str]]) -> str:
    r"""Definitions of lists for \@for."""
    return "".join(rf"\def\{name}{{{','.join(chosen)}}}" + "\n" for name, chosen in lists.items())


def macros(study: Study, results: Path, found: Estimates, facts: Facts) -> str:
    """The whole file."""
    values = numbers(found) | similarities(study, results)
    values |= {f"fact@{name}": escape(text) for name, text in facts.items()}
    return (
        definitions(values | contents(study))
        + methods(study)
        + listed({"allfigures": [one.name for one in figure_targets(study)], "alltables": CAPTIONS})
    )
