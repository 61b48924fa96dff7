"""What macros.tex defines: every number of summary.csv, the similarities, the methods, and the facts of the
study."""

from pathlib import Path

import numpy as np

from latents.methods import METHODS
from latents.report.facts import Facts
from latents.report.summarize import Estimates, cka_matrix
from latents.report.tex import definitions, escape, rounded
from latents.study import Study


def numbers(found: Estimates) -> dict[str, str]:
    """Every number with its interval and its count of seeds."""
    values = {}
    for key, estimate in found.items():
        name = "res@" + "/".join(key)
        mean, low, high = (
            None if value is None else rounded(key[2], value)
            for value in (estimate.mean, estimate.low, estimate.high)
        )
        ends = f"n = {estimate.n}" if low is None else f"{low} to {high}"
        values |= {name: mean, f"{name}@ci": ends.replace("-", "$-$"), f"{name}@n": str(estimate.n)}
    return values


def similarities(study: Study, results: Path) -> dict[str, str]:
    """CKA of every two methods; a method with a single seed has none with itself."""
    values = {}
    for dataset, chosen in study.datasets.items():
        path = results / "similarity" / f"{dataset}.csv"
        for (a, b), cka in np.ndenumerate(cka_matrix(path, study.methods, chosen.seeds[0])):
            if not np.isnan(cka):
                values[f"res@cka/{dataset}/{study.methods[a]}/{study.methods[b]}"] = f"{cka:z.2f}"
    return values


def methods(study: Study) -> str:
    r"""The methods' printed names, and lists for \@for: all, those without labels, those that are trained."""
    names = {f"method@{method}": escape(METHODS[method].label) for method in study.methods}
    lists = {
        "allmethods": study.methods,
        "labelfree": [method for method in study.methods if not METHODS[method].sees_labels],
        "trained": study.trained_methods,
    }
    lines = (rf"\def\{name}{{{','.join(chosen)}}}" for name, chosen in lists.items())
    return definitions(names) + "".join(f"{line}\n" for line in lines)


def macros(study: Study, results: Path, found: Estimates, facts: Facts) -> str:
    """The whole file."""
    values = numbers(found) | similarities(study, results)
    values |= {f"fact@{name}": escape(text) for name, text in facts.items()}
    return definitions(values) + methods(study)
