"""Compare a finished run of the study with the committed one.

    python -m latents.report.verify --config config/study.yaml --results results --reference reference \
        --out results/verify.json --report results/verify.md [--run mnist/guided/seed1]
    python -m latents.report.verify --verdict results/verify.json
    python -m latents.report.verify --config reference/study.yaml --results results

The first writes the comparison, the second prints it and ends with status 1 where a number is off or a file
was changed. The third comes before the study is run: it refuses results of other settings, which would be
overwritten.

A number is `bitwise` where every seed's value is the same float; else `within` what seeds explain, or `off`
(latents.report.verify_numbers says how this is tested). The trustworthiness of a t-SNE is only `shown`; so is
what depends on the reference classifier alone, where that is not the published one: a data set has one
reference classifier, and no seeds say how far another may differ. Configuration, data, source, versions,
seeds, device and threads are compared by value or hash, not by tolerance. Takes seconds.

The level of agreement is `bitwise` (weights, codes, curves, pictures and numbers), `numerical` (all numbers
as printed), `statistical` (none is off) or `none`. With --run one run is compared: its numbers with the
interval in which the published seeds predict another.
"""

import argparse
import itertools
import sys
from collections import Counter
from math import isclose
from pathlib import Path
from typing import Any

import msgspec

from latents import cli, config, record
from latents.cli import Problem
from latents.plain import flat
from latents.report.archive import BESIDE
from latents.report.read import read_record
from latents.report.summarize import (
    Record,
    Value,
    estimates,
    read_runs,
    read_summary,
    values_of,
    yardsticks,
)
from latents.report.verify_numbers import SHOWN, by_number, compare_numbers
from latents.report.verify_report import markdown
from latents.study import Run, Study

MADE = ("weights_sha256", "codes_sha256", "curve_sha256", "pictures_sha256", "sample_sha256")
RAN = (
    *("data_sha256", "split_sha256", "source_sha256", "reference_classifier_sha256"),
    *("device", "threads", "precision", "processor"),
)
FILES = {
    place: key for place, key in BESIDE.items() if place != "samples/{}.npz"
}  # reference/ has no samples
USAGE = "give --verdict; or --config and --results; or these two with --reference, --out and --report"

Records = dict[str, dict[str, Any]]  # by run, as `<data set>/<method>/seed<k>`


def read_records(folder: Path) -> tuple[Records, list[str]]:
    """Every run's record below folder, and what is wrong with it or the files beside it."""
    found, faults = {}, []
    for path in sorted((folder / "records").glob("*/*/seed*.json")):
        name = path.relative_to(folder / "records").with_suffix("").as_posix()
        try:
            made = found[name] = read_record(path, Record)
        except Problem as problem:
            faults.append(str(problem))
            continue
        if name != str(Run(made["dataset"], made["run"], made["seed"])):
            faults.append(f"{path}: is the record of another run; put its own back, or make it again")
        for place, key in FILES.items():
            file = folder / place.format(name)
            if not file.is_file() or record.sha256(file) != made.get(key):
                faults.append(
                    f"{file}: not the file that its record describes; put it back, or make it again"
                )
    return found, faults


def tables_follow(folder: Path, made: Records) -> list[str]:
    """What in runs.csv is not in the records, and what in summary.csv does not follow from runs.csv."""
    faults, runs = [], read_runs(folder / "runs.csv")
    measured = {
        (name, one["metric"], one["split"]): one["value"] for name in made for one in made[name]["metrics"]
    }
    whole = set(made)
    of_dataset = {one["dataset"]: one for one in made.values()}
    for one in of_dataset.values() if (folder / "yardsticks").is_dir() else ():  # older runs have none
        try:
            scale = yardsticks(folder, one)
        except Problem as problem:
            faults.append(str(problem))
        else:
            measured |= {(str(one.run), one.metric, one.split): one.value for one in scale}
            whole |= {str(one.run) for one in scale}
    listed = {(str(one.run), one.metric, one.split): one.value for one in runs if one.metric not in SHOWN}
    for name in sorted({place[0] for place in listed} - whole):
        faults.append(f"{folder}/runs.csv: {name} has no whole record; make it again")
    for place in sorted(measured.keys() | listed.keys()):
        if place[0] in whole and measured.get(place) != listed.get(place):
            faults.append(
                f"{folder}/runs.csv: {' '.join(place)} is {listed.get(place)}, "
                f"in the record {measured.get(place)}; make it again"
            )
    expected, found = estimates(runs), read_summary(folder / "summary.csv")
    for key in sorted(expected.keys() | found.keys()):
        if key not in expected or key not in found or not all(map(close, expected[key], found[key])):
            faults.append(
                f"{folder}/summary.csv: {' '.join(key)} does not follow from runs.csv "
                f"({found.get(key)} for {expected.get(key)}); make it again"
            )
    return faults


def close(a: Any, b: Any) -> bool:
    """Equal, or equal floats but for their last digits, which another machine's arithmetic may change."""
    floats = isinstance(a, float) and isinstance(b, float)
    return a == b or (floats and isclose(a, b, rel_tol=1e-9, abs_tol=1e-12))


def differences(published: Records, own: Records) -> list[dict[str, Any]]:
    """Settings, data and machines that differ: each with both values and the runs in which it does."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for name in (name for name in published if name in own):
        a, b = (
            flat(msgspec.to_builtins({key: made.get(key) for key in (*RAN, "config", "versions")}))
            for made in (published[name], own[name])
        )
        for key in (key for key in a | b if a.get(key) != b.get(key)):
            found.setdefault((key, str(a.get(key)), str(b.get(key))), []).append(name)
    return [{"what": what, "published": a, "own": b, "runs": runs} for (what, a, b), runs in found.items()]


def compare(study: Study, results: Path, reference: Path, run: str | None = None) -> dict[str, Any]:
    """The whole comparison, or that of one run (`<data set>/<method>/seed<k>`), as it is written."""
    published, faults = read_records(reference)
    own, more = read_records(results)
    if run and (run not in published or run not in own):
        reasons = "; ".join(faults + more) or "none is there"
        raise Problem(
            f"{run}: has no whole record in both {reference} and {results} ({reasons}); make it first"
        )
    names = [run] if run else [str(one) for one in study.runs()]
    own = {name: made for name, made in own.items() if name in names}
    faults = [fault for fault in faults + more if not run or f"{run}." in fault]
    if run:
        values = [[value for made in some.values() for value in values_of(made)] for some in (published, own)]
    else:
        folders = ((reference, published), (results, own))
        faults += [fault for folder, made in folders for fault in tables_follow(folder, made)]
        values = [read_runs(folder / "runs.csv") for folder in (reference, results)]
    both = [name for name in published if name in own]
    key = "reference_classifier_sha256"
    other = {own[name]["dataset"] for name in both if published[name].get(key) != own[name].get(key)}
    numbers = compare_numbers(*map(by_number, values), other)
    found = {
        "format": record.FORMAT,
        "run": run,
        "runs": len(both),
        "faults": faults,
        "verdicts": dict(Counter(one["verdict"] for one in numbers)),
        "numbers": numbers,
        "made_alike": {
            key: sum(published[one].get(key) == own[one].get(key) for one in both) for key in MADE
        },
        "missing": [] if run else sorted(published.keys() - own.keys()),
        "added": sorted(own.keys() - published.keys()),
        "differences": differences(published, own),
    }
    level, short = level_of(found, 0 if run else alone(values))
    return found | {"level": level, "short_of_the_next": short}


def alone(values: list[list[Value]]) -> int:
    """How many numbers only one of the two has."""
    keys = [by_number(some).keys() for some in values]
    return sum(len(one - other) for one, other in itertools.permutations(keys))


def level_of(found: dict[str, Any], alone: int) -> tuple[str, list[str]]:
    """The level of agreement, and what it falls short of for the next one."""
    numbers, verdicts, runs = found["numbers"], Counter(found["verdicts"]), found["runs"]
    if verdicts["off"]:
        return "none", [f"{verdicts['off']} numbers are off"]
    if found["faults"] or not numbers:
        return "none", []
    otherwise = sum(not one["same_printed"] for one in numbers)
    runs_alone = len(found["missing"] + found["added"])
    counted = {
        "numbers are printed otherwise": otherwise,
        "runs are only on one side": runs_alone,
        "numbers are only on one side": alone,
    }
    if short := [f"{count} {what}" for what, count in counted.items() if count]:
        return "statistical", short
    short = [
        f"{key.removesuffix('_sha256')} differ in {runs - same} of {runs} runs"
        for key, same in found["made_alike"].items()
        if same < runs
    ]
    short += ["numbers differ beyond the printed digits"] if verdicts["within"] + verdicts["shown"] else []
    return ("numerical" if short else "bitwise"), short


def refuse_others(study: Study, results: Path) -> None:
    """Raises Problem where results hold what a run of this study would overwrite or leave out."""
    measured = study.runs()
    runs = {str(run): run for run in [*measured, *study.reference_classifiers().values()]}
    for kind, settings in (("train", study.training), ("records", study.measuring)):
        for path in sorted((results / kind).glob("*/*/seed*.json")):
            run = runs.get(path.relative_to(results / kind).with_suffix("").as_posix())
            expected = run and record.config_sha256(settings(run))
            if run is None or record.read_json(path).get("config_sha256") != expected:
                raise Problem(
                    f"{path}: not of the committed study, which would overwrite it or leave it out; "
                    f"verify in another clone, or move {results}/ and {study.checkpoints}/ away"
                )


def print_verdict(path: Path) -> bool:
    """Print a comparison that was written; returns whether it failed."""
    found = record.read_json(path)
    if "verdicts" not in found:
        raise Problem(f"{path}: not a comparison; give the file that --out named")
    print(markdown(found))
    return found["level"] == "none"


@cli.command
def main() -> None:
    parser = cli.parser(__doc__)
    for name in ("config", "results", "reference", "out", "report", "verdict"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--run", help="one run, <data set>/<method>/seed<k>")
    options = parser.parse_args()
    if options.verdict:
        sys.exit(print_verdict(options.verdict))
    check(parser, options)
    study = config.read(options.config)
    if not options.out:
        refuse_others(study, options.results)
        return
    run = options.run and str(Run.parse(options.run))
    found = compare(study, options.results, options.reference, run)
    record.write_text(options.report, markdown(found))
    record.write_json(options.out, found)


def check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Ends with a usage message where options are missing."""
    comparing = (options.reference, options.out, options.report)
    if not (options.config and options.results) or (any(comparing) and not all(comparing)):
        parser.error(USAGE)


if __name__ == "__main__":
    main()
