"""What the benchmark measures: the structure of config/bench.yaml."""

from typing import Annotated, Any

from msgspec import Meta

from latents.cli import Problem
from latents.plain import parse
from latents.report.targets import Target
from latents.settings import Name, Positive, Rate, Seeds, Strict, Widths

METHODS = ("autoencoder", "autoencoder-plus", "guided", "contrastive")
NUMBERS = (  # at the top of the record; each can have a target
    "contrastive_over_ordinary",
    "guided_over_ordinary",
    "autoencoder_over_ordinary",
    "conv_peak_share",
    "bound_share",
    "augment_share",
    "figure_seconds",
    "noop_seconds",
    "overhead_share",
    "peak_gib",
    "seconds_to_8866",
)
Sizes = Annotated[list[Positive], Meta(min_length=1)]
Shape = tuple[Positive, Positive, Positive, Positive]


class Growth(Strict, frozen=True):
    """Numbers of training images, encoder widths, and numbers of points for both t-SNE libraries."""

    images: Sizes
    widths: Annotated[list[Widths], Meta(min_length=1)]
    tsne_points: Sizes
    tsne_points_other: Sizes

    def __post_init__(self) -> None:
        if not set(self.tsne_points) & set(self.tsne_points_other):
            raise ValueError(
                "tsne-points and tsne-points-other have no number in common at which to compare them"
            )


class Sprint(Strict, frozen=True):
    """`guided` on CIFAR-10 with `changes`, to reach `accuracy` percent on test in the mean of the seeds."""

    seeds: Seeds
    changes: dict[str, Any]
    accuracy: Rate

    def __post_init__(self) -> None:
        match self.changes:
            case {"optimisation": {"epochs": _}}:
                return
        raise ValueError("changes has no optimisation.epochs, the budget that the paper names")


class Short(Strict, frozen=True):
    """The short study whose forecast is compared with its run: methods on CIFAR-10, and their epochs."""

    methods: Annotated[list[Name], Meta(min_length=1)]
    epochs: Positive


class Bench(Strict, frozen=True):
    """The whole file; `changes` are merged over the study's configuration."""

    changes: dict[str, Any]
    rounds: Positive
    seconds: Rate  # about, of each measurement
    convolutions: Annotated[list[Shape], Meta(min_length=1)]  # channels in and out, pixels a side, images
    growth: Growth
    sprint: Sprint
    short: Short
    targets: dict[str, Target]


def read(path: str) -> Bench:
    """Read and check config/bench.yaml; raises Problem with the file, the key, and what is wrong."""
    bench = parse(path, Bench)
    if unknown := bench.targets.keys() - set(NUMBERS):
        known = ", ".join(NUMBERS)
        raise Problem(f"{path}: targets: {min(unknown)} is not a number of the benchmark; those are {known}")
    return bench
