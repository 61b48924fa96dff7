"""The configuration of a study: frozen structures, read from a YAML file and, for sweeps, a second one.

All hyper-parameters are in `config/*.yaml` and nowhere else. `read` rejects unknown keys, wrong types and
impossible values with one sentence that names the file and the key.
"""

import hashlib
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import msgspec
from msgspec import Meta

from latents.cli import Problem
from latents.datasets import DATASETS
from latents.measures import Measurement, ProbeSettings
from latents.methods import METHODS, Guided, MethodSettings
from latents.settings import Decoder, Encoder, Name, Positive, Seed, Seeds, Strict, Variant
from latents.yaml_file import converted, load_yaml, parse

SHOWN = 12  # number of images of a split that the figures show
# takes the place of a method's name; its accuracy on decoded images is measured
REFERENCE_CLASSIFIER = "reference-classifier"
# by default glibc returns the memory of large tensors to the kernel and faults it in again; with these
# settings malloc keeps it, in one arena
ALLOCATOR = {
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "67108864",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_ARENA_MAX": "1",
}


class Run(NamedTuple):
    """One method or variant, one data set, one seed.

    A variant is written `<method>.<sweep>.<variant>`.
    """

    dataset: str
    method: str
    seed: int

    def __str__(self) -> str:
        return f"{self.dataset}/{self.method}/seed{self.seed}"

    @property
    def path(self) -> str:
        """`<data set>/<method>/seed<k>`: the path of its files, without folder and suffix."""
        return str(self)

    @property
    def base(self) -> str:
        """The method; of a variant, the method it varies."""
        return self.method.partition(".")[0]

    @property
    def variant(self) -> str:
        """`<sweep>.<variant>`, or `main`."""
        return self.method.partition(".")[2] or "main"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The run with the path `text`. Raises Problem if it is not such a path."""
        if not (found := re.fullmatch(r"([^/]+)/([^/]+)/seed(0|[1-9][0-9]*)", text)):
            raise Problem(f"{text}: not a run; write <data set>/<method>/seed<k>, like mnist/guided/seed1")
        return cls(found[1], found[2], int(found[3]))


class Sweep(Strict, frozen=True):
    """Variants of a method.

    Each variant changes `base`, and `base` may change the method's settings, for example to a shorter budget.
    """

    seeds: Seeds
    base: dict[str, Any]
    variants: dict[Variant, dict[str, Any]]


class DatasetSettings(Strict, frozen=True):
    """Split, seeds, methods and sweeps of one data set."""

    train: Positive
    validation: Positive
    test: Positive
    split_seed: Seed
    seeds: Seeds
    reference_classifier: Guided
    reference_classifier_seed: Seed
    methods: dict[str, Any]  # method -> its MethodSettings, once `from_plain` has checked them
    # method -> sweep name -> sweep
    sweeps: dict[str, dict[Name, Sweep]] = msgspec.field(default_factory=dict)


class Study(Strict, frozen=True):
    """A whole study, as returned by `read`.

    `folder` is where its outputs go, relative to the checkout: '' for the checkout itself, else it ends in /.
    """

    study: str
    folder: Annotated[str, Meta(pattern="^$|/$")]
    note: str  # printed on every page and figure; '' for none
    source: Literal["download", "stand-in"]
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["float32", "bfloat16"]
    threads: Positive
    encoder: Encoder
    probe: ProbeSettings
    decoder: Decoder
    measurement: Measurement
    datasets: dict[str, DatasetSettings]

    @property
    def data(self) -> str:
        """Folder of the data: LATENTS_DATA or data/ if downloaded, else data/ in the study's folder."""
        if self.source == "stand-in":
            return f"{self.folder}data"
        return os.environ.get("LATENTS_DATA", "data")

    @property
    def checkpoints(self) -> str:
        """Folder of weights and checkpoints.

        It is LATENTS_CHECKPOINTS/<study> if that is set, else checkpoints/ in the study's folder.
        """
        outside = os.environ.get("LATENTS_CHECKPOINTS")
        return f"{outside}/{self.study}" if outside else f"{self.folder}checkpoints"

    @property
    def methods(self) -> tuple[str, ...]:
        """The study's methods, the same for all its data sets, in the order of METHODS."""
        first = next(iter(self.datasets.values()))
        return tuple(name for name in METHODS if name in first.methods)

    @property
    def trained_methods(self) -> tuple[str, ...]:
        """The methods that are trained: all but `pca` and `random`."""
        first = next(iter(self.datasets.values()))
        return tuple(name for name in self.methods if first.methods[name].optimisation)

    def dataset(self, name: str) -> DatasetSettings:
        """The settings of a data set. Raises Problem if the study does not have it."""
        if name not in self.datasets:
            raise Problem(f"data set {name!r} is not in this study; it has {', '.join(self.datasets)}")
        return self.datasets[name]

    def runs(self, dataset: str | None = None) -> list[Run]:
        """All runs that are measured, of one data set or of all."""
        names = self.datasets if dataset is None else [dataset]
        return [run for name in names for run in self._runs(name)]

    def _runs(self, dataset: str) -> Iterator[Run]:
        chosen = self.dataset(dataset)
        for method in self.methods:
            for seed in chosen.seeds if METHODS[method].seeded else chosen.seeds[:1]:
                yield Run(dataset, method, seed)
        for method, sweeps in chosen.sweeps.items():
            for name, sweep in sweeps.items():
                for variant, seed in itertools.product(sweep.variants, sweep.seeds):
                    yield Run(dataset, f"{method}.{name}.{variant}", seed)

    def reference_classifiers(self) -> dict[str, Run]:
        """Data set -> the run of its reference classifier, which is trained but not measured."""
        return {
            name: Run(name, REFERENCE_CLASSIFIER, dataset.reference_classifier_seed)
            for name, dataset in self.datasets.items()
        }

    def settings(self, dataset: str, method: str) -> MethodSettings:
        """Resolved hyper-parameters of a method, a variant or the reference classifier. Raises Problem."""
        chosen = self.dataset(dataset)
        if method == REFERENCE_CLASSIFIER:
            return chosen.reference_classifier
        base, *place = method.split(".", 2)
        try:
            settings = chosen.methods[base]
            sweep = chosen.sweeps[base][place[0]] if place else None
            changes = sweep.variants[place[1]] if sweep else {}
        except (KeyError, IndexError):
            raise Problem(
                f"method {method!r} is not in this study; methods are {', '.join(self.methods)}, "
                "and a variant is written <method>.<sweep>.<variant>"
            ) from None
        if sweep is None:
            return settings
        return msgspec.convert(
            merge(merge(msgspec.to_builtins(settings), sweep.base), changes), type(settings)
        )

    def plain_channels(self, run: Run) -> tuple[int, int, int] | None:
        """Channels of the plain decoder if the run uses that of `autoencoder`, else None."""
        return self.settings(run.dataset, run.method).plain_channels(self.datasets[run.dataset].methods)

    def training(self, run: Run) -> dict[str, Any]:
        """Everything that determines the weights of a run, as plain data."""
        chosen = self.dataset(run.dataset)
        return {
            "dataset": run.dataset,
            "run": run.method,
            "seed": run.seed,
            "source": self.source,
            "method": msgspec.to_builtins(self.settings(run.dataset, run.method)) or None,
            "plain_decoder_channels": self.plain_channels(run),
            "encoder": msgspec.to_builtins(self.encoder),
            "decoder_channels": self.decoder.channels,
            "device": self.device,
            "precision": self.precision,
            "threads": self.threads,
            "split": [chosen.train, chosen.validation, chosen.test, chosen.split_seed],
        }

    def measuring(self, run: Run) -> dict[str, Any]:
        """Everything that determines the record of a run, as plain data."""
        chosen = self.dataset(run.dataset)
        classifier = [msgspec.to_builtins(chosen.reference_classifier), chosen.reference_classifier_seed]
        parts = {
            name: msgspec.to_builtins(getattr(self, name)) for name in ("probe", "decoder", "measurement")
        }
        return self.training(run) | {"reference_classifier": classifier} | parts


def digest(plain: Any) -> str:
    """SHA-256 of plain data, independent of key order."""
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` overridden by `changes`; nested mappings are merged in the same way."""
    merged = dict(base)
    for key, value in changes.items():
        old = base.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def read(path: str | Path) -> Study:
    """Read a study. Raises Problem with the file, the key, and what is wrong.

    The key `sweeps` may name a second file, with data set -> method -> sweep name -> sweep.
    """
    content = load_yaml(path)
    beside = content.pop("sweeps", None) if isinstance(content, dict) else None
    if beside is not None:
        file = Path(path).parent / str(beside)
        datasets = content.get("datasets")
        for name, sweeps in parse(file, dict[str, dict[str, dict[Name, Sweep]]]).items():
            if not isinstance(datasets, dict) or not isinstance(datasets.get(name), dict):
                raise Problem(f"{file}: {name}: not a data set of {path}; take it out, or add it there")
            if "sweeps" in datasets[name]:
                raise Problem(
                    f"{path}: datasets.{name}.sweeps: {file} has sweeps of it too; keep them in one place"
                )
            datasets[name]["sweeps"] = msgspec.to_builtins(sweeps)
    return from_plain(path, content)


def from_plain(path: str | Path, content: Any) -> Study:
    """A study from plain data, checked. Raises Problem with a message that begins with the path."""
    study = parse(path, Study, content)
    if not study.datasets:
        raise Problem(f"{path}: datasets: none; known are {', '.join(DATASETS)}")
    for name, dataset in study.datasets.items():
        place = f"{path}: datasets.{name}"
        if name not in DATASETS:
            raise Problem(f"{place}: unknown data set; known are {', '.join(DATASETS)}")
        for method, settings in dataset.methods.items():
            if method not in METHODS:
                raise Problem(f"{place}.methods.{method}: unknown method; known are {', '.join(METHODS)}")
            dataset.methods[method] = converted(
                f"{place}.methods.{method}", METHODS[method].settings, settings
            )
    for name, dataset in study.datasets.items():
        check(f"{path}: datasets.{name}", name, dataset, study)
    return study


def check(place: str, name: str, dataset: DatasetSettings, study: Study) -> None:
    """Check what types cannot express about one data set's settings. Raises Problem."""
    lists = {"seeds": dataset.seeds} | {
        f"sweeps.{method}.{key}.seeds": one.seeds
        for method, some in dataset.sweeps.items()
        for key, one in some.items()
    }
    for key, seeds in lists.items():
        if len(set(seeds)) < len(seeds):
            raise Problem(f"{place}.{key}: {seeds} names a seed twice; each counts as a run of its own")
    for key in ("split_seed", "reference_classifier_seed"):
        if any(getattr(dataset, key) in seeds for seeds in lists.values()):
            raise Problem(
                f"{place}.{key.replace('_', '-')}: {getattr(dataset, key)} is a training seed too; "
                "choose another"
            )
    for key in ("validation", "test"):
        if (size := getattr(dataset, key)) <= max(SHOWN, study.probe.knn_k):
            raise Problem(
                f"{place}.{key}: {size} images are too few to measure; take more than {SHOWN} and than knn-k"
            )
    if not dataset.methods:
        raise Problem(f"{place}.methods: none; known are {', '.join(METHODS)}")
    if lacking := sorted(set(study.methods) ^ dataset.methods.keys()):
        raise Problem(
            f"{place}.methods: {lacking[0]} is on some data sets of this study and not on others; "
            "add it to all, with {} where it has no settings, or take it out"
        )
    check_sweeps(place, name, dataset, study)


def check_sweeps(place: str, name: str, dataset: DatasetSettings, study: Study) -> None:
    """Check that all variants can be resolved and that those of a sweep differ. Raises Problem."""
    for method in dataset.sweeps:
        if method not in study.trained_methods:
            raise Problem(
                f"{place}.sweeps.{method}: not a method that is trained; "
                f"those are {', '.join(study.trained_methods)}"
            )
    for run in study.runs(name):
        try:
            study.plain_channels(run)
        except (msgspec.ValidationError, ValueError) as error:
            key = "sweeps" if run.variant != "main" else "methods"
            raise Problem(f"{place}.{key}.{run.method}: {error}; mend that key") from None
    for method, key, sweep in (
        (method, key, sweep) for method, some in dataset.sweeps.items() for key, sweep in some.items()
    ):
        for one, other in itertools.combinations(sweep.variants, 2):
            if study.settings(name, f"{method}.{key}.{one}") == study.settings(
                name, f"{method}.{key}.{other}"
            ):
                raise Problem(
                    f"{place}.sweeps.{method}.{key}: {one} and {other} are the same settings; take one out"
                )
