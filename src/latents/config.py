"""What a study is: frozen structures, read and checked from one YAML file.

Every hyper-parameter stands in `config/*.yaml` and nowhere else. `read` refuses unknown keys, wrong types and
impossible values with one sentence that names the file and the key.
"""

import functools
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import yaml
from msgspec import Meta

CODE_SIZE = 128
ROWS = ("pca", "random", "autoencoder", "autoencoder-plus", "guided", "contrastive", "supcon")
ROWS_WITH_LABELS = ("guided", "supcon")
SHOWN = 12  # images of a split that the figures show
JUDGE = "judge"  # the classifier that is no row; it judges interpolations
# glibc returns every large tensor to the kernel and faults it in again; with these settings of its malloc it keeps them
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "67108864", "MALLOC_MMAP_MAX_": "0"}
DATASETS = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}  # height, width, channels

Positive = Annotated[int, Meta(ge=1)]
Several = Annotated[int, Meta(ge=2)]  # batch normalisation needs two
Rate = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
NonNegative = Annotated[float, Meta(ge=0)]
Seed = Annotated[int, Meta(ge=0)]
Seeds = Annotated[list[Seed], Meta(min_length=1)]


Settings = TypeVar("Settings")


class Problem(Exception):
    """Bad input: one sentence that names the file or key, what is wrong and what to do."""


def command(main: Callable[[], None]) -> Callable[[], None]:
    """Decorate a step's entry point: a Problem becomes one line on stderr and exit status 1, without a traceback."""

    @functools.wraps(main)
    def run() -> None:
        try:
            main()
        except Problem as problem:
            sys.exit(f"error: {problem}")

    return run


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Base of every structure here: keys are written in kebab-case, unknown ones are refused."""


class Optimisation(Strict, frozen=True):
    """One-cycle training: the rate rises linearly over `warmup` of the steps, then falls linearly to zero."""

    epochs: Positive
    batch_size: Several
    optimizer: Literal["sgd", "adamw"]
    learning_rate: Rate
    weight_decay: NonNegative
    warmup: Fraction


class Augmentation(Strict, frozen=True):
    """Whole-batch random views; what is left out is off. Amplitudes as in torchvision, but for hue."""

    # alone: pixels of reflected border, then a random crop; with rotate or resized-crop: a shift, bilinear, 0 outside
    pad_crop: Annotated[int, Meta(ge=0, le=27)] = 0
    resized_crop: tuple[Fraction, Fraction] | None = None  # range of area, aspect ratio 3/4 to 4/3
    flip: bool = False
    rotate: NonNegative = 0.0  # degrees, either way
    brightness: NonNegative = 0.0
    contrast: NonNegative = 0.0
    saturation: NonNegative = 0.0
    hue: Annotated[float, Meta(ge=0, le=0.5)] = 0.0  # share of a full turn, in the plane of I and Q
    jitter_probability: Fraction = 1.0
    grayscale: Fraction = 0.0  # probability
    noise: NonNegative = 0.0  # standard deviation of Gaussian noise, on [0, 1]

    def __post_init__(self) -> None:
        if self.resized_crop and not 0 < self.resized_crop[0] <= self.resized_crop[1]:
            raise ValueError(f"resized-crop {list(self.resized_crop)} is no range of areas above 0, the smaller first")


class Autoencoder(Strict, frozen=True):
    """Experiment 1, before: three strided convolutions, L1."""

    optimisation: Optimisation
    channels: tuple[Positive, Positive, Positive]


class AutoencoderPlus(Strict, frozen=True):
    """Experiment 1, after: the shared encoder, a residual decoder with a linear path, varied and corrupted input."""

    optimisation: Optimisation
    augmentation: Augmentation  # of the image that is to be rebuilt
    corruption: Augmentation  # of what the encoder sees of it; it must leave the geometry alone
    clean_fraction: Fraction  # share of each batch that is not corrupted
    linear_path: bool  # encoder's and decoder's linear paths start as the training pixels' PCA, the rest at zero
    linear_rate: Fraction  # learning rate of the linear paths, as a share of the others'
    residual_decoder: bool  # else the plain decoder of experiment 1, before


class Guided(Strict, frozen=True):
    """Experiment 2: encoder and classifier jointly, cross-entropy."""

    optimisation: Optimisation
    augmentation: Augmentation
    label_smoothing: Fraction


class Contrastive(Strict, frozen=True):
    """Experiment 3: NT-Xent (SimCLR) or the supervised contrastive loss over two augmented views."""

    optimisation: Optimisation
    augmentation: Augmentation
    temperature: Rate
    projection: tuple[Positive, Positive]  # hidden and output width of the projection head


class Methods(Strict, frozen=True):
    """The rows that are trained; `pca` and `random` have no hyper-parameters."""

    autoencoder: Autoencoder
    autoencoder_plus: AutoencoderPlus
    guided: Guided
    contrastive: Contrastive
    supcon: Contrastive


class Ablation(Strict, frozen=True):
    """Variants of one row at one shortened budget: each names the keys in which it differs from `base`."""

    method: Literal["autoencoder-plus"]
    seeds: Seeds
    base: dict[str, Any]
    variants: dict[str, dict[str, Any]]


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
    ablation: Ablation | None = None


class Encoder(Strict, frozen=True):
    """The encoder that all rows but `pca` and `autoencoder` share."""

    widths: tuple[Positive, Positive, Positive]


class Probe(Strict, frozen=True):
    """One protocol for all rows: linear (L2 grid on val), MLP (weight-decay grid on val), cosine kNN."""

    linear_c: Annotated[list[Rate], Meta(min_length=1)]
    linear_iterations: Positive
    mlp_hidden: tuple[Positive, Positive]
    mlp_dropout: Fraction
    mlp_weight_decay: Annotated[list[NonNegative], Meta(min_length=1)]
    mlp_epochs: Positive
    mlp_batch_size: Several
    mlp_learning_rate: Rate
    mlp_warmup: Fraction
    knn_k: Positive
    knn_temperature: Rate
    seed: Seed


class Decoder(Strict, frozen=True):
    """The decoder trained on frozen codes, for rows that have none: one budget for all."""

    optimisation: Optimisation
    channels: Annotated[int, Meta(ge=2, multiple_of=2)]  # halved once on the way up
    seed: Seed


class Measurement(Strict, frozen=True):
    """Fixed choices of the remaining measurements; the seed draws images and views, the same for every row."""

    seed: Seed
    silhouette_points: Positive
    alignment: Augmentation
    pairs: Positive  # interpolations that are measured
    fewest_pairs: Positive  # below this no mean number of class changes is given
    tsne_points: Positive
    tsne_perplexity: Rate
    tsne_neighbours: Positive  # of the trustworthiness


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
        """Every (run, seed) of a data set, the judge left out; an ablation's run is `<row>.<variant>`."""
        chosen = self.dataset(dataset)
        for row in ROWS:
            # PCA has no random element: one cell
            for seed in chosen.seeds[:1] if row == "pca" else chosen.seeds:
                yield row, seed
        if chosen.ablation:
            for variant in chosen.ablation.variants:
                for seed in chosen.ablation.seeds:
                    yield f"{chosen.ablation.method}.{variant}", seed

    def cells(self) -> list[tuple[str, str, int]]:
        """Every (data set, run, seed) that is measured."""
        return [(dataset, run, seed) for dataset in self.datasets for run, seed in self.runs(dataset)]

    def judges(self) -> list[tuple[str, str, int]]:
        """The judge of every data set, as a cell; it is trained, never measured."""
        return [(name, JUDGE, dataset.judge_seed) for name, dataset in self.datasets.items()]

    def method(self, dataset: str, run: str) -> Strict | None:
        """The resolved hyper-parameters of a run; None for `pca` and `random`."""
        chosen = self.dataset(dataset)
        row, _, variant = run.partition(".")
        if run == JUDGE:
            return chosen.judge
        if row not in ROWS or (variant and (not chosen.ablation or variant not in chosen.ablation.variants)):
            raise Problem(f"run {run!r} is not in this study; rows are {', '.join(ROWS)}, and an ablation is written <row>.<variant>")
        if row in ("pca", "random"):
            return None
        settings = getattr(chosen.methods, row.replace("-", "_"))
        if not variant:
            return settings
        changed = merge(msgspec.to_builtins(settings), chosen.ablation.base)
        return msgspec.convert(merge(changed, chosen.ablation.variants[variant]), type(settings))

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


def parse(path: str | Path, kind: type[Settings]) -> Settings:
    """Read a YAML file as one of the structures; raises Problem with the file, the key, and what is wrong."""
    try:
        return msgspec.convert(yaml.safe_load(Path(path).read_text(encoding="utf-8")), kind)
    except FileNotFoundError:
        raise Problem(f"{path}: no such configuration; config/study.yaml and config/demo.yaml are the ones that ship") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{path}: cannot be read as a text file ({error}); give a YAML file like config/study.yaml") from None
    except yaml.YAMLError as error:
        raise Problem(f"{path}: not valid YAML: {' '.join(str(error).split())}; mend the file at that line") from None
    except msgspec.ValidationError as error:
        raise Problem(f"{path}: {error}; mend that key (the keys and their meaning are in src/latents/config.py)") from None


def read(path: str | Path) -> Study:
    """Read a study; raises Problem with the file, the key, and what is wrong."""
    study = parse(path, Study)
    for name, dataset in study.datasets.items():
        if name not in DATASETS:
            raise Problem(f"{path}: datasets.{name}: unknown data set; known are {', '.join(DATASETS)}")
        seeds = [*dataset.seeds, *(dataset.ablation.seeds if dataset.ablation else [])]
        for key, seed in (("split-seed", dataset.split_seed), ("judge-seed", dataset.judge_seed)):
            if seed in seeds:
                raise Problem(f"{path}: datasets.{name}.{key}: {seed} is a training seed too; choose another")
        if len(set(dataset.seeds)) < len(dataset.seeds):
            raise Problem(f"{path}: datasets.{name}.seeds: {dataset.seeds} names a seed twice; each counts as a run of its own")
        for key in ("validation", "test"):
            if (size := getattr(dataset, key)) <= max(SHOWN, study.probe.knn_k):
                raise Problem(f"{path}: datasets.{name}.{key}: {size} images are too few to measure; take more than {SHOWN} and than knn-k")
        moved = dataset.methods.autoencoder_plus.corruption
        if moved.pad_crop or moved.resized_crop or moved.flip or moved.rotate:
            raise Problem(f"{path}: datasets.{name}.methods.autoencoder-plus.corruption: moves the image, which nothing could undo; use augmentation")
        for variant in dataset.ablation.variants if dataset.ablation else ():
            try:
                study.method(name, f"{dataset.ablation.method}.{variant}")
            except msgspec.ValidationError as error:
                raise Problem(f"{path}: datasets.{name}.ablation.variants.{variant}: {error}; mend that key") from None
    return study
