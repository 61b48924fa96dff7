"""Test the paper's claims on the run at hand: each says that one row has more of something than another.

    python -m latents.report.claims --config config/study.yaml --claims paper/claims.yaml --results results \
        --out paper/generated/macros_claims.tex --table paper/generated/table_claims.tex --record paper/generated/claims.json

A hierarchical bootstrap gives the standard error of a difference: seeds are drawn anew for each row, test images anew for both
rows alike, and the rows' means compared. Drawing k seeds of k spreads too little, so what seeds add is stretched by sqrt(k / (k - 1)).
The 95 % interval and the two-sided p are Student's, since a few seeds tell little of their own spread, at the degrees of freedom that
Satterthwaite's approximation (1946) gives; Holm's step-down correction is over all claims of the file. A claim is supported
when the corrected p is below the level and the difference has the claimed sign. With one seed a row only the images are drawn. Writes macros claim@<id> (1 or 0), claim@<id>@found (the difference in words) and
fact@claims-<level, resamples, count>, and a table of all claims. With --strict an unsupported claim is an error. Takes about two seconds.
"""

import argparse
import base64
import functools
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from latents import config, record
from latents.config import Problem, Study
from latents.report import style
from latents.report.summarize import records
from latents.report.tex import definitions, tabular
from latents.settings import Positive, Seed, Strict

METRICS = {  # as printed
    "mae": "MAE", "mae_frozen": "MAE, frozen code", "accuracy_linear": "linear probe (%)", "accuracy_mlp": "MLP (%)",
    "accuracy_knn": "kNN (%)", "accuracy_best": "better probe (%)",
}  # fmt: skip
KEPT = {"mae": "errors", "mae_frozen": "errors_frozen"}  # where a record has each image's


class Claim(Strict, frozen=True):
    """`more` has a larger mean of the metric on test than `less`."""

    dataset: str
    metric: Literal[tuple(METRICS)]
    more: str
    less: str


class Claims(Strict, frozen=True):
    """What is claimed, and how it is tested."""

    level: Annotated[float, Meta(gt=0, lt=1)]
    resamples: Positive
    seed: Seed
    claims: dict[str, Claim]


def by_image(path: str, cell: dict[str, Any], metric: str, n: int) -> np.ndarray:
    """The metric of each of n test images: percent right or wrong as 100 or 0, or the absolute error."""
    try:
        if metric in KEPT:
            found = np.frombuffer(base64.b64decode(cell[KEPT[metric]]), "<f2").astype(np.float64)
        else:
            probe = metric.removeprefix("accuracy_")
            bits = cell["correct"][cell["probe_named_by_val"] if probe == "best" else probe]
            found = 100.0 * np.unpackbits(np.frombuffer(base64.b64decode(bits), np.uint8))
            found = found[:n] if len(found) - n in range(8) else found  # the last byte may be filled up
    except (KeyError, ValueError) as error:
        raise Problem(f"{path}: holds no {metric} of each image ({error}); delete it and run again") from None
    if len(found) != n:
        raise Problem(f"{path}: {metric} of {len(found)} images, not of {n}; delete it and run again")
    return found


@functools.cache
def image_counts(n: int, resamples: int, seed: int) -> np.ndarray:
    """How often each of n images is drawn [resamples, n]: the same for all rows and claims."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float32)


def differences(more: np.ndarray, less: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Bootstrapped differences of means [resamples] of two rows [seeds, n] over the same n images."""
    draw = np.random.default_rng([seed, 1])  # of seeds
    n = more.shape[1]
    counts, means = image_counts(n, resamples, seed), []
    for row in (more, less):
        k, of_seeds = len(row), (counts @ row.T.astype(np.float32)).astype(np.float64) / n  # [resamples, k]
        mean = of_seeds.mean(1)
        chosen = np.take_along_axis(of_seeds, draw.integers(k, size=of_seeds.shape), 1).mean(1)
        means.append(mean + (chosen - mean) * (k / max(1, k - 1)) ** 0.5)
    return means[0] - means[1]


def freedom(rows: list[np.ndarray], error: float) -> float:
    """Satterthwaite's degrees of freedom of a difference of rows [seeds, n] with this standard error; the images are many and take none."""
    of_seeds = sum((row.mean(1).var(ddof=1) / len(row)) ** 2 / (len(row) - 1) for row in rows if len(row) > 1)
    return error**4 / of_seeds if of_seeds else np.inf


def tested(rows: list[np.ndarray], resamples: int, seed: int) -> dict[str, float]:
    """Difference of the means of two rows [seeds, n], its interval and p."""
    from scipy.stats import t  # here: `verify` takes Holm's correction from this module, and prints a verdict without scipy

    difference, error = float(rows[0].mean() - rows[1].mean()), float(differences(*rows, resamples, seed).std(ddof=1))
    degrees = freedom(rows, error)
    half = float(t.isf(0.025, degrees)) * error
    p = float(2 * t.sf(abs(difference) / error, degrees)) if error else float(difference == 0)
    return {"difference": difference, "low": difference - half, "high": difference + half, "p": p}


def holm(values: list[float]) -> list[float]:
    """Holm's correction (1979) of p-values, in their order."""
    corrected, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(np.argsort(values, kind="stable")):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = largest
    return corrected


def evaluate(study: Study, claims: Claims, results: Path) -> dict[str, dict[str, Any]]:
    """Each claim with its difference, interval, p, corrected p and whether it is supported."""
    cells = list(records(study, results))
    found: dict[str, dict[str, Any]] = {}
    for name, claim in claims.claims.items():
        rows = []
        for run in (claim.more, claim.less):
            n = study.dataset(claim.dataset).test
            own = [cell for cell in cells if (cell["dataset"], cell["run"]) == (claim.dataset, run)]
            if not own:
                raise Problem(f"claims.{name}: {claim.dataset}/{run} is not in this study; name a run of it in the claims file")
            rows.append(np.stack([by_image(f"{results}/records/{claim.dataset}/{run}/seed{one['seed']}.json", one, claim.metric, n) for one in own]))
        found[name] = tested(rows, claims.resamples, claims.seed) | {"seeds": [len(row) for row in rows], "metric": claim.metric}
    for one, corrected in zip(found.values(), holm([one["p"] for one in found.values()]), strict=True):
        one |= {"p_holm": corrected, "supported": bool(corrected < claims.level and one["difference"] > 0)}
    return found


def written(one: dict[str, Any]) -> tuple[str, str]:
    """A claim's difference and its interval."""
    digits = 4 if one["metric"] in KEPT else 1
    return f"{one['difference']:z.{digits}f}", "{low:z.{d}f} to {high:z.{d}f}".format(**one, d=digits)


def macros(claims: Claims, found: dict[str, dict[str, Any]]) -> str:
    values = {"fact@claims-level": f"{claims.level:g}", "fact@claims-resamples": str(claims.resamples), "fact@claims-count": str(len(found))}
    for name, one in found.items():
        values |= {f"claim@{name}": str(int(one["supported"])), f"claim@{name}@found": "difference {}, {}".format(*written(one))}
    return definitions(values)


def table(study: Study, claims: Claims, found: dict[str, dict[str, Any]]) -> str:
    """A line for each claim: what is above what, in which number, by how much, and its corrected p."""

    def called(run: str) -> str:
        row, _, variant = run.partition(".")
        return style.name(row) + (f" ({variant.partition('.')[2]})" if variant else "")

    body = []
    for name, claim in claims.claims.items():
        difference, interval = written(found[name])
        told = f"{called(claim.more)} above {called(claim.less)}: {METRICS[claim.metric]}, {style.dataset_name(study, claim.dataset)}"
        p = found[name]["p_holm"]
        body.append([told, difference, f"{{{interval}}}", f"{p:.3f}" if p >= 0.0005 else "{below 0.001}"])
    return tabular(["", "difference", r"\SI{95}{\percent} interval", "$p$"], [("", body)])


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("config", "claims", "results", "out", "table", "record"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--strict", action="store_true", help="an unsupported claim is an error")
    options = parser.parse_args()
    claims = config.parse(options.claims, Claims)
    study = config.read(options.config)
    found = evaluate(study, claims, options.results)
    unsupported = [name for name, one in found.items() if not one["supported"]]
    if options.strict and unsupported:
        raise Problem(f"{options.claims}: {', '.join(unsupported)}: not supported by {options.results}; change the sentence and the claim")
    record.write_text(options.out, macros(claims, found))
    record.write_text(options.table, table(study, claims, found))
    record.write_json(options.record, {"format": record.FORMAT, "level": claims.level, "resamples": claims.resamples, "claims": found})


if __name__ == "__main__":
    main()
