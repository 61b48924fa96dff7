"""The settings of a study's parts: what can be set, its type and its range; their values stand in `config/*.yaml` alone."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

CODE_SIZE = 128
CLASSES = 10
DIRECTIONS, CELL = 9, 4  # of gradient histograms: bins over half a turn, pixels a side

Positive = Annotated[int, Meta(ge=1)]
Several = Annotated[int, Meta(ge=2)]  # batch normalisation needs two
Rate = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Share = Annotated[float, Meta(gt=0, le=1)]
NonNegative = Annotated[float, Meta(ge=0)]
Seed = Annotated[int, Meta(ge=0)]
Seeds = Annotated[list[Seed], Meta(min_length=1)]
Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]*$")]  # of a sweep; becomes part of file names
Variant = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9.-]*$")]  # the same, where a number may have its point


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Base of every structure here: keys are written in kebab-case, unknown ones are refused."""


class Optimisation(Strict, frozen=True):
    """One-cycle training: the rate rises linearly over `warmup` of the steps, then falls linearly to zero."""

    epochs: Positive
    batch_size: Several
    optimizer: Literal["sgd", "adamw", "muon"]  # what each does: latents.optimise
    learning_rate: Rate
    weight_decay: NonNegative
    warmup: Fraction


class Augmentation(Strict, frozen=True):
    """Whole-batch random views; what is left out is off. Amplitudes as in torchvision, but for hue."""

    # alone: pixels of reflected border, then a random crop; with rotate or resized-crop: a shift, bilinear, 0 outside
    pad_crop: Annotated[int, Meta(ge=0, le=27)] = 0
    resized_crop: tuple[Fraction, Fraction] | None = None  # range of area, aspect ratio 3/4 to 4/3
    size: Annotated[int, Meta(ge=25, le=32)] | None = None  # pixels a side of what resized-crop makes; else the image's
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
        if self.size and not self.resized_crop:
            raise ValueError("size is that of resized-crop, which is not there")
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
    gradient_weight: NonNegative  # of the gradient histograms beside the pixels in what is rebuilt; 0: pixels alone
    code_size: Positive = CODE_SIZE

    def __post_init__(self) -> None:
        moves = self.corruption
        if moves.pad_crop or moves.resized_crop or moves.flip or moves.rotate:
            raise ValueError("corruption moves the image, which nothing could undo; use augmentation")
        if self.augmentation.size:
            raise ValueError("augmentation.size is not for autoencoders, which rebuild the image at its own size")


class Guided(Strict, frozen=True):
    """Experiment 2: encoder and classifier jointly, cross-entropy."""

    optimisation: Optimisation
    augmentation: Augmentation
    label_smoothing: Fraction
    labels: Share = 1.0  # the share of the training images, with their labels, that it sees; the smaller lies in the larger


class Contrastive(Strict, frozen=True):
    """Experiment 3: NT-Xent (SimCLR) or the supervised contrastive loss over two augmented views."""

    optimisation: Optimisation
    augmentation: Augmentation
    temperature: Rate
    projection: tuple[Positive, Positive]  # hidden and output width of the projection head
    code_size: Positive = CODE_SIZE
    labels: Share = 1.0  # as for `guided`


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
    label_shares: list[Share]  # of the training labels, for the probes with few labels
    sample: Annotated[int, Meta(ge=4)]  # images whose codes are kept for comparing rows and seeds, and whose views are aligned
    silhouette_points: Positive
    alignment: Augmentation
    pairs: Positive  # interpolations that are measured
    fewest_pairs: Positive  # below this no mean number of class changes is given
    tsne_points: Positive
    tsne_perplexity: Rate
    tsne_neighbours: Positive  # of the trustworthiness

    def __post_init__(self) -> None:
        if len(set(self.label_shares)) < len(self.label_shares):
            raise ValueError(f"label-shares {self.label_shares} names a share twice")
        if self.alignment.size:
            raise ValueError("alignment.size is not for measuring: a linear path takes images at their own size alone")
