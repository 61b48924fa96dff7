"""The paper's tables and number macros, from runs.csv, the records, the times and the configuration.

    python -m latents.report.tables --config config/study.yaml --results results --out paper/generated

Writes table_*.tex (tabulars alone: floats and captions are the paper's) and macros.tex, which defines for each line of
summary.csv

    res@<dataset>/<row>/<metric>/<split>      the mean, rounded; `train_flops` in TFLOP
    res@<...>@ci                              `90.1 to 91.2`, or `n = 1` where the seeds give no interval
    res@<...>@n                               the number of seeds
    res@cka/<dataset>/<row>/<row>             linear CKA of two rows; of a row's seeds, where it has several

and fact@<name> for facts of the study (see `facts`). Takes about a second. The paper loads booktabs, siunitx and array.
"""

import argparse
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec
import numpy as np

from latents import config, record
from latents.config import JUDGE, ROWS, Study
from latents.report import style, summarize
from latents.report.summarize import Estimates
from latents.report.tex import SMALL, cell, definitions, escape, rounded, tabular
from latents.settings import CODE_SIZE

UNSAID = (("jitter-probability", 1), ("code-size", CODE_SIZE), ("labels", 1))  # settings of every row, but in a sweep
SWEEPS = {"ablation": "shortened budget", "trade": "a budget of its own"}  # those of the table: as printed
PROBES = {"linear": "linear", "mlp": "MLP"}
OPTIMIZERS = {"sgd": "SGD", "adamw": "AdamW", "muon": "Muon"}


def side_by_side(study: Study, heads: list[str], cells: Callable[[str, str], list[str]]) -> str:
    """A line for each row; the heads, and the cells of (data set, row) under them, repeated for each data set."""
    body = [[style.name(row), *(text for d in study.datasets for text in cells(d, row))] for row in ROWS]
    over = [(style.dataset_name(study, d), len(heads)) for d in study.datasets]
    return tabular(["", *heads * len(over)], [("", body)], over)


def reconstruction(study: Study, found: Estimates) -> str:
    """Both errors with their intervals; for those of PSNR and SSIM there is no room."""

    def cells(d: str, row: str) -> list[str]:
        errors = [cell(found, d, row, metric, "test") for metric in ("mae", "mae_frozen")]
        return errors + [rounded(metric, found[d, row, metric, "test"].mean, "") for metric in ("psnr", "ssim")]

    return side_by_side(study, ["MAE", "frozen", "PSNR", "SSIM"], cells)


def separability(study: Study, found: Estimates) -> str:
    """Means alone: twelve columns leave no room for intervals, which the figure of the same name draws."""
    metrics = ("silhouette", "scatter_ratio", "knn_purity", "alignment", "uniformity", "effective_rank")
    heads = ["silh.", "scatter", "purity", "align.", "unif.", "rank"]
    return side_by_side(study, heads, lambda d, row: [rounded(m, found[d, row, m, "test"].mean, "") for m in metrics])


def interpolation(study: Study, found: Estimates) -> str:
    """Rows decoded along straight lines of code, and the cross-fade of the pixels, which no row changes."""
    metrics = ("path_length", "class_changes", "class_changes_pairs", "judge_accuracy_decoded")
    faded = ("path_length_pixels", "class_changes_pixels", "class_changes_pixels_pairs", "judge_accuracy")
    lines = [(style.name(row), row, metrics) for row in ROWS] + [("Cross-fade", ROWS[0], faded)]

    def told(d: str, row: str, metric: str) -> str:
        """A dash where only some seeds have enough pairs for a mean: theirs would stand beside the pairs of all."""
        key, pairs = (d, row, metric, "test"), (d, row, f"{metric}_pairs", "test")
        return "{--}" if key in found and pairs in found and found[key].n < found[pairs].n else cell(found, *key)

    body = [[name, *(told(d, row, metric) for d in study.datasets for metric in names)] for name, row, names in lines]
    heads = ["length", "changes", "pairs", r"judge (\%)"]
    return tabular(["", *heads * len(study.datasets)], [("", body)], [(style.dataset_name(study, d), len(heads)) for d in study.datasets])


def ablation(study: Study, found: Estimates) -> str:
    """Variants by what they are chosen by, on val, beside their test MAE and test accuracy of the probe that val names."""
    columns = [(metric, "val") for metric in ("mae", "accuracy_linear", "accuracy_mlp", "accuracy_knn")]
    columns += [("mae", "test"), ("accuracy_best", "test")]
    groups = []
    for d, dataset in study.datasets.items():
        for row, sweeps in dataset.sweeps.items():
            for sweep, title in ((sweep, title) for sweep, title in SWEEPS.items() if sweep in sweeps):
                lines = [[name.replace("-", " "), *(cell(found, d, f"{row}.{sweep}.{name}", *column) for column in columns)] for name in sweeps[sweep].variants]
                groups.append((f"{style.dataset_name(study, d)}, {style.name(row)}, {title}", lines))
    heads = ["", "MAE", "linear", "MLP", "kNN", "MAE", "probe"]
    return tabular(heads, groups or [("none in this configuration", [])], [("val", 4), ("test", 2)])


def cells_list(cells: list[dict[str, Any]]) -> str:
    """The appendix: a line for each cell, with the beginning of its record's seal."""
    lines = []
    for one in cells:
        place = f"{one['dataset']}/{one['run']}/seed{one['seed']}"
        lines.append(rf"\cellline{{{escape(place)}}}{{{record.seal(one)[:8]}}}")
    return "\n".join([*lines, ""])


def plain(value: Any) -> str:
    """A setting as a reader writes it: ranges with a dash, numbers without trailing zeros."""
    if isinstance(value, list | tuple):
        return "--".join(map(plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def described(settings: dict[str, Any], above: dict[str, Any]) -> str:
    """Settings in words: what is off is left out, what is on stands alone, a group that the line above has too is not said again."""
    words = []
    for key, value in settings.items():
        name = "augm.\\" if key == "augmentation" else key.replace("-", " ")
        if isinstance(value, dict) and value == above.get(key):
            words.append(f"{name} as above")
        elif isinstance(value, dict):
            words.append(f"{name} ({described(value, {}) or 'none'})")
        elif value not in (0, None) and (key, value) not in UNSAID:  # False counts as 0
            words.append(name if value is True else f"{name} {plain(value)}")
    return ", ".join(words)


def setting(title: str, settings: dict[str, Any], above: dict[str, Any]) -> str:
    """One line: the optimiser's settings each in a column, the others in words; a seed is no setting."""
    one = settings["optimisation"]
    numbers = [one["epochs"], one["batch-size"], OPTIMIZERS[one["optimizer"]], one["learning-rate"], one["weight-decay"]]
    others = {key: value for key, value in settings.items() if key not in ("optimisation", "seed")} | {"warmup": one["warmup"]}
    return " & ".join([escape(title), *map(plain, numbers), described(others, above)]) + r" \\"


def settings_table(study: Study) -> str:
    """A line for each trained row, below it what differs in its variants with a budget of their own; then the judge and the decoder on frozen codes."""
    lines = [SMALL + r"\begin{tabular}{@{}lrrlrr>{\raggedright\arraybackslash}p{3.4in}@{}}", r"\toprule",
             r" & epochs & batch & optim. & rate & decay & other settings \\"]  # fmt: skip
    for d in study.datasets:
        lines += [r"\midrule", rf"\multicolumn{{7}}{{@{{}}l}}{{\textit{{{style.dataset_name(study, d)}}}}} \\"]
        above: dict[str, Any] = {}
        for row in (*ROWS[2:], JUDGE):
            method = msgspec.to_builtins(study.method(d, row))
            lines.append(setting("Judge" if row == JUDGE else style.name(row), method, above))
            traded = study.datasets[d].sweeps.get(row, {}).get("trade")
            for name in traded.variants if traded else ():
                variant = msgspec.to_builtins(study.method(d, f"{row}.trade.{name}"))
                lines.append(setting(f"-- {name}", {key: value for key, value in variant.items() if key == "optimisation" or value != method[key]}, {}))
            above = method
    return "\n".join([*lines, r"\midrule", setting("Decoder", msgspec.to_builtins(study.decoder), {}), r"\bottomrule", r"\end{tabular}}", ""])


def similarity(study: Study, results: Path) -> dict[str, str]:
    """CKA as macros; a row with a single seed has none with itself."""
    matrices = {d: summarize.cka_matrix(results / "similarity" / f"{d}.csv", one.seeds[0]) for d, one in study.datasets.items()}
    cells = [(d, ROWS[a], ROWS[b], value) for d, matrix in matrices.items() for (a, b), value in np.ndenumerate(matrix)]
    return {f"res@cka/{d}/{a}/{b}": f"{value:z.2f}" for d, a, b, value in cells if not np.isnan(value)}


def seconds(study: Study, results: Path) -> dict[tuple[str, str, str], list[float]]:
    """(data set, run, train or evaluate) -> seconds of each seed's job; the judge is trained only.

    Nothing for a stand-in: times would be no result, and without them a repeated demo is the same bytes.
    """
    if study.source == "stand-in":
        return {}
    jobs = [(*one, step) for one in study.cells() for step in ("train", "evaluate")] + [(*judge, "train") for judge in study.judges()]
    found: dict[tuple[str, str, str], list[float]] = {}
    for d, run, seed, step in jobs:
        timing = record.read_json(results / "timing" / d / run / f"seed{seed}.{step}.json")
        found.setdefault((d, run, step), []).append(timing["seconds"])
    return found


def joined(values: Iterable[Any]) -> str:
    """What the records agree on, once; else all that they say."""
    return ", ".join(dict.fromkeys(map(str, values)))


def processors(study: Study, cells: list[dict[str, Any]]) -> str:
    """What the cells ran on: once where it is one, else by data set."""
    names = {d: joined(one["processor"] for one in cells if one["dataset"] == d) for d in study.datasets}
    one, *others = dict.fromkeys(names.values())
    return "; ".join(f"{style.dataset_name(study, d)}: {name}" for d, name in names.items()) if others else one


def splits(found: Estimates, cells: list[dict[str, Any]], dataset: str, row: str) -> list[str]:
    """The probe that val names (both, where the seeds differ) and its accuracy on each split."""
    names = joined(PROBES[one["probe_named_by_val"]] for one in cells if (one["dataset"], one["run"]) == (dataset, row))
    return [f"{{{names}}}", *(cell(found, dataset, row, "accuracy_best", split) for split in ("train", "val", "test"))]


def cost(found: Estimates, times: dict[tuple[str, str, str], list[float]], dataset: str, row: str) -> list[str]:
    """Parameters in millions, training in 10^12 operations, and the minutes of a seed's two jobs."""
    minutes = [f"{fmean(times[dataset, row, step]) / 60:.1f}" if times else "{--}" for step in ("train", "evaluate")]
    parameters, flops = (found[dataset, row, metric, "-"].mean for metric in ("parameters", "train_flops"))
    return [f"{parameters / 1e6:.2f}", rounded("train_flops", flops, "FLOP"), *minutes]


def facts(study: Study, results: Path, cells: list[dict[str, Any]], times: dict[tuple[str, str, str], list[float]]) -> dict[str, str]:
    """Facts of the study as plain text; those that come from times stand last."""
    reference = results.name == "reference"
    build = [file for pattern in ("src/**/*.py", "Snakefile", "config/*.yaml", "requirements.lock") for file in record.ROOT.glob(pattern)]
    found = {
        "config-name": study.study, "note": "from reference" if reference else study.note,
        "several-seeds": str(int(any(len(one.seeds) > 1 for one in study.datasets.values()))),
        "is-demo": str(int(study.source == "stand-in")),
        "build-hash": record.tree_sha256(build)[:12], "source-hash": joined(one["source_sha256"][:12] for one in cells),
        "torch-version": joined(one["versions"]["torch"] for one in cells),
    }  # fmt: skip
    found |= {key: joined(one[key] for one in cells) for key in ("device", "threads", "precision")} | {"processor": processors(study, cells)}
    probe, measurement = study.probe, study.measurement
    found |= {
        "linear-c": ", ".join(map(plain, probe.linear_c)), "mlp-decay": ", ".join(map(plain, probe.mlp_weight_decay)), "mlp-epochs": str(probe.mlp_epochs),
        "mlp-batch": str(probe.mlp_batch_size), "mlp-dropout": plain(probe.mlp_dropout), "mlp-rate": plain(probe.mlp_learning_rate), "knn-k": str(probe.knn_k), "linear-iterations": str(probe.linear_iterations), "knn-temperature": plain(probe.knn_temperature), "mlp-hidden": " and ".join(map(str, probe.mlp_hidden)),
        "pairs": str(measurement.pairs), "fewest-pairs": str(measurement.fewest_pairs), "silhouette-points": str(measurement.silhouette_points),
        "tsne-points": str(measurement.tsne_points), "sample": str(measurement.sample), "tsne-perplexity": plain(measurement.tsne_perplexity),
        "tsne-neighbours": str(measurement.tsne_neighbours),
        "alignment-shift": str(measurement.alignment.pad_crop), "alignment-contrast": joined(map(plain, (measurement.alignment.brightness, measurement.alignment.contrast))),
        "alignment-noise": plain(measurement.alignment.noise),
        "decoder-epochs": str(study.decoder.optimisation.epochs), "encoder-widths": "{}, {} and {}".format(*study.encoder.widths),
    }  # fmt: skip
    for d, dataset in study.datasets.items():
        first = next(one for one in cells if one["dataset"] == d)
        found |= {
            f"dataset-name/{d}": style.dataset_name(study, d),
            f"data-hash/{d}": first["data_sha256"][:12], f"split-hash/{d}": first["split_sha256"][:12],
            f"seeds/{d}": joined(dataset.seeds),
            f"train-images/{d}": str(dataset.train), f"val-images/{d}": str(dataset.validation), f"test-images/{d}": str(dataset.test),
        }  # fmt: skip
        methods = {run: study.method(d, run) for run in [*(run for run, _ in study.runs(d)), JUDGE]}
        for run, method in methods.items():
            if method:
                settings, of_row = (msgspec.to_builtins(study.method(d, name)) for name in (run, run.partition(".")[0]))
                found |= {f"epochs/{d}/{run}": str(method.optimisation.epochs), f"batch/{d}/{run}": str(method.optimisation.batch_size)}
                found |= {f"{key}/{d}/{run}": plain(value) for key, value in settings.items() if key in ("gradient-weight", "temperature")}
                for key in ("augmentation", "corruption"):  # a variant's, where it differs from its row's
                    changed = {name: value for name, value in settings.get(key, {}).items() if value != of_row[key][name]}
                    found |= {f"{key}/{d}/{run}": described(changed, {})} if changed else {}
    for name, steps in {"train": ["train"], "evaluate": ["evaluate"], "total": ["train", "evaluate"]}.items() if times else ():
        found[f"hours-{name}"] = f"{sum(sum(jobs) for (_, _, step), jobs in times.items() if step in steps) / 3600:.2f}"
    return found


def macros(found: Estimates, alike: dict[str, str], facts: dict[str, str]) -> str:
    """Every number with its interval and count, the similarities, and the facts."""
    values = {}
    for key, estimate in found.items():
        name, write = "res@" + "/".join(key), partial(rounded, key[2], unit=estimate.unit)
        ends = f"{write(value=estimate.low)} to {write(value=estimate.high)}" if estimate.low is not None else f"n = {estimate.n}"
        values |= {name: write(value=estimate.mean), f"{name}@ci": ends.replace("-", "$-$"), f"{name}@n": str(estimate.n)}
    values |= alike | {f"fact@{name}": escape(text) for name, text in facts.items()}
    return definitions(values)


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    for name in ("results", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    study, results = config.read(arguments.config), arguments.results
    found = summarize.read_summary(results / "summary.csv")
    cells = list(summarize.records(study, results))
    times = seconds(study, results)

    def accuracies(d: str, row: str) -> list[str]:
        return [cell(found, d, row, f"accuracy_{probe}", "test") for probe in ("linear", "mlp", "knn", "head")]

    written = {
        "table_accuracy": side_by_side(study, ["linear", "MLP", "kNN", "head"], accuracies),
        "table_splits": side_by_side(study, ["probe", "train", "val", "test"], partial(splits, found, cells)),
        "table_reconstruction": reconstruction(study, found),
        "table_cost": side_by_side(study, [r"par.\ (M)", "TFLOP", "train (min)", r"eval.\ (min)"], partial(cost, found, times)),
        "table_separability": separability(study, found),
        "table_interpolation": interpolation(study, found),
        "table_ablation": ablation(study, found),
        "table_settings": settings_table(study),
        "table_cells": cells_list(cells),
        "macros": macros(found, similarity(study, results), facts(study, results, cells, times)),
    }
    for name, text in written.items():
        record.write_text(arguments.out / f"{name}.tex", text)


if __name__ == "__main__":
    main()
