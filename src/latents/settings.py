"""Structures that several parts of a study's settings share: types, ranges, optimisation, augmentation.

Values stand in `config/*.yaml` alone. A method's own settings stand in `latents.methods`, those of the
measurements in `latents.measures`.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

CODE_SIZE = 128

Positive = Annotated[int, Meta(ge=1)]
Several = Annotated[int, Meta(ge=2)]  # batch normalisation needs two
Rate = Annotated[float, Meta(gt=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Share = Annotated[float, Meta(gt=0, le=1)]
NonNegative = Annotated[float, Meta(ge=0)]
Seed = Annotated[int, Meta(ge=0)]
Seeds = Annotated[list[Seed], Meta(min_length=1)]
Widths = tuple[Positive, Positive, Positive]
Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]*$")]  # of a sweep; becomes part of file names
Variant = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9.-]*$")]  # the same, where a number may have its point


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """Base of every structure here: keys are written in kebab-case, unknown ones are refused."""


class Optimisation(Strict, frozen=True):
    """One-cycle training: the rate rises linearly over `warmup` of the steps, then falls linearly to zero."""

    epochs: Positive
    batch_size: Several
    optimizer: Literal["sgd", "adamw", "muon"]  # latents.optimise has them
    learning_rate: Rate
    weight_decay: NonNegative
    warmup: Fraction


class Augmentation(Strict, frozen=True):
    """Whole-batch random views; what is left out is off. Amplitudes as in torchvision, but for hue."""

    # alone: pixels of reflected border, then a random crop; with rotate or resized-crop: a shift, 0 outside
    pad_crop: Annotated[int, Meta(ge=0, le=27)] = 0
    resized_crop: tuple[Fraction, Fraction] | None = None  # range of area, aspect ratio 3/4 to 4/3
    size: Annotated[int, Meta(ge=25, le=32)] | None = (
        None  # pixels a side after resized-crop; else the image's
    )
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
            raise ValueError(
                f"resized-crop {list(self.resized_crop)} is no range of areas above 0, the smaller first"
            )


class Encoder(Strict, frozen=True):
    """The encoder that all methods but `pca` and `autoencoder` share."""

    widths: Widths


class Decoder(Strict, frozen=True):
    """The decoder trained on frozen codes: one budget for all methods."""

    optimisation: Optimisation
    channels: Annotated[int, Meta(ge=2, multiple_of=2)]  # halved once on the way up
    seed: Seed
