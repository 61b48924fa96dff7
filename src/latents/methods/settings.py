"""The settings of each method: their types and ranges, and which go together.

They are not beside the networks because reading a configuration or drawing a figure must not import torch,
which takes seconds.
"""

from typing import Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType

from latents.plain import merge
from latents.settings import (
    CODE_SIZE,
    Augmentation,
    Early,
    Fraction,
    NonNegative,
    Optimisation,
    Positive,
    Rate,
    Share,
    Strict,
    Widths,
)


class MethodSettings(Strict, frozen=True):
    """Base of every method's settings, with the values for methods that lack a setting.

    What is UNSET is left out of a run's digest, so that older runs keep theirs.
    """

    optimisation: ClassVar[Optimisation | None] = None  # None: nothing is trained
    labels: ClassVar[float] = 1.0
    code_size: ClassVar[int] = CODE_SIZE
    linear_rate: ClassVar[float] = 1.0
    linear_path: ClassVar[float | UnsetType] = UNSET
    early: ClassVar[Early | UnsetType | None] = UNSET
    start: ClassVar[str | UnsetType] = UNSET
    projection: ClassVar[tuple[int, int] | None] = None
    contrastive_size: ClassVar[int | None] = None

    @property
    def early_epochs(self) -> int:
        """How many epochs have the views of `early`; never all of them."""
        if not self.early:
            return 0
        epochs = self.optimisation.epochs
        return min(round(self.early.share * epochs), epochs - 1)

    def augmentation_of(self, early: bool) -> Augmentation:
        """The views of the first epochs or of the later ones."""
        if not early:
            return self.augmentation
        changed = merge(msgspec.to_builtins(self.augmentation), self.early.augmentation)
        return msgspec.convert(changed, Augmentation)

    def plain_channels(self, methods: dict[str, Any]) -> Widths | None:
        """Channels of the plain decoder if the method uses that of `autoencoder`, else None."""
        return None


def check_full_size(augmentation: Augmentation, what: str) -> None:
    """Raise ValueError where views have a size of their own."""
    if augmentation.size:
        raise ValueError(f"augmentation.size is not for {what}, at the image's own size")


def check_linear_path(settings: MethodSettings) -> None:
    """Raise ValueError where a linear path would see views of another size, early or late."""
    for early in (False, True) if settings.early else (False,):
        check_full_size(settings.augmentation_of(early), "linear-path, which takes views")


class Untrained(MethodSettings, frozen=True):
    """Settings of `pca` and `random`: there is nothing to set."""


class Autoencoder(MethodSettings, frozen=True):
    """Experiment 1, before improvements: three strided convolutions, L1."""

    optimisation: Optimisation
    channels: Widths


class AutoencoderPlus(MethodSettings, frozen=True):
    """Experiment 1, after improvements.

    The shared encoder, a residual decoder, linear paths, augmented and corrupted input.
    """

    optimisation: Optimisation
    augmentation: Augmentation  # of the image that is reconstructed
    corruption: Augmentation  # of the encoder's input only; must not change the geometry
    clean_fraction: Fraction  # share of each batch that is not corrupted
    # in encoder and decoder; starts as the PCA of the training pixels; other layers add nothing at first
    linear_path: bool
    linear_rate: Fraction  # learning rate of the linear paths, relative to the others'
    residual_decoder: bool  # else the plain decoder of `autoencoder`
    gradient_weight: NonNegative  # weight of gradient histograms as a second target; 0: pixels only
    code_size: Positive = CODE_SIZE
    frozen_encoder: bool | UnsetType = UNSET  # the code stays that of PCA, and the decoder alone learns

    def __post_init__(self) -> None:
        if self.frozen_encoder and not self.linear_path:
            raise ValueError("frozen-encoder keeps the linear path at PCA, and linear-path is false")
        moves = self.corruption
        if moves.pad_crop or moves.resized_crop or moves.flip or moves.rotate:
            raise ValueError("corruption moves the image, which nothing could undo; use augmentation")
        check_full_size(self.augmentation, "autoencoders, which reconstruct")

    def plain_channels(self, methods: dict[str, Any]) -> Widths | None:
        """As in MethodSettings. Raises ValueError if the study has no `autoencoder`."""
        if self.residual_decoder:
            return None
        if "autoencoder" not in methods:
            raise ValueError("residual-decoder: false takes the decoder of `autoencoder`, which is not there")
        return methods["autoencoder"].channels


class VAE(MethodSettings, frozen=True):
    """A variational autoencoder: the shared encoder with a second head, the residual decoder, L1 and KL."""

    optimisation: Optimisation
    augmentation: Augmentation  # of the image that is reconstructed
    # weight of KL, per pixel value as L1 is: the scale of a Laplace density round each reconstructed value
    beta: NonNegative
    code_size: Positive = CODE_SIZE

    def __post_init__(self) -> None:
        check_full_size(self.augmentation, "autoencoders, which reconstruct")


class ViewSettings(MethodSettings, frozen=True, kw_only=True):
    """What methods that are trained on augmented views have in common."""

    optimisation: Optimisation
    augmentation: Augmentation
    early: Early | UnsetType | None = UNSET
    # share of the training images that is used; a smaller share is a subset of a larger one
    labels: Share = 1.0
    # with it there is a linear path from the pixels to the code, which starts at PCA and learns at this rate,
    # relative to the others'
    linear_path: Share | UnsetType = UNSET

    @property
    def linear_rate(self) -> float:
        return self.linear_path or 1.0

    def __post_init__(self) -> None:
        if self.early:
            try:
                self.augmentation_of(early=True)
            except msgspec.ValidationError as error:
                raise ValueError(f"early.augmentation: {error}") from None
        if self.linear_path:
            check_linear_path(self)


class Guided(ViewSettings, frozen=True):
    """Experiment 2: encoder and classifier trained jointly by cross-entropy."""

    label_smoothing: Fraction
    # with it the encoder is fine-tuned: it starts as that method's of the same seed (Chen et al. 2020)
    start: Literal["contrastive"] | UnsetType = UNSET


class Contrastive(ViewSettings, frozen=True):
    """Experiment 3: NT-Xent (SimCLR) or the supervised contrastive loss over two augmented views."""

    temperature: Rate
    projection: tuple[Positive, Positive]  # hidden and output width of the projection head
    code_size: Positive = CODE_SIZE


class Split(MethodSettings, frozen=True):
    """Principal components of the code of `contrastive`, and numbers for the pixels beside them."""

    start: ClassVar[str] = "contrastive"

    optimisation: Optimisation  # of the decoder and of the layers for the pixels' numbers
    augmentation: Augmentation  # of the image that is reconstructed
    projection: tuple[Positive, Positive]  # as that of `contrastive`
    contrastive_size: Positive  # components of the contrastive code; the others are the pixels'
    # deviation of the pixels' numbers at the start, as a root mean square, relative to the contrastive ones'
    pixel_scale: Rate
    linear_rate: Fraction  # learning rate of the linear paths, relative to the others'

    def __post_init__(self) -> None:
        check_full_size(self.augmentation, "decoders, which reconstruct")
        check_contrastive_size(self.contrastive_size)


class Joint(MethodSettings, frozen=True):
    """The networks of `split`, trained as a whole by NT-Xent on two views and by L1 on the image itself."""

    start: ClassVar[str] = "split"

    optimisation: Optimisation
    augmentation: Augmentation  # of the two views
    temperature: Rate
    projection: tuple[Positive, Positive]  # as that of `split`
    contrastive_size: Positive  # as that of `split`: numbers that NT-Xent sees; the decoder sees all
    reconstruction_weight: NonNegative  # of L1
    linear_rate: Fraction  # learning rate of the linear paths, relative to the others'

    def __post_init__(self) -> None:
        check_contrastive_size(self.contrastive_size)


def check_contrastive_size(size: int) -> None:
    """Raise ValueError where the contrastive numbers leave none of the code to the pixels."""
    if size >= CODE_SIZE:
        raise ValueError(
            f"contrastive-size {size} of a code of {CODE_SIZE} numbers is more than {CODE_SIZE - 1}"
        )
