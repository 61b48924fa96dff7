"""What a study is: frozen structures, read and checked from a YAML file, and one more for its sweeps.

Every hyper-parameter stands in `config/*.yaml` and nowhere else. `read` refuses unknown keys, wrong types and
impossible values with one sentence that names the file and the key.
"""

import functools
import hashlib
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import yaml
from msgspec import Meta

from latents.settings import (
    Autoencoder,
    AutoencoderPlus,
    Contrastive,
    Decoder,
    Encoder,
    Guided,
    Measurement,
    Name,
    Positive,
    Probe,
    Seed,
    Seeds,
    Strict,
    Variant,
)

ROWS = ("pca", "random", "autoencoder", "autoencoder-plus", "guided", "contrastive", "supcon")
ROWS_WITH_LABELS = ("guided", "supcon")
SHOWN = 12  # images of a split that the figures show
JUDGE = "judge"  # the classifier that is no row; it judges interpolations
# glibc returns every large tensor to the kernel and faults it in again; with these settings of its malloc it keeps them, in one arena
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "67108864", "MALLOC_MMAP_MAX_": "0", "MALLOC_ARENA_MAX": "1"}
DATASETS = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}  # height, width, channels

Settings = TypeVar("Settings")


class Problem(Exception):
    """Bad input: one sentence that names the file or key, what is wrong and what to do."""


def command(main: Callable[[], None]) -> Callable[[], None]:
    """Decorate a step's entry point: a Problem (status 1) or Ctrl-C (130) becomes one line on stderr, without a traceback."""

    @functools.wraps(main)
    def run() -> None:
        try:
            main()
        except Problem as problem:
            sys.exit(f"error: {problem}")
        except KeyboardInterrupt:
            print("interrupted; the same command starts this step again", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)

    return run


class Methods(Strict, frozen=True):
    """The rows that are trained; `pca` and `random` have no hyper-parameters."""

    autoencoder: Autoencoder
    autoencoder_plus: AutoencoderPlus
    guided: Guided
    contrastive: Contrastive
    supcon: Contrastive


class Sweep(Strict, frozen=True):
    """Variants of one row: each names the keys in which it differs from `base`, which itself may differ from the row, as by a shorter budget."""

    seeds: Seeds
    base: dict[str, Any]
    variants: dict[Variant, dict[str, Any]]


class Dataset(Strict, frozen=True):
    """One data set's split, seeds and methods."""

    train: Positive
    validation: Positive
    test: Positive
    split_seed: Seed
    seeds: Seeds
    judge: Guided
    judge_seed: Seed
    methods: Methods
    sweeps: dict[str, dict[Name, Sweep]] = {}  # row -> name -> sweep


class Study(Strict, frozen=True):
    """A whole study. `folder` is where its outputs go, relative to the checkout: '' for the checkout itself, else with a final /."""

    study: str
    folder: Annotated[str, Meta(pattern="^$|/$")]
    note: str  # printed on every page and figure; '' for none
    source: Literal["download", "stand-in"]
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["float32", "bfloat16"]
    threads: Positive
    encoder: Encoder
    probe: Probe
    decoder: Decoder
    measurement: Measurement
    datasets: dict[str, Dataset]

    @property
    def data(self) -> str:
        """Where the data lie: LATENTS_DATA or data/ when they are downloaded, the study's own folder otherwise."""
        if self.source == "stand-in":
            return f"{self.folder}data"
        return os.environ.get("LATENTS_DATA", "data")

    @property
    def checkpoints(self) -> str:
        """Where weights and checkpoints lie: LATENTS_CHECKPOINTS (one folder a study in it) or checkpoints/."""
        outside = os.environ.get("LATENTS_CHECKPOINTS")
        return f"{outside}/{self.study}" if outside else f"{self.folder}checkpoints"

    def dataset(self, name: str) -> Dataset:
        if name not in self.datasets:
            raise Problem(f"data set {name!r} is not in this study; it has {', '.join(self.datasets)}")
        return self.datasets[name]

    def runs(self, dataset: str) -> Iterator[tuple[str, int]]:
        """Every (run, seed) of a data set, the judge left out; a variant's run is `<row>.<sweep>.<variant>`."""
        chosen = self.dataset(dataset)
        for row in ROWS:
            # nothing in PCA itself is random: one cell
            for seed in chosen.seeds[:1] if row == "pca" else chosen.seeds:
                yield row, seed
        for row, sweeps in chosen.sweeps.items():
            for name, sweep in sweeps.items():
                for variant, seed in itertools.product(sweep.variants, sweep.seeds):
                    yield f"{row}.{name}.{variant}", seed

    def cells(self) -> list[tuple[str, str, int]]:
        """Every (data set, run, seed) that is measured."""
        return [(dataset, run, seed) for dataset in self.datasets for run, seed in self.runs(dataset)]

    def judges(self) -> list[tuple[str, str, int]]:
        """The judge of every data set, as a cell; it is trained, never measured."""
        return [(name, JUDGE, dataset.judge_seed) for name, dataset in self.datasets.items()]

    def method(self, dataset: str, run: str) -> Strict | None:
        """The resolved hyper-parameters of a run; None for `pca` and `random`."""
        chosen = self.dataset(dataset)
        if run == JUDGE:
            return chosen.judge
        row, *place = run.split(".", 2)
        try:
            sweep = chosen.sweeps[row][place[0]] if place else None
            changes = sweep.variants[place[1]] if place else {}
        except (KeyError, IndexError):
            row = ""
        if row not in ROWS:
            raise Problem(f"run {run!r} is not in this study; rows are {', '.join(ROWS)}, and a variant is written <row>.<sweep>.<variant>")
        if row in ("pca", "random"):
            return None
        settings = getattr(chosen.methods, row.replace("-", "_"))
        if sweep is None:
            return settings
        return msgspec.convert(merge(merge(msgspec.to_builtins(settings), sweep.base), changes), type(settings))

    def training(self, dataset: str, run: str, seed: int) -> dict[str, Any]:
        """All that decides the weights of a cell, as plain data."""
        chosen, method = self.dataset(dataset), self.method(dataset, run)
        borrowed = isinstance(method, AutoencoderPlus) and not method.residual_decoder
        return {
            "dataset": dataset, "run": run, "seed": seed, "source": self.source, "method": msgspec.to_builtins(method),
            "plain_decoder_channels": chosen.methods.autoencoder.channels if borrowed else None,
            "encoder": msgspec.to_builtins(self.encoder), "decoder_channels": self.decoder.channels,
            "device": self.device, "precision": self.precision, "threads": self.threads,
            "split": [chosen.train, chosen.validation, chosen.test, chosen.split_seed],
        }  # fmt: skip

    def measuring(self, dataset: str, run: str, seed: int) -> dict[str, Any]:
        """All that decides the record of a cell, as plain data."""
        return self.training(dataset, run, seed) | {
            "judge": [msgspec.to_builtins(self.dataset(dataset).judge), self.dataset(dataset).judge_seed],
            **{name: msgspec.to_builtins(getattr(self, name)) for name in ("probe", "decoder", "measurement")},
        }


def digest(plain: Any) -> str:
    """SHA-256 of plain data, independent of the order of its keys."""
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` put over it, mapping by mapping."""
    merged = dict(base)
    for key, value in changes.items():
        old = base.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def plain(path: str | Path) -> Any:
    """A YAML file as plain data; raises Problem when it is missing, no text, no YAML, or names a key twice."""
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), UniqueKeys)
    except FileNotFoundError:
        raise Problem(f"{path}: no such file; the studies that ship are config/study.yaml and config/demo.yaml") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{path}: cannot be read as a text file ({error}); give a YAML file like config/study.yaml") from None
    except yaml.YAMLError as error:
        raise Problem(f"{path}: not valid YAML: {' '.join(str(error).split())}; mend the file at that line") from None


class UniqueKeys(yaml.SafeLoader):
    """YAML in which no mapping names a key twice: of two values the last would win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):  # any other is refused below
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} is there twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse(path: str | Path, kind: type[Settings], content: Any = None) -> Settings:
    """A YAML file, or content read from it, as one of the structures; raises Problem with the file, the key, and what is wrong."""
    try:
        return msgspec.convert(plain(path) if content is None else content, kind)
    except msgspec.ValidationError as error:
        raise Problem(f"{path}: {error}; mend that key (the keys and their meaning are in src/latents/settings.py and config.py)") from None


def read(path: str | Path) -> Study:
    """Read a study; raises Problem with the file, the key, and what is wrong.

    Its sweeps may stand in a file of their own (data set -> row -> name -> sweep), which the key `sweeps` names.
    """
    content = plain(path)
    beside = content.pop("sweeps", None) if isinstance(content, dict) else None
    if beside is not None:
        file = Path(path).parent / str(beside)
        datasets = content.get("datasets")
        for name, sweeps in parse(file, dict[str, dict[str, dict[Name, Sweep]]]).items():
            if not isinstance(datasets, dict) or not isinstance(datasets.get(name), dict):
                raise Problem(f"{file}: {name}: not a data set of {path}; take it out, or add it there")
            if "sweeps" in datasets[name]:
                raise Problem(f"{path}: datasets.{name}.sweeps: {file} has sweeps of it too; keep them in one place")
            datasets[name]["sweeps"] = msgspec.to_builtins(sweeps)
    study = parse(path, Study, content)
    for name, dataset in study.datasets.items():
        check(path, name, dataset, study)
    return study


def check(path: str | Path, name: str, dataset: Dataset, study: Study) -> None:
    """What the types of one data set's settings cannot say; raises Problem."""
    place = f"{path}: datasets.{name}"
    if name not in DATASETS:
        raise Problem(f"{place}: unknown data set; known are {', '.join(DATASETS)}")
    lists = {"seeds": dataset.seeds} | {f"sweeps.{row}.{key}.seeds": one.seeds for row, some in dataset.sweeps.items() for key, one in some.items()}
    for key, seeds in lists.items():
        if len(set(seeds)) < len(seeds):
            raise Problem(f"{place}.{key}: {seeds} names a seed twice; each counts as a run of its own")
    for key, seed in (("split-seed", dataset.split_seed), ("judge-seed", dataset.judge_seed)):
        if any(seed in seeds for seeds in lists.values()):
            raise Problem(f"{place}.{key}: {seed} is a training seed too; choose another")
    for key in ("validation", "test"):
        if (size := getattr(dataset, key)) <= max(SHOWN, study.probe.knn_k):
            raise Problem(f"{place}.{key}: {size} images are too few to measure; take more than {SHOWN} and than knn-k")
    for row in dataset.sweeps:
        if row not in ROWS[2:]:
            raise Problem(f"{place}.sweeps.{row}: not a row that is trained; those are {', '.join(ROWS[2:])}")
    for run, _ in study.runs(name):
        try:
            study.method(name, run)
        except msgspec.ValidationError as error:
            raise Problem(f"{place}.sweeps.{run}: {error}; mend that key") from None
    for row, key, sweep in ((row, key, sweep) for row, some in dataset.sweeps.items() for key, sweep in some.items()):
        for one, other in itertools.combinations(sweep.variants, 2):
            if study.method(name, f"{row}.{key}.{one}") == study.method(name, f"{row}.{key}.{other}"):
                raise Problem(f"{place}.sweeps.{row}.{key}: {one} and {other} are the same settings; take one out")
