"""Compare a finished run with the committed one: your run beside the published one.

    python -m latents.report.verify --config config/study.yaml --results results --reference reference \
        --out results/verify.json --report results/verify.md [--cell mnist/guided/seed1]
    python -m latents.report.verify --verdict results/verify.json
    python -m latents.report.verify --config reference/study.yaml --results results

The first writes the comparison, the second prints it and ends with status 1 where a number is off or a file was changed. The third
comes before the run: it refuses results of other settings, which the run would overwrite.

A number is `bitwise` where every seed's value is the same float; else `within` or `off`. Within is |difference| <= t s sqrt(1/n + 1/m):
n published and m own seeds, s the standard deviation of the row's published seeds, its variance moderated (Smyth 2004, doi 10.2202/1544-6115.1027) by
that pooled over rows and variants for a data set, metric and split with the weight of two degrees of freedom, t Student's at both degrees
of freedom together, at 5 % after Holm's correction, over the primary metrics and over the others. Few seeds make it wide: what is within is not
shown to be the same. Where s is 0, as where no row has two seeds, the printed digits decide. Trustworthiness, of one t-SNE a row, is
only shown, as curves and pictures are; so is what measures the judge alone, where it is not the published one: a data set has one judge,
and no seeds tell how far another may be. What was run (configuration, data, source, versions, seeds, device,
threads) is compared by value or hash, not by tolerance. Takes seconds.

The level of replay is `bitwise` (weights, codes, curves, pictures and numbers), `numerical` (all numbers as printed), `statistical`
(none is off) or `none`. With --cell one cell is compared, its numbers with the interval in which the published seeds predict another.
"""

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from math import isclose, sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from latents import config, record
from latents.config import Problem, Study
from latents.report.claims import holm
from latents.report.kept import BESIDE
from latents.report.summarize import Value, estimates, read_runs, read_summary
from latents.report.tex import rounded

LEVEL = 0.05
PRIOR = 2  # degrees of freedom that the deviation of all rows has in that of one: a row's few seeds alone would hold nothing, all rows' fits none
PRIMARY = ("accuracy_best", "accuracy_head", "mae")  # on test
MADE = ("weights_sha256", "codes_sha256", "curve_sha256", "pictures_sha256", "sample_sha256")
SHOWN = ("tsne_trustworthiness",)
OF_THE_JUDGE = ("judge_accuracy", "class_changes_pixels", "class_changes_pixels_pairs")  # on the images themselves: no row has a part in them
RAN = ("data_sha256", "split_sha256", "source_sha256", "judge_sha256", "device", "threads", "precision", "processor")
FILES = {place: key for place, key in BESIDE.items() if place != "samples/{}.npz"}  # reference/ holds no samples

Key = tuple[str, str, str, str]  # data set, run, metric, split
Seeds = dict[int, float]  # seed -> value


def read_cells(folder: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Every cell's record below folder (`<data set>/<run>/seed<k>` -> content), and what is wrong with the files beside them."""
    cells, faults = {}, []
    for path in sorted((folder / "records").glob("*/*/seed*.json")):
        name = path.relative_to(folder / "records").with_suffix("").as_posix()
        try:
            cells[name] = record.read_json(path)
        except Problem as problem:
            faults.append(str(problem))
            continue
        if name != "{dataset}/{run}/seed{seed}".format(**cells[name]):
            faults.append(f"{path}: is the record of another cell; put its own back, or make it again")
        for place, key in FILES.items():
            file = folder / place.format(name)
            if not file.is_file() or record.sha256(file) != cells[name].get(key):
                faults.append(f"{file}: not the file that its record describes; put it back, or make it again")
    return cells, faults


def tables_follow(folder: Path, cells: dict[str, dict[str, Any]]) -> list[str]:
    """What in runs.csv does not stand in the records, and in summary.csv does not follow from runs.csv."""
    faults, runs = [], read_runs(folder / "runs.csv")
    measured = {(name, one["metric"], one["split"]): one["value"] for name, cell in cells.items() for one in cell["metrics"]}
    listed = {(f"{run.dataset}/{run.run}/seed{run.seed}", run.metric, run.split): run.value for run in runs if run.metric not in SHOWN}
    faults += [f"{folder}/runs.csv: {name} has no whole record; make it again" for name in sorted({place[0] for place in listed} - cells.keys())]
    for place in sorted(place for place in measured.keys() | listed.keys() if place[0] in cells and measured.get(place) != listed.get(place)):
        faults.append(f"{folder}/runs.csv: {' '.join(place)} is {listed.get(place)}, in the record {measured.get(place)}; make it again")
    expected, found = estimates(runs), read_summary(folder / "summary.csv")
    for key in sorted(expected.keys() | found.keys()):
        if key not in expected or key not in found or not all(map(close, expected[key], found[key])):
            faults.append(f"{folder}/summary.csv: {' '.join(key)} does not follow from runs.csv ({found.get(key)} for {expected.get(key)}); make it again")
    return faults


def close(a: Any, b: Any) -> bool:
    """Equal, or equal floats but for their last digits, which another machine's arithmetic may change."""
    return a == b or (isinstance(a, float) and isinstance(b, float) and isclose(a, b, rel_tol=1e-9, abs_tol=1e-12))


def by_number(values: list[Value]) -> dict[Key, Seeds]:
    found: dict[Key, Seeds] = {}
    for one in values:
        found.setdefault((one.dataset, one.run, one.metric, one.split), {})[one.seed] = one.value
    return found


def pooled(groups: list[Seeds]) -> tuple[float, int]:
    """Standard deviation within groups, and its degrees of freedom."""
    freedom = sum(len(group) - 1 for group in groups)
    spread = [group.values() for group in groups if len(set(group.values())) > 1]  # the mean of equal floats may be off by a bit
    squares = sum((value - fmean(group)) ** 2 for group in spread for value in group)
    return (sqrt(squares / freedom) if freedom else 0.0), freedom


def judged(published: dict[Key, Seeds], own: dict[Key, Seeds], units: dict[str, str], other_judge: Collection[str] = ()) -> list[dict[str, Any]]:
    """Every number that both have, with its verdict; `other_judge` names the data sets that another judge measured."""
    from scipy.stats import t  # here: it takes half a second, and a verdict is printed without it

    rows: dict[tuple[str, str, str], list[Seeds]] = {}  # by data set, metric and split
    for (dataset, _, metric, split), seeds in published.items():
        rows.setdefault((dataset, metric, split), []).append(seeds)
    spreads = {place: pooled(groups) for place, groups in rows.items()}
    found = []
    for key in (key for key in published if key in own):
        dataset, method, metric, split = key
        a, b = published[key], own[key]
        (of_all, freedom), (of_row, own_freedom) = spreads[dataset, metric, split], pooled([a])
        prior = min(PRIOR, freedom)
        freedom = prior + own_freedom
        spread = sqrt((prior * of_all**2 + own_freedom * of_row**2) / freedom) if freedom else 0.0
        width = spread * sqrt(1 / len(a) + 1 / len(b))
        difference = fmean(b.values()) - fmean(a.values())
        same_seeds = {seed: a[seed] for seed in b} if b.keys() <= a.keys() else a
        printed = [rounded(metric, fmean(one.values()), units[metric]) for one in (same_seeds, b)]
        found.append({
            "dataset": dataset, "method": method, "metric": metric, "split": split, "primary": metric in PRIMARY and split == "test",
            "published": fmean(a.values()), "own": fmean(b.values()), "printed": printed, "seeds": [len(a), len(b)], "difference": difference,
            "same": same_seeds == b, "same_printed": printed[0] == printed[1], "freedom": freedom,
            "allowed": float(t.isf(LEVEL / 2, freedom)) * width if width else None,
            "p": float(2 * t.sf(abs(difference) / width, freedom)) if width else None,
        })  # fmt: skip
    for family in (True, False):
        members = [one for one in found if one["primary"] == family]
        tested = [one for one in members if one["p"] is not None]
        for one, corrected in zip(tested, holm([one["p"] for one in tested]), strict=True):
            one["p"] = corrected
        for one in members:
            near = one["same_printed"] if one["p"] is None else one["p"] >= LEVEL
            shown = one["metric"] in SHOWN or (one["metric"] in OF_THE_JUDGE and one["dataset"] in other_judge)
            one["verdict"] = "bitwise" if one["same"] else "shown" if shown else "within" if near else "off"
    return found


def flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything in nested plain data."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from flat(part, f"{place}.{key}" if place else str(key))
    else:
        yield place, value


def differences(published: dict[str, dict[str, Any]], own: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What was run otherwise: each thing that differs, with both values and the cells in which it does."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for name in (name for name in published if name in own):
        pair = [{key: cell.get(key) for key in RAN} | {"config": cell["config"], "versions": cell["versions"]} for cell in (published[name], own[name])]
        a, b = (dict(flat(msgspec.to_builtins(one))) for one in pair)
        for key in (key for key in a | b if a.get(key) != b.get(key)):
            found.setdefault((key, str(a.get(key)), str(b.get(key))), []).append(name)
    return [{"what": what, "published": a, "own": b, "cells": cells} for (what, a, b), cells in found.items()]


def compare(study: Study, results: Path, reference: Path, cell: str | None) -> dict[str, Any]:
    """The whole comparison, as it is written."""
    published, faults = read_cells(reference)
    own, more = read_cells(results)
    names = [f"{dataset}/{run}/seed{seed}" for dataset, run, seed in study.cells()]
    if cell and (cell not in published or cell not in own):
        raise Problem(f"{cell}: has no whole record in both {reference} and {results} ({'; '.join(faults + more) or 'none is there'}); make it first")
    own = {name: one for name, one in own.items() if (name == cell if cell else name in names)}
    if cell:
        faults, more = ([fault for fault in some if f"{cell}." in fault] for some in (faults, more))
    faults += more
    values = [[], []]
    if cell:
        for place, cells in zip(values, (published, own), strict=True):
            place += [Value(one["dataset"], one["method"], one["variant"], one["seed"], *(m[k] for k in ("metric", "split", "value", "unit"))) for one in cells.values() for m in one["metrics"]]
    else:
        faults += [fault for folder, cells in ((reference, published), (results, own)) for fault in tables_follow(folder, cells)]
        values = [read_runs(folder / "runs.csv") for folder in (reference, results)]
    both = [name for name in published if name in own]
    other_judge = {own[name]["dataset"] for name in both if published[name].get("judge_sha256") != own[name].get("judge_sha256")}
    units = {one.metric: one.unit for some in values for one in some}
    numbers = judged(*map(by_number, values), units, other_judge)
    alone = sum(len(one.keys() - other.keys()) for one, other in itertools.permutations(map(by_number, values)) if not cell)
    made = {key: sum(published[name].get(key) == own[name].get(key) for name in both) for key in MADE}
    missing = [] if cell else sorted(published.keys() - own.keys())
    added = sorted(own.keys() - published.keys())
    verdicts = Counter(one["verdict"] for one in numbers)
    short = [f"{verdicts['off']} numbers are off"] if verdicts["off"] else []
    level = "none" if short or faults or not numbers else "statistical"
    if level == "statistical":
        short = [f"{sum(not one['same_printed'] for one in numbers)} numbers are printed otherwise"] if not all(one["same_printed"] for one in numbers) else []
        short += [f"{len(names)} cells are in one run alone" for names in [missing + added] if names]
        short += [f"{alone} numbers are in one run alone"] if alone else []
        level = "statistical" if short else "numerical"
    if level == "numerical":
        short = [f"{key.removesuffix('_sha256')} differ in {len(both) - same} of {len(both)} cells" for key, same in made.items() if same < len(both)]
        short += ["numbers differ beyond the printed digits"] if verdicts["within"] + verdicts["shown"] else []
        level = "numerical" if short else "bitwise"
    return {
        "format": record.FORMAT, "cell": cell, "level": level, "short_of_the_next": short, "faults": faults, "verdicts": dict(verdicts), "numbers": numbers,
        "cells": len(both), "made_alike": made, "missing": missing, "added": added, "differences": differences(published, own),
    }  # fmt: skip


def refuse_others(study: Study, results: Path) -> None:
    """Raises Problem where results hold what a run of this study would overwrite: cells of other settings, tables with other cells."""
    cells = {f"{dataset}/{run}/seed{seed}": (dataset, run, seed) for dataset, run, seed in [*study.cells(), *study.judges()]}
    for kind, settings in (("train", study.training), ("records", study.measuring)):
        for path in sorted((results / kind).glob("*/*/seed*.json")):
            cell = cells.get(path.relative_to(results / kind).with_suffix("").as_posix())
            if cell is None or record.read_json(path).get("config_sha256") != record.config_sha256(settings(*cell)):
                raise Problem(f"{path}: not of the committed run's study, which would overwrite it or leave it out; verify in another clone, or move {results}/ and {study.checkpoints}/ away")


def markdown(found: dict[str, Any]) -> str:
    """'Your run beside the published one', for a terminal and for a page."""
    counts = ", ".join(f"{found['verdicts'].get(name, 0)} {name}" for name in ("bitwise", "within", "shown", "off") if name != "shown" or name in found["verdicts"])
    lines = ["# Your run beside the published one" + (f": {found['cell']}" if found["cell"] else ""), ""]
    lines += [f"Level of replay: **{found['level']}**" + (f"; {'; '.join(found['short_of_the_next'])}." if found["short_of_the_next"] else "."), ""]
    lines += [f"{len(found['numbers'])} numbers of {found['cells']} cells: {counts}. Alike in that many cells: "
              + ", ".join(f"{key.removesuffix('_sha256')} {n}" for key, n in sorted(found["made_alike"].items())) + ".", ""]  # fmt: skip
    shown = [one for one in found["numbers"] if (one["primary"] and "." not in one["method"]) or one["verdict"] == "off"]
    head = ("data set", "row", "metric", "split", "published", "yours", "allowed alone", "verdict")
    rows = [head]
    for one in shown:
        allowed = "its digits" if one["allowed"] is None else f"{one['allowed']:.2g} ({one['freedom']} df)"
        rows.append((one["dataset"], one["method"], one["metric"], one["split"], *one["printed"], allowed, one["verdict"]))
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    table = ["| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in rows]
    lines += [table[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *table[1:], ""]
    for title, names in (("only in the published run", found["missing"]), ("only in yours", found["added"])):
        lines += [f"Cells {title}: {', '.join(names)}.", ""] if names else []
    if found["differences"]:
        lines += ["What was run otherwise:", ""]
        for one in found["differences"]:
            where = one["cells"][0] if len(one["cells"]) == 1 else f"{len(one['cells'])} cells"
            lines.append(f"- {one['what']} in {where}: published {one['published'][:60]}, yours {one['own'][:60]}")
        lines.append("")
    lines += ["What is broken:", "", *(f"- {fault}" for fault in found["faults"]), ""] if found["faults"] else []
    return "\n".join(lines)


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("config", "results", "reference", "out", "report", "verdict"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--cell", help="one cell, <data set>/<run>/seed<k>")
    options = parser.parse_args()
    if options.verdict:
        found = record.read_json(options.verdict)
        if "verdicts" not in found:
            raise Problem(f"{options.verdict}: not a comparison; give the file that --out named")
        print(markdown(found))
        sys.exit(found["level"] == "none")
    both, comparing = (options.config, options.results), (options.reference, options.out, options.report)
    if not all(both) or (any(comparing) and not all(comparing)):
        parser.error("give --verdict; or --config and --results; or these two with --reference, --out and --report")
    study = config.read(options.config)
    if not options.out:
        refuse_others(study, options.results)
        return
    found = compare(study, options.results, options.reference, options.cell)
    record.write_text(options.report, markdown(found))
    record.write_json(options.out, found)


if __name__ == "__main__":
    main()
