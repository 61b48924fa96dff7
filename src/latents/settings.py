"""Structures that several parts of a study's settings share: types, ranges, optimisation, augmentation.

Values are in `config/*.yaml` only. A method's own settings are in `latents.methods`, those of the
measurements in `latents.metrics`.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

CODE_SIZE = 128

Positive = Annotated[int, Meta(ge=1)]
Several = Annotated[int, Meta(ge=2)]  # batch normalisation needs at least two
Rate = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Share = Annotated[float, Meta(gt=0, le=1)]
NonNegative = Annotated[float, Meta(ge=0)]
Threads = Annotated[int, Meta(ge=1, le=1024)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]  # the range of NumPy's and scikit-learn's generators
Seeds = Annotated[list[Seed], Meta(min_length=1)]
Width = Annotated[int, Meta(ge=1, le=2**14)]
Widths = tuple[Width, Width, Width]
Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]*$")]  # of a sweep; part of file names
Variant = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9.-]*$")]  # of a variant; may contain decimal points


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Base of all structures of the settings: keys are in kebab-case, and unknown keys are rejected."""


class Optimisation(Strict, frozen=True):
    """One-cycle training: the rate rises linearly over `warmup` of the steps, then falls linearly to zero."""

    epochs: Positive
    batch_size: Several
    optimizer: Literal["sgd", "adamw", "muon"]  # see latents.optimise
    learning_rate: Rate
    weight_decay: NonNegative
    warmup: Fraction


class Augmentation(Strict, frozen=True):
    """Random views of whole batches; what is omitted is off. Amplitudes as in torchvision, except for hue."""

    # pixels; alone: padding by reflection and a random crop; with rotate or resized-crop: a shift, 0 outside
    pad_crop: Annotated[int, Meta(ge=0, le=27)] = 0
    resized_crop: tuple[Fraction, Fraction] | None = None  # range of area, aspect ratio 3/4 to 4/3
    # pixels a side of the crop, alone or after resized-crop; without it, those of the image
    size: Annotated[int, Meta(ge=17, le=32)] | None = None
    flip: bool = False
    rotate: NonNegative = 0.0  # largest angle in degrees, in either direction
    brightness: NonNegative = 0.0
    contrast: NonNegative = 0.0
    saturation: NonNegative = 0.0
    hue: Annotated[float, Meta(ge=0, le=0.5)] = 0.0  # share of a full turn, in the I-Q plane
    jitter_probability: Fraction = 1.0
    grayscale: Fraction = 0.0  # probability
    noise: NonNegative = 0.0  # standard deviation of Gaussian noise, on [0, 1]

    def __post_init__(self) -> None:
        if self.size and self.rotate and not self.resized_crop:
            raise ValueError("size with rotate needs resized-crop, which is not there")
        if self.resized_crop and not 0 < self.resized_crop[0] <= self.resized_crop[1]:
            raise ValueError(
                f"resized-crop {list(self.resized_crop)} is no range of areas above 0, the smaller first"
            )


class Early(Strict, frozen=True):
    """The first epochs of a training, with other views: smaller ones cost fewer operations."""

    share: Annotated[float, Meta(gt=0, lt=1)]  # of the epochs
    augmentation: dict[str, Any]  # what differs from the method's


class Encoder(Strict, frozen=True):
    """The encoder of all methods but `pca` and `autoencoder`."""

    widths: Widths


class Decoder(Strict, frozen=True, omit_defaults=True):
    """The decoder trained on frozen codes, with one budget for all methods."""

    optimisation: Optimisation
    channels: Annotated[int, Meta(ge=2, multiple_of=2)]  # halved once, in the last block
    seed: Seed
    epochs_curve: tuple[Positive, ...] = ()  # other budgets, for the first seed of each method
