"""Test the paper's claims on the run at hand: each says that one method has more of something than another.

    python -m latents.report.claims --config config/study.yaml --claims paper/claims.yaml --results results \
        --out paper/generated/macros_claims.tex --table paper/generated/table_claims.tex \
        --record paper/generated/claims.json

Differences are tested as in `bootstrap`; seeds are paired where one of the methods starts from the other's
trained networks. Holm's step-down correction is over all claims of the file. A claim is supported when the
corrected p is below the level and the difference has the claimed sign; an open comparison claims nothing, and
is tested and printed whatever is found.

A claim on a data set, method or variant that the study does not have is left out: it is not tested, and not
counted by Holm's correction.

Writes macros claim@<id> (1 supported, 0 not, 2 left out), claim@<id>@found (the difference in words, or what
the study does not have) and fact@claims-<level, resamples or count>, and a table of the tested claims. With
--strict an unsupported claim and one that is left out are errors, but for open ones. Takes two seconds.
"""

import argparse
import base64
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from latents import cli, config, record
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.methods import METHODS
from latents.metrics import PROBES, fixed, metric
from latents.plain import parse
from latents.record import again
from latents.report import style
from latents.report.bootstrap import estimated, holm
from latents.report.summarize import Record, records
from latents.report.tex import definitions, escape, tabular
from latents.settings import Seed, Strict
from latents.study import Run, Study

ERRORS = {"mae": "errors", "mae_frozen": "errors_frozen"}  # metric -> where a record has each image's
METRICS = (*ERRORS, *(f"accuracy_{probe}" for probe in PROBES), "accuracy_best")  # measured for each image


class Claim(Strict, frozen=True):
    """`more` has a larger mean of the metric on test than `less`, or, where it is `open`, may have."""

    dataset: str
    metric: Literal[METRICS]
    more: str
    less: str
    open: bool = False  # not claimed: tested with the others, and printed whatever is found


class Claims(Strict, frozen=True):
    """What is claimed, and how it is tested."""

    level: Annotated[float, Meta(gt=0, lt=1)]
    resamples: Annotated[int, Meta(ge=100)]  # fewer do not give a standard error
    seed: Seed
    claims: Annotated[dict[str, Claim], Meta(min_length=1)]


Found = dict[str, dict[str, Any]]  # claim -> what was found


def read(path: Path) -> Claims:
    """A file of claims. Raises Problem when it is broken, or names what no study can have."""
    claims = parse(path, Claims)
    for name, claim in claims.claims.items():
        if claim.dataset not in DATASETS:
            raise Problem(
                f"{path}: claims.{name}: {claim.dataset}: unknown data set; known are {', '.join(DATASETS)}"
            )
        for method in (claim.more, claim.less):
            if method.partition(".")[0] not in METHODS:
                raise Problem(
                    f"{path}: claims.{name}: {method}: unknown method; known are {', '.join(METHODS)}, "
                    "and a variant is written <method>.<sweep>.<variant>"
                )
    return claims


def left_out(study: Study, claims: Claims) -> dict[str, str]:
    """The claims that cannot be tested: name -> what the study does not have, `<data set>/<method>`."""
    runs = {f"{run.dataset}/{run.method}" for run in study.runs()}
    wanted = {
        name: [f"{claim.dataset}/{method}" for method in (claim.more, claim.less)]
        for name, claim in claims.claims.items()
    }
    lacking = {name: [one for one in pair if one not in runs] for name, pair in wanted.items()}
    return {name: missing[0] for name, missing in lacking.items() if missing}


def by_image(path: Path, made: Record, name: str, n: int) -> np.ndarray:
    """A metric of each of n test images [n]: 100 or 0 percent correct, or the absolute error.

    Raises Problem where the record `made` at `path` does not have it.
    """
    try:
        if name in ERRORS:
            found = np.frombuffer(base64.b64decode(made[ERRORS[name]]), "<f2").astype(np.float64)
        else:
            probe = made["probe_chosen_on_val"] if name == "accuracy_best" else name.removeprefix("accuracy_")
            bits = base64.b64decode(made["correct"][probe])
            found = 100.0 * np.unpackbits(np.frombuffer(bits, np.uint8))
            found = found[:n] if len(found) - n in range(8) else found  # the last byte may be filled up
    except (KeyError, ValueError) as error:
        raise Problem(f"{path}: holds no {name} of each image ({error}); {again(path)}") from None
    if len(found) != n:
        raise Problem(f"{path}: {name} of {len(found)} images, not of {n}; {again(path)}")
    return found


def measured(study: Study, made: list[Record], claim: Claim, method: str, results: Path) -> np.ndarray:
    """A claim's metric of one method, by seed (in order) and test image [seeds, n]. Raises Problem."""
    values = []
    of_method = [one for one in made if (one["dataset"], one["run"]) == (claim.dataset, method)]
    for one in sorted(of_method, key=lambda one: one["seed"]):
        path = results / "records" / f"{Run(claim.dataset, method, one['seed'])}.json"
        if (claim.metric, "test") not in {(value["metric"], value["split"]) for value in one["metrics"]}:
            raise Problem(
                f"{path}: {method} has no {claim.metric}; claim another metric, or that of another method"
            )
        values.append(by_image(path, one, claim.metric, study.dataset(claim.dataset).test))
    return np.stack(values)


def is_paired(study: Study, claim: Claim) -> bool:
    """Whether both methods have the same seeds, and each run of one starts from the other's of its seed."""
    names = (claim.more, claim.less)
    seeds = [sorted(run.seed for run in study.runs(claim.dataset) if run.method == name) for name in names]
    starts = any(starts_from(study, claim.dataset, *pair) for pair in (names, names[::-1]))
    return starts and seeds[0] == seeds[1]


def starts_from(study: Study, dataset: str, method: str, other: str) -> bool:
    """Whether runs of a method start, at once or through others, from another's of the same seed."""
    run: Run | None = Run(dataset, method, study.dataset(dataset).seeds[0])
    while run is not None and run.method != other:
        run = study.start(run)
    return run is not None


def evaluate(study: Study, claims: Claims, results: Path) -> Found:
    """Each claim that the study can test: difference, interval, p, corrected p, whether it is supported.

    Raises Problem.
    """
    made, missing, found = list(records(study, results)), left_out(study, claims), {}
    for name, claim in claims.claims.items():
        if name in missing:
            continue
        pair = [measured(study, made, claim, method, results) for method in (claim.more, claim.less)]
        found[name] = estimated(pair, claims.resamples, claims.seed, paired=is_paired(study, claim))
        found[name] |= {"seeds": [len(values) for values in pair], "metric": claim.metric}
    for one, corrected in zip(found.values(), holm([one["p"] for one in found.values()]), strict=True):
        one["p_holm"] = corrected
        one["supported"] = bool(corrected < claims.level and one["difference"] > 0)
    return found


def written(one: dict[str, Any]) -> tuple[str, str]:
    """A claim's difference and its interval."""
    difference, low, high = (
        fixed(one[key], metric(one["metric"]).decimals) for key in ("difference", "low", "high")
    )
    return difference, f"{low} to {high}".replace("-", "$-$")


def macros(claims: Claims, found: Found, missing: dict[str, str]) -> str:
    """macros_claims.tex."""
    values = {
        "fact@claims-level": f"{claims.level:g}",
        "fact@claims-resamples": str(claims.resamples),
        "fact@claims-count": str(len(found)),
    }
    for name, one in found.items():
        values[f"claim@{name}"] = str(int(one["supported"]))
        p = printed_p(one)
        of_p = f"$p$ {p}" if p.startswith("below") else f"$p = {p}$"
        values[f"claim@{name}@found"] = "difference ${}$, {}; {}".format(*written(one), of_p)
    for name, place in missing.items():
        values[f"claim@{name}"] = "2"
        values[f"claim@{name}@found"] = f"{escape(place)} is not in this study"
    return definitions(values)


def printed_p(one: dict[str, Any]) -> str:
    """A claim's corrected p, as TeX."""
    return fixed(one["p_holm"], 3) if one["p_holm"] >= 0.0005 else "below 0.001"


def named(method: str) -> str:
    """A method or variant as the table of claims prints it."""
    base, _, variant = method.partition(".")
    return style.name(base) + (f" ({variant.partition('.')[2]})" if variant else "")


def table(study: Study, claims: Claims, found: Found) -> str:
    """A line for each tested claim: what is above what, in which number, by how much, its corrected p.

    The open ones are a group of their own.
    """
    claimed, opened = [], []
    for name, one in found.items():
        claim, (difference, interval), p = claims.claims[name], written(one), printed_p(one)
        shown, probe = metric(claim.metric), PROBES.get(claim.metric.removeprefix("accuracy_"))
        label = (probe.short if probe else shown.label) + (" (%)" if shown.unit == "percent" else "")
        dataset = style.dataset_name(study, claim.dataset)
        than = "against" if claim.open else "above"
        words = f"{named(claim.more)} {than} {named(claim.less)}: {label}, {dataset}"
        lines = opened if claim.open else claimed
        lines.append([words, difference, f"{{{interval}}}", f"{{{p}}}" if p.startswith("below") else p])
    groups = [("", claimed)] if claimed else []
    groups += [("open, printed whatever is found", opened)] if opened else []
    nothing = [("none can be tested: no claim is of this study's data sets and methods", [])]
    return tabular(["", "difference", r"\SI{95}{\percent} interval", "$p$"], groups or nothing)


def check(claims: Claims, found: Found, missing: dict[str, str], options: argparse.Namespace) -> None:
    """What --strict asks for. Raises Problem where a claim that is not open is left out or not supported."""
    asserted = {name for name, claim in claims.claims.items() if not claim.open}
    if lacking := [name for name in missing if name in asserted]:
        name, place = lacking[0], missing[lacking[0]]
        raise Problem(
            f"{options.claims}: claims.{name}: {place} is not in {options.config}; "
            "name a method or variant of that study, or take the claim out"
        )
    if unsupported := [name for name in found if name in asserted and not found[name]["supported"]]:
        raise Problem(
            f"{options.claims}: {', '.join(unsupported)}: not supported by {options.results}; "
            "change the sentence and the claim"
        )


@cli.command
def main() -> None:
    parser = cli.parser(__doc__, paths=("config", "claims", "results", "out", "table", "record"))
    parser.add_argument("--strict", action="store_true", help="a claim without support is an error")
    options = parser.parse_args()
    claims, study = read(options.claims), config.read(options.config)
    found, missing = evaluate(study, claims, options.results), left_out(study, claims)
    if options.strict:
        check(claims, found, missing, options)
    record.write_text(options.out, macros(claims, found, missing))
    record.write_text(options.table, table(study, claims, found))
    settings = {"level": claims.level, "resamples": claims.resamples, "left_out": missing}
    record.write_json(options.record, {"format": record.FORMAT, "claims": found} | settings)


if __name__ == "__main__":
    main()
