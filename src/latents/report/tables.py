r"""The paper's tables and number macros, from summary.csv, the records, the times, the configuration and
paper/tuning.yaml.

    python -m latents.report.tables --config config/study.yaml --results results --out paper/generated

Writes table_<name>.tex for each of TABLES (tabulars alone: floats and captions are the paper's) and
macros.tex, which defines for each line of summary.csv

    res@<dataset>/<method>/<metric>/<split>   the mean, rounded; `train_flops` in TFLOP
    res@<...>@n                               the number of seeds
    res@cka/<dataset>/<method>/<method>       linear CKA of two methods; of seeds of one, where it has several

also method@<method> (its printed name), figure@<name> for each figure that the study has, the lists
\allmethods, \labelfree and \trained, and fact@<name> for facts of the study (see `facts`). Takes about a
second. The paper loads booktabs, siunitx and array.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from statistics import fmean

from latents import cli, config, record
from latents.methods import METHODS
from latents.metrics import NUISANCES, PROBES, YARDSTICKS, fixed
from latents.report import style, summarize, tuning
from latents.report.facts import Record, Times, facts, joined, seconds
from latents.report.macros import macros
from latents.report.page import TABLES
from latents.report.settings_table import methods_table, settings_table
from latents.report.summarize import Estimates
from latents.report.tex import DASH, Group, cell, emphasised, rounded, tabular
from latents.study import Study

SWEEPS = {"ablation": "shortened budget", "trade": "a budget of its own"}  # those of the table: as printed
CODELESS = "without a code"  # the group of the yardsticks
LABELLED = {False: "trained without labels", True: "trained with labels"}
Lines = dict[str, Callable[[str], list[str]]]  # the first cell of a line -> a data set's cells
SEPARABILITY = {  # metric: head
    "silhouette": "silh.",
    "scatter_ratio": "scatter",
    "knn_purity": "purity",
    "alignment": "align.",
    "uniformity": "unif.",
    "effective_rank": "rank",
}


def beside(study: Study, heads: list[str], groups: dict[str, Lines], better: Sequence[int] = ()) -> str:
    """Groups of lines by title, data sets beside one another as far as the page is wide enough.

    The best of each group of methods is bold, as `emphasised` takes it from `better`.
    """
    made = {
        dataset: {
            title: emphasised(
                [cells(dataset) for cells in lines.values()], () if title == CODELESS else better
            )
            for title, lines in groups.items()
        }
        for dataset in study.datasets
    }
    every = itertools.chain(*(lines for one in made.values() for lines in one.values()))
    intervals = any(r"\pm" in text for line in every for text in line)
    step = 2 if len(heads) <= (4 if intervals else 6) else 1
    names, tables = list(made), []
    for shown in (names[first : first + step] for first in range(0, len(names), step)):
        body = [
            (
                title,
                [
                    [name, *itertools.chain(*(made[dataset][title][row] for dataset in shown))]
                    for row, name in enumerate(lines)
                ],
            )
            for title, lines in groups.items()
        ]
        over = [(style.dataset_name(study, dataset), len(heads)) for dataset in shown]
        tables.append(tabular(["", *heads * len(shown)], body, over))
    return "\\par\\medskip\n".join(tables)


def by_method(
    study: Study,
    heads: list[str],
    cells: Callable[[str, str], list[str]],
    *yardsticks: tuple[str, str],
    better: Sequence[int] = (),
    by_labels: bool = False,
) -> str:
    """A line for each method, and for each yardstick (its name, as printed): its cells under the heads.

    A yardstick that was not measured, as in older runs, is left out. Methods with and without labels may be
    groups of their own.
    """
    groups: dict[str, Lines] = {}
    for method in study.methods:
        title = LABELLED[METHODS[method].sees_labels] if by_labels else ""
        groups.setdefault(title, {})[style.name(method)] = partial(cells, method=method)
    others = {label: partial(cells, method=f"yardsticks.{name}") for name, label in yardsticks}
    measured = {label: one for label, one in others.items() if {*one(next(iter(study.datasets)))} != {DASH}}
    if measured:
        groups[CODELESS] = measured
    return beside(study, heads, groups, better)


def accuracy(study: Study, found: Estimates) -> str:
    """Every probe that was measured, on test."""
    probes = summarize.probes_in(found)

    def cells(dataset: str, method: str) -> list[str]:
        return [cell(found, dataset, method, f"accuracy_{probe}", "test") for probe in probes]

    heads, better = [PROBES[probe].short for probe in probes], [1] * len(probes)
    return by_method(study, heads, cells, ("pixels", "raw pixels"), better=better, by_labels=True)


def splits(study: Study, found: Estimates, records: list[Record]) -> str:
    """The probe that is chosen on val (both, where the seeds differ) and its accuracy on each split."""

    def cells(dataset: str, method: str) -> list[str]:
        own = [one for one in records if (one["dataset"], one["run"]) == (dataset, method)]
        names = joined(PROBES[one["probe_chosen_on_val"]].short for one in own)
        accuracies = (
            cell(found, dataset, method, "accuracy_best", split) for split in ("train", "val", "test")
        )
        return [f"{{{names}}}", *accuracies]

    return by_method(study, ["probe", "train", "val", "test"], cells, better=(0, 0, 0, 1), by_labels=True)


def reconstruction(study: Study, found: Estimates) -> str:
    """Both errors with their intervals; for those of PSNR and SSIM there is no room."""

    def cells(dataset: str, method: str) -> list[str]:
        errors = [cell(found, dataset, method, metric, "test") for metric in ("mae", "mae_frozen")]
        means = (found.get((dataset, method, metric, "test")) for metric in ("psnr", "ssim"))
        return errors + [
            rounded(metric, one.mean) if one else DASH
            for metric, one in zip(("psnr", "ssim"), means, strict=True)
        ]

    yardsticks = [(name, look.short) for name, look in YARDSTICKS.items()]
    return by_method(study, ["MAE", "frozen", "PSNR", "SSIM"], cells, *yardsticks, better=(-1, -1, 1, 1))


def separability(study: Study, found: Estimates) -> str:
    """Means alone: twelve columns leave no room for intervals, which the figure of the same name draws."""

    def cells(dataset: str, method: str) -> list[str]:
        return [rounded(metric, found[dataset, method, metric, "test"].mean) for metric in SEPARABILITY]

    return by_method(study, list(SEPARABILITY.values()), cells, better=(1, 1, 1, 0, 0, 0))


def stacked(study: Study, cells: Callable[[str, str], list[str]]) -> list[Group]:
    """A group for each data set, with a line for each method."""
    return [
        (
            style.dataset_name(study, dataset),
            [[style.name(method), *cells(dataset, method)] for method in study.methods],
        )
        for dataset in study.datasets
    ]


def nuisance(study: Study, found: Estimates) -> str:
    """R^2 on test, data set by data set: means over seeds; dashes where it was not measured."""

    def cells(dataset: str, method: str) -> list[str]:
        means = [found.get((dataset, method, f"nuisance_{name}", "test")) for name in NUISANCES]
        return [fixed(one.mean, 2) if one else DASH for one in means]

    heads = ["", *(label.replace("stroke ", "") for label in NUISANCES.values())]
    return tabular(heads, stacked(study, cells))


def further(study: Study, found: Estimates) -> str:
    """Of first seeds: errors of decoders by epochs, probes on features beside the code, and noisy codes.

    What the study does not measure has no columns.
    """
    settings, share = study.measurement, f"{100 * study.measurement.features_share:g}pct"
    epochs = {"mae_frozen": study.decoder.optimisation.epochs}
    epochs |= {f"mae_frozen_{one}_epochs": one for one in study.decoder.epochs_curve}
    spans = [("MAE, by epochs of the decoder", {name: str(one) for name, one in epochs.items()})]
    if settings.features_share:
        for name in (name for name, probe in PROBES.items() if probe.few_labels):
            names = {f"accuracy_{name}_{share}": "code", f"accuracy_{name}_features_{share}": "features"}
            spans.append((PROBES[name].short, names))
    if settings.noise:
        noise = {f"accuracy_mlp_noise_{level:g}": f"{level:g}" for level in settings.noise}
        spans.append(("MLP, by noise", noise))
    columns = {name: head for _, some in spans for name, head in some.items()}

    def cells(dataset: str, method: str) -> list[str]:
        means = [found.get((dataset, method, name, "test")) for name in columns]
        return [rounded(name, one.mean) if one else DASH for name, one in zip(columns, means, strict=True)]

    over = [(title, len(some)) for title, some in spans]
    return tabular(["", *columns.values()], stacked(study, cells), over)


def interpolation(study: Study, found: Estimates) -> str:
    """Images decoded along straight lines of code; the cross-fade of the pixels, which is no method's."""
    decoded = ("path_length", "class_changes", "class_changes_pairs", "reference_classifier_accuracy_decoded")
    faded = ("path_length_pixels", "class_changes_pixels", "class_changes_pixels_pairs")
    faded += ("reference_classifier_accuracy",)

    def number(dataset: str, method: str, metric: str) -> str:
        """A dash where not all seeds have a mean: the pairs beside it are those of all seeds."""
        key, pairs = (dataset, method, metric, "test"), (dataset, method, f"{metric}_pairs", "test")
        fewer = key in found and pairs in found and found[key].n < found[pairs].n
        return DASH if fewer else cell(found, *key)

    def cells(dataset: str, method: str, metrics: tuple[str, ...]) -> list[str]:
        return [number(dataset, method, metric) for metric in metrics]

    lines = {style.name(method): partial(cells, method=method, metrics=decoded) for method in study.methods}
    lines["Cross-fade"] = partial(cells, method=study.methods[0], metrics=faded)
    return beside(study, ["length", "changes", "pairs", r"acc.\ (\%)"], {"": lines})


def ablation(study: Study, found: Estimates) -> str:
    """Variants: what they are chosen by, on val, and MAE and accuracy of the better probe on test."""
    # the classification head is a part of its method
    probes = [probe for probe in summarize.probes_in(found) if probe != "head"]
    on_val = ["mae", *(f"accuracy_{probe}" for probe in probes)]
    columns = [*((metric, "val") for metric in on_val), ("mae", "test"), ("accuracy_best", "test")]
    groups: list[Group] = []
    for dataset, chosen in study.datasets.items():
        for method, sweeps in chosen.sweeps.items():
            for sweep in (sweep for sweep in SWEEPS if sweep in sweeps):
                lines = []
                for name in sweeps[sweep].variants:
                    place = dataset, f"{method}.{sweep}.{name}"
                    lines.append(
                        [name.replace("-", " "), *(cell(found, *place, *column) for column in columns)]
                    )
                title = f"{style.dataset_name(study, dataset)}, {style.name(method)}, {SWEEPS[sweep]}"
                if own := sweeps[sweep].encoder:
                    title += ", encoder of {}, {} and {} channels".format(*own.widths)
                groups.append((title, lines))
    heads = ["", "MAE", *(PROBES[probe].short for probe in probes), "MAE", "probe"]
    return tabular(heads, groups or [("none in this configuration", [])], [("val", len(on_val)), ("test", 2)])


def cost(study: Study, found: Estimates, times: Times) -> str:
    """Parameters in millions, training in 10^12 operations, and the minutes of a seed's two jobs."""

    def cells(dataset: str, method: str) -> list[str]:
        parameters, flops = (
            found[dataset, method, metric, "-"].mean for metric in ("parameters", "train_flops")
        )
        steps = ("train", "evaluate")
        minutes = [fixed(fmean(times[dataset, method, step]) / 60, 1) if times else DASH for step in steps]
        return [fixed(parameters / 1e6, 2), rounded("train_flops", flops), *minutes]

    return by_method(study, [r"par.\ (M)", "TFLOP", "train (min)", r"eval.\ (min)"], cells)


@cli.command
def main() -> None:
    options = cli.parser(__doc__, "config", paths=("results", "out")).parse_args()
    study, results = config.read(options.config), options.results
    found = summarize.read_summary(results / "summary.csv")
    summarize.check_summary(found, study, results)
    records = list(summarize.records(study, results))
    times = seconds(study, results)
    tables = {
        "settings": settings_table(study),
        "tuning": tuning.tuning_table(study, tuning.read(record.ROOT / "paper/tuning.yaml")),
        "accuracy": accuracy(study, found),
        "splits": splits(study, found, records),
        "reconstruction": reconstruction(study, found),
        "separability": separability(study, found),
        "nuisance": nuisance(study, found),
        "further": further(study, found),
        "interpolation": interpolation(study, found),
        "ablation": ablation(study, found),
        "cost": cost(study, found, times),
        "methods": methods_table(study),
    }
    texts = {f"table_{name}": tables[name] for name in TABLES}
    texts["macros"] = macros(study, results, found, facts(study, results, records, times))
    for name, text in texts.items():
        record.write_text(options.out / f"{name}.tex", text)


if __name__ == "__main__":
    main()
