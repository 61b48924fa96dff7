"""How far the numbers of two runs of a study agree: each is bitwise the same, within what seeds explain, or
off.

Within is |difference| <= t s sqrt(1/n + 1/m): n published and m own seeds, s the standard deviation of
the method's published seeds, t Student's at 5 % after Holm's correction, over the primary metrics and
over the others. The variance s^2 is moderated (Smyth 2004, doi 10.2202/1544-6115.1027) by that pooled
over methods and variants for a data set, metric and split, with the weight of two degrees of freedom; t
has both degrees of freedom together. Few seeds make it wide: what is within is not shown to be the same.
Where s is 0, as where no method has two seeds, the printed digits decide.
"""

from collections.abc import Collection
from math import sqrt
from statistics import fmean
from typing import Any

from latents.report.bootstrap import holm
from latents.report.summarize import Key, Value
from latents.report.tex import rounded

LEVEL = 0.05
# degrees of freedom that the deviation of all methods has in that of one: a method's own seeds are too few,
# and the pooled deviation fits no method
PRIOR = 2
PRIMARY = ("accuracy_best", "accuracy_head", "mae")  # on test
SHOWN = ("tsne_trustworthiness",)  # of one t-SNE for each method: compared, not judged
# what the reference classifier alone decides: no method has a part in it
OF_REFERENCE_CLASSIFIER = (
    "reference_classifier_accuracy",
    "class_changes_pixels",
    "path_confidence_pixels",
    "class_changes_pixels_pairs",
)

Seeds = dict[int, float]  # seed -> value
Number = dict[str, Any]  # one compared number, as it is written


def by_number(values: list[Value]) -> dict[Key, Seeds]:
    """The values of each number's seeds."""
    found: dict[Key, Seeds] = {}
    for one in values:
        key = one.dataset, one.run.method, one.metric, one.split
        found.setdefault(key, {})[one.seed] = one.value
    return found


def pooled(groups: list[Seeds]) -> tuple[float, int]:
    """Standard deviation within groups, and its degrees of freedom."""
    freedom = sum(len(group) - 1 for group in groups)
    # the mean of equal floats may be off by a bit
    spread = [group.values() for group in groups if len(set(group.values())) > 1]
    squares = sum((value - fmean(group)) ** 2 for group in spread for value in group)
    return (sqrt(squares / freedom) if freedom else 0.0), freedom


def compare_numbers(
    published: dict[Key, Seeds], own: dict[Key, Seeds], other_classifier: Collection[str] = ()
) -> list[Number]:
    """Every number that both have, with its verdict.

    `other_classifier` names the data sets that were measured with another reference classifier.
    """
    methods: dict[tuple[str, str, str], list[Seeds]] = {}  # by data set, metric and split
    for (dataset, _, metric, split), seeds in published.items():
        methods.setdefault((dataset, metric, split), []).append(seeds)
    spreads = {place: pooled(groups) for place, groups in methods.items()}
    found = []
    for key in (key for key in published if key in own):
        dataset, _, metric, split = key
        found.append(compared(key, published[key], own[key], spreads[dataset, metric, split]))
    for family in (True, False):
        correct([one for one in found if one["primary"] == family])
    for one in found:
        one["verdict"] = verdict(one, other_classifier)
    return found


def compared(key: Key, published: Seeds, own: Seeds, of_all: tuple[float, int]) -> Number:
    """One number of both runs, and p of its difference, not yet corrected.

    `of_all` is the deviation of all methods and its degrees of freedom.
    """
    from scipy.stats import t  # here: it takes half a second, and a verdict is printed without it

    dataset, method, metric, split = key
    deviation, freedom = pooled([published])
    prior = min(PRIOR, of_all[1])
    both = prior + freedom
    spread = sqrt((prior * of_all[0] ** 2 + freedom * deviation**2) / both) if both else 0.0
    width = spread * sqrt(1 / len(published) + 1 / len(own))
    difference = fmean(own.values()) - fmean(published.values())
    same_seeds = {seed: published[seed] for seed in own} if own.keys() <= published.keys() else published
    printed = [rounded(metric, fmean(one.values())) for one in (same_seeds, own)]
    return {
        "dataset": dataset,
        "method": method,
        "metric": metric,
        "split": split,
        "primary": metric in PRIMARY and split == "test",
        "published": fmean(published.values()),
        "own": fmean(own.values()),
        "printed": printed,
        "seeds": [len(published), len(own)],
        "difference": difference,
        "same": same_seeds == own,
        "same_printed": printed[0] == printed[1],
        "freedom": both,
        "allowed": float(t.isf(LEVEL / 2, both)) * width if width else None,
        "p": float(2 * t.sf(abs(difference) / width, both)) if width else None,
    }


def correct(family: list[Number]) -> None:
    """Holm's correction of the p-values of a family of numbers, in place."""
    tested = [one for one in family if one["p"] is not None]
    for one, corrected in zip(tested, holm([one["p"] for one in tested]), strict=True):
        one["p"] = corrected


def verdict(one: Number, other_classifier: Collection[str]) -> str:
    """`bitwise`, `shown` (compared, not judged), `within` or `off`."""
    by_classifier = one["metric"] in OF_REFERENCE_CLASSIFIER and one["dataset"] in other_classifier
    if one["same"]:
        return "bitwise"
    if one["metric"] in SHOWN or by_classifier:
        return "shown"
    near = one["same_printed"] if one["p"] is None else one["p"] >= LEVEL
    return "within" if near else "off"
