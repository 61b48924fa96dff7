"""Facts of the study as plain text, for the paper's sentences: fact@<name> in macros.tex."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from latents import record
from latents.metrics import fixed
from latents.plain import load_yaml
from latents.report import style
from latents.report.read import read_record
from latents.report.settings_table import described, plain
from latents.settings import Encoder
from latents.study import REFERENCE_CLASSIFIER, Run, Study

Facts = dict[str, str]
Record = dict[str, Any]
Times = dict[tuple[str, str, str], list[float]]  # data set, method or variant, train or evaluate -> seconds
CORES = re.compile(r" \(\d+ cores\)")  # at the end of a processor's name
STEPS = {"train": ("train",), "evaluate": ("evaluate",), "total": ("train", "evaluate")}


class Timing(TypedDict):
    """What is read of a timing file."""

    seconds: float


def seconds(study: Study, results: Path) -> Times:
    """Seconds of each seed's jobs; the reference classifiers are trained only.

    Nothing for a stand-in: times would be no result, and without them a repeated demo is the same bytes.
    """
    if study.source == "stand-in":
        return {}
    jobs = [(run, step) for run in study.runs() for step in ("train", "evaluate")]
    jobs += [(run, "train") for run in study.reference_classifiers().values()]
    found: Times = {}
    for run, step in jobs:
        timing = read_record(results / "timing" / f"{run}.{step}.json", Timing)
        found.setdefault((run.dataset, run.method, step), []).append(timing["seconds"])
    return found


def joined(values: Iterable[Any]) -> str:
    """What the values agree on, once; else all of them."""
    return ", ".join(dict.fromkeys(map(str, values)))


def of_datasets(study: Study, records: list[Record], key: str, form: str, between: str) -> str:
    """What the records have under a key: once where it is one, else by data set, in this form."""
    found = {d: joined(one[key] for one in records if one["dataset"] == d) for d in study.datasets}
    one, *others = dict.fromkeys(found.values())
    if not others:
        return one
    return between.join(form.format(style.dataset_name(study, d), value) for d, value in found.items())


def precisions(study: Study, records: list[Record]) -> str:
    """The precision of the runs."""
    return of_datasets(study, records, "precision", "{1} on {0}", " and ")


def processors(study: Study, records: list[Record]) -> str:
    """What the runs ran on."""
    return of_datasets(study, records, "processor", "{0}: {1}", "; ")


def machine(one: Record) -> str:
    """What a run was made on: its GPU, if any, and its processor; also the one that it was measured on."""
    gpu = "" if one["device"] == "cpu" else f"{one['device']} and "
    trained, measured = one.get("trained_by", one)["processor"], one["processor"]
    return f"{gpu}{trained}" + (f" (measured on {measured})" if measured != trained else "")


def made_on(records: list[Record]) -> str:
    """Which machines made how many runs, as a sentence without its full stop."""
    (most, count), *others = Counter(map(machine, records)).most_common()
    if not others:
        return f"All runs were made on {most}"
    return ", ".join([f"{count} runs were made on {most}", *(f"{n} on {name}" for name, n in others)])


def mixed(study: Study, records: list[Record]) -> str:
    """The methods whose seeds were made on several kinds of machines, by data set; '' where none were."""
    kinds: dict[tuple[str, str], set[str]] = {}
    for one in records:  # the number of cores changes no result: a study sets its threads
        kinds.setdefault((one["dataset"], one["run"]), set()).add(CORES.sub("", machine(one)))
    found: dict[str, list[str]] = {}
    for dataset, run in (place for place, some in kinds.items() if len(some) > 1):
        method, *variant = run.split(".")
        found.setdefault(dataset, []).append(" ".join([style.name(method), *variant]))
    return "; ".join(f"{style.dataset_name(study, one)}: {', '.join(some)}" for one, some in found.items())


def facts(study: Study, results: Path, records: list[Record], times: Times) -> Facts:
    """All facts; those that come from times stand last."""
    found = citation() | copy_facts(study, results, records) | protocol_facts(study)
    for dataset in study.datasets:
        found |= dataset_facts(study, dataset, records)
    for name, steps in STEPS.items() if times else ():
        spent = sum(sum(jobs) for (_, _, step), jobs in times.items() if step in steps)
        found[f"hours-{name}"] = fixed(spent / 3600, 2)
    return found


def citation() -> Facts:
    """Authors, version and date as CITATION.cff has them."""
    cited = load_yaml(record.ROOT / "CITATION.cff")
    return {
        "authors": joined(author["name"] for author in cited["authors"]),
        "version": str(cited["version"]),
        "date": str(cited["date-released"]),
    }


def copy_facts(study: Study, results: Path, records: list[Record]) -> Facts:
    """What this copy of the paper was made of, and where."""
    found = {
        "config-name": study.study,
        "note": "from reference" if results.name == "reference" else study.note,
        "several-seeds": str(int(any(len(one.seeds) > 1 for one in study.datasets.values()))),
        "is-demo": str(int(study.source == "stand-in")),
        "build-hash": record.tree_sha256(record.build_files())[:12],
        "source-hash": joined(one["source_sha256"][:12] for one in records),
        "torch-version": joined(one["versions"]["torch"] for one in records),
    }
    found |= {key: joined(one[key] for one in records) for key in ("device", "threads")}
    found["precision"] = precisions(study, records)
    return found | {"made-on": made_on(records), "mixed": mixed(study, records)}


def protocol_facts(study: Study) -> Facts:
    """Settings that hold for all runs."""
    probe, measurement, alignment = study.probe, study.measurement, study.measurement.alignment
    return {
        "linear-c": ", ".join(map(plain, probe.linear_c)),
        "mlp-decay": ", ".join(map(plain, probe.mlp_weight_decay)),
        "mlp-epochs": str(probe.mlp_epochs),
        "mlp-batch": str(probe.mlp_batch_size),
        "mlp-dropout": plain(probe.mlp_dropout),
        "mlp-rate": plain(probe.mlp_learning_rate),
        "knn-k": str(probe.knn_k),
        "linear-iterations": str(probe.linear_iterations),
        "knn-temperature": plain(probe.knn_temperature),
        "mlp-hidden": " and ".join(map(str, probe.mlp_hidden)),
        "pairs": str(measurement.pairs),
        "fewest-pairs": str(measurement.fewest_pairs),
        "silhouette-points": str(measurement.silhouette_points),
        "nuisance-copies": str(measurement.nuisance_copies),
        "tsne-points": str(measurement.tsne_points),
        "sample": str(measurement.sample),
        "tsne-perplexity": plain(measurement.tsne_perplexity),
        "tsne-neighbours": str(measurement.tsne_neighbours),
        "features-share": plain(100 * measurement.features_share),
        "alignment-shift": str(alignment.pad_crop),
        "alignment-contrast": joined(map(plain, (alignment.brightness, alignment.contrast))),
        "alignment-noise": plain(alignment.noise),
        "decoder-epochs": str(study.decoder.optimisation.epochs),
        "encoder-widths": widths(study),
    }


def channels(encoder: Encoder) -> str:
    """Channels of an encoder's three blocks, in words."""
    return "{}, {} and {}".format(*encoder.widths)


def widths(study: Study) -> str:
    """Channels of the encoder's three blocks; of each data set, where they differ."""
    found = {name: channels(chosen.encoder or study.encoder) for name, chosen in study.datasets.items()}
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return "; ".join(f"{one} on {style.dataset_name(study, name)}" for name, one in found.items())


def dataset_facts(study: Study, dataset: str, records: list[Record]) -> Facts:
    """Names, hashes, numbers of images and seeds of one data set, and the settings of its runs."""
    first, chosen = next(one for one in records if one["dataset"] == dataset), study.dataset(dataset)
    found = {
        f"dataset-name/{dataset}": style.dataset_name(study, dataset),
        f"data-hash/{dataset}": first["data_sha256"][:12],
        f"split-hash/{dataset}": first["split_sha256"][:12],
        f"seeds/{dataset}": joined(chosen.seeds),
        f"train-images/{dataset}": str(chosen.train),
        f"val-images/{dataset}": str(chosen.validation),
        f"test-images/{dataset}": str(chosen.test),
    }
    for name in dict.fromkeys([*(run.method for run in study.runs(dataset)), REFERENCE_CLASSIFIER]):
        found |= training_facts(study, dataset, name)
    return found


def training_facts(study: Study, dataset: str, name: str) -> Facts:
    """Budget and settings of a method or variant; of a variant, how its views differ from its method's."""
    chosen = study.settings(dataset, name)
    if chosen.optimisation is None:
        return {}
    settings, base = (
        msgspec.to_builtins(study.settings(dataset, one)) for one in (name, name.partition(".")[0])
    )
    place = f"{dataset}/{name}"
    found = {
        f"epochs/{place}": str(chosen.optimisation.epochs),
        f"batch/{place}": str(chosen.optimisation.batch_size),
        f"widths/{place}": channels(study.encoder_of(Run(dataset, name, 0))),
    }
    told = ("gradient-weight", "temperature", "contrastive-size")
    found |= {f"{key}/{place}": plain(settings[key]) for key in told if key in settings}
    for key in ("augmentation", "corruption"):
        changed = {k: value for k, value in settings.get(key, {}).items() if value != base[key][k]}
        found |= {f"{key}/{place}": described(changed, {})} if changed else {}
    return found
