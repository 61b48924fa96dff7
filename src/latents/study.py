"""What a study is: frozen structures with its settings, and the runs that it consists of.

All hyper-parameters are in `config/*.yaml` and nowhere else; `latents.config` reads them.
"""

import itertools
import os
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, Self

import msgspec

from latents.cli import Problem
from latents.methods import METHODS
from latents.methods.settings import Guided, MethodSettings
from latents.metrics import Measurement, ProbeSettings
from latents.plain import merge
from latents.settings import Decoder, Encoder, Name, Positive, Seed, Seeds, Strict, Threads, Variant

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
        if not (found := re.fullmatch(r"([^/]+)/([^/]+)/seed(0|[1-9][0-9]{0,9})", text)):
            raise Problem(f"{text}: not a run; write <data set>/<method>/seed<k>, like mnist/guided/seed1")
        return cls(found[1], found[2], int(found[3]))


class Sweep(Strict, frozen=True):
    """Variants of a method.

    Each variant changes `base`, and `base` may change the method's settings, for example to a shorter budget.
    """

    seeds: Seeds
    base: dict[str, Any]
    variants: dict[Variant, dict[str, Any]]
    encoder: Encoder | None = None  # of all its variants, if not that of the data set


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
    # if not that of the study
    encoder: Encoder | None = None
    precision: Literal["float32", "bfloat16"] | None = None


class Study(Strict, frozen=True, kw_only=True):
    """A whole study, as returned by `read`.

    `study` is its name, part of paths. `folder` is where its outputs go, relative to the checkout: '' for the
    checkout itself, else it ends in /.
    """

    study: str
    folder: str
    note: str  # printed on every page and figure; '' for none
    source: Literal["download", "stand-in"]
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: chosen by latents.machine
    threads: Threads
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
        return os.environ.get("LATENTS_DATA") or "data"

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

    def is_first(self, run: Run) -> bool:
        """Whether a run is the first seed of a method itself, on which more is measured."""
        return run.variant == "main" and run.seed == self.dataset(run.dataset).seeds[0]

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

    def encoder_of(self, run: Run) -> Encoder:
        """The encoder of a run: that of its sweep, else of its data set, else of the study."""
        chosen, (base, *place) = self.dataset(run.dataset), run.method.split(".", 2)
        sweep = chosen.sweeps[base][place[0]] if place else None
        return (sweep and sweep.encoder) or chosen.encoder or self.encoder

    def precision_of(self, dataset: str) -> str:
        """The precision of a data set's runs: its own, else that of the study."""
        return self.dataset(dataset).precision or self.precision

    def start(self, run: Run) -> Run | None:
        """The run whose trained encoder is the start of this one's; None for all that begin anew."""
        method = self.settings(run.dataset, run.method).start
        return Run(run.dataset, method, run.seed) if method else None

    def plain_channels(self, run: Run) -> tuple[int, int, int] | None:
        """Channels of the plain decoder if the run uses that of `autoencoder`, else None."""
        return self.settings(run.dataset, run.method).plain_channels(self.datasets[run.dataset].methods)

    def training(self, run: Run) -> dict[str, Any]:
        """Everything that determines the weights of a run, as plain data."""
        chosen, start = self.dataset(run.dataset), self.start(run)
        found = {
            "dataset": run.dataset,
            "run": run.method,
            "seed": run.seed,
            "source": self.source,
            "method": msgspec.to_builtins(self.settings(run.dataset, run.method)) or None,
            "plain_decoder_channels": self.plain_channels(run),
            "encoder": msgspec.to_builtins(self.encoder_of(run)),
            "decoder_channels": self.decoder.channels,
            "device": self.device,
            "precision": self.precision_of(run.dataset),
            "threads": self.threads,
            "split": [chosen.train, chosen.validation, chosen.test, chosen.split_seed],
        }
        return found | ({"start": self.training(start)} if start else {})

    def yardsticks(self, dataset: str) -> dict[str, Any]:
        """Everything that determines the yardsticks of a data set, as plain data."""
        chosen = self.dataset(dataset)
        return {
            "dataset": dataset,
            "source": self.source,
            "device": self.device,
            "threads": self.threads,
            "split": [chosen.train, chosen.validation, chosen.test, chosen.split_seed],
            "probe": msgspec.to_builtins(self.probe),
            "bits": self.measurement.bits,
            "sample": [self.measurement.sample, self.measurement.seed],
        }

    def measuring(self, run: Run) -> dict[str, Any]:
        """Everything that determines the record of a run, as plain data."""
        chosen = self.dataset(run.dataset)
        classifier = [msgspec.to_builtins(chosen.reference_classifier), chosen.reference_classifier_seed]
        parts = {
            name: msgspec.to_builtins(getattr(self, name)) for name in ("probe", "decoder", "measurement")
        }
        more = {"first": True} if self.is_first(run) and self.measurement.of_first_seeds else {}
        return self.training(run) | {"reference_classifier": classifier} | parts | more
