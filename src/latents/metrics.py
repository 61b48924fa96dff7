"""What is measured and how each number is printed: probes, metrics, and their settings.

A probe is a line in PROBES, a function of the same name in `latents.probe`, and its settings, if any, in
ProbeSettings. Figures and tables show all probes of PROBES. This module must not import torch.
"""

from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, NamedTuple

from msgspec import Meta

from latents.settings import (
    Augmentation,
    Fraction,
    NonNegative,
    Positive,
    Rate,
    Seed,
    Several,
    Share,
    Strict,
)


class Probe(NamedTuple):
    """How a probe is printed and what it is used for."""

    label: str
    short: str  # heading of a column
    marker: str
    color: str
    competes: bool = False  # one of those among which val chooses the better probe
    few_labels: bool = False  # also fitted on shares of the training labels and on projections


PROBES = {
    "linear": Probe("linear probe", "linear", "o", "#0072b2", competes=True, few_labels=True),
    "mlp": Probe("MLP probe", "MLP", "s", "#d55e00", competes=True),
    "knn": Probe("cosine kNN", "kNN", "^", "#009e73", few_labels=True),
    # of methods that see labels, on their own codes
    "head": Probe("classification head", "head", "D", "#000000"),
}


class Yardstick(NamedTuple):
    """How a yardstick of reconstruction is printed; blocks a side, where it keeps the means of blocks."""

    label: str
    short: str  # beside a line
    blocks: int = 0


YARDSTICKS = {
    "median-image": Yardstick("median image", "median"),
    "class-median-image": Yardstick("median image of the class", "class median"),
    "mean-colour": Yardstick("mean colour", "mean colour", 1),
    "block-means-2x2": Yardstick("means of 2 × 2 blocks", "2 × 2 means", 2),
    "block-means-4x4": Yardstick("means of 4 × 4 blocks", "4 × 4 means", 4),
}


NUISANCES = {  # targets of latents.nuisance: as printed
    "brightness": "brightness",
    "colour": "colour",
    "contrast": "contrast",
    "thickness": "stroke thickness",
    "slant": "slant",
    "shift_x": "shift across",
    "shift_y": "shift down",
    "rotation": "rotation",
    "scale": "scale",
}


class Metric(NamedTuple):
    """How a number is printed."""

    label: str
    decimals: int
    unit: str = ""


METRICS = {
    "mae": Metric("MAE", 4, "pixel range"),
    "mae_frozen": Metric("MAE, frozen code", 4, "pixel range"),
    "psnr": Metric("PSNR", 2, "dB"),
    "ssim": Metric("SSIM", 3),
    "silhouette": Metric("silhouette", 3),
    "scatter_ratio": Metric("scatter ratio", 3),
    "knn_purity": Metric("kNN purity", 3),
    "alignment": Metric("alignment", 3),
    "uniformity": Metric("uniformity", 2),
    "effective_rank": Metric("effective rank", 1),
    "path_length": Metric("path length", 2, "ratio"),
    "path_length_pixels": Metric("path length, cross-fade", 2, "ratio"),
    "path_length_spherical": Metric("path length, spherical", 2, "ratio"),
    "path_confidence": Metric("confidence on the path", 1, "percent"),
    "path_confidence_spherical": Metric("confidence on the path, spherical", 1, "percent"),
    "path_confidence_pixels": Metric("confidence on the path, cross-fade", 1, "percent"),
    "class_changes": Metric("class changes", 2, "changes"),
    "class_changes_pixels": Metric("class changes, cross-fade", 2, "changes"),
    "class_changes_spherical": Metric("class changes, spherical", 2, "changes"),
    "class_changes_pairs": Metric("pairs", 0, "pairs"),
    "class_changes_spherical_pairs": Metric("pairs, spherical", 0, "pairs"),
    "class_changes_pixels_pairs": Metric("pairs, cross-fade", 0, "pairs"),
    "reference_classifier_accuracy": Metric("reference classifier", 1, "percent"),
    "reference_classifier_accuracy_decoded": Metric("reference classifier, decoded", 1, "percent"),
    "tsne_trustworthiness": Metric("trustworthiness", 3),
    **{f"nuisance_{name}": Metric(f"R² of {label}", 3) for name, label in NUISANCES.items()},
    "parameters": Metric("parameters", 0),
    "train_flops": Metric("training FLOPs", 3, "FLOP"),
    "accuracy_best": Metric("better probe", 1, "percent"),
}


def metric(name: str) -> Metric:
    """How a metric is printed. Unknown ones have 3 decimals.

    `accuracy_<probe>`, with any suffix, is that probe's accuracy in percent; `mae_frozen_<n>_epochs` is the
    error of a decoder that is trained as long on the frozen codes.
    """
    if name.startswith("mae_frozen_"):
        words = name.removeprefix("mae_frozen_").replace("_", " ")
        return METRICS["mae_frozen"]._replace(label=f"MAE, frozen code, {words}")
    if name not in METRICS and name.startswith("accuracy_"):
        probe, _, rest = name.removeprefix("accuracy_").partition("_")
        return Metric(
            " ".join(filter(None, (PROBES[probe].label if probe in PROBES else probe, rest))), 1, "percent"
        )
    if name not in METRICS and name.startswith("mae_"):  # of changed codes
        return METRICS["mae"]._replace(label=f"MAE, {name.removeprefix('mae_')}")
    return METRICS.get(name) or Metric(name, 3)


def fixed(value: float, places: int) -> str:
    """A number with so many decimal places, rounded as decimals are: 63.95 is 64.0, and -0.01 is 0.0.

    The last bits of a float are no part of the number: the mean of 63.9 and 64.0 is 63.95.
    """
    number = Decimal(f"{value:.12g}").quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    return f"{number:z.{places}f}"


class ProbeSettings(Strict, frozen=True, omit_defaults=True):
    """One protocol for all methods: linear (L2 grid on val), MLP (weight-decay grid on val), cosine kNN.

    The setting of a further probe has the default None, with which the probe is not fitted: older studies
    can then still be read, and keep their hashes.
    """

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


class Measurement(Strict, frozen=True, omit_defaults=True):
    """Settings of the other measurements; the seed draws images and views, the same for every method.

    The last ones have defaults with which nothing is measured, so that older studies can still be read, and
    keep their hashes.
    """

    seed: Seed
    label_shares: list[Share]  # of the training labels, for the probes with few labels
    # number of images whose codes are compared between runs, and on which alignment is measured
    sample: Annotated[int, Meta(ge=4)]
    silhouette_points: Positive
    alignment: Augmentation
    pairs: Positive  # interpolations that are measured
    fewest_pairs: Positive  # with fewer, no mean number of class changes is recorded
    tsne_points: Positive
    tsne_perplexity: Rate
    tsne_neighbours: Positive  # of the trustworthiness
    # training images that are moved for the nuisance probes; of val and of test half as many
    nuisance_copies: Annotated[int, Meta(ge=0)] = 0
    # a number of the code is rounded to so many bits, or disturbed by noise of so many of its deviations;
    # of first seeds
    bits: tuple[Annotated[int, Meta(ge=1, le=16)], ...] = ()
    noise: tuple[Rate, ...] = ()
    features_share: Fraction = (
        0.0  # of the labels, for probes on what is before the bottleneck; of first seeds
    )
    neighbours: Annotated[int, Meta(ge=0)] = 0  # shown of an image of each class, by the code of a first seed

    @property
    def of_first_seeds(self) -> bool:
        """Whether more is measured of first seeds than of the others."""
        return bool(self.bits or self.noise or self.features_share or self.neighbours)

    def __post_init__(self) -> None:
        if len(set(self.label_shares)) < len(self.label_shares):
            raise ValueError(f"label-shares {self.label_shares} names a share twice")
        if self.alignment.size:
            raise ValueError(
                "alignment.size is not for measuring: a linear path takes images at their own size alone"
            )
