"""Experiment 3, structured latent spaces: SimCLR, and the same with labels (SupCon)."""

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from latents import augment, objectives
from latents.methods.baselines import fit_linear_path
from latents.methods.settings import Contrastive
from latents.model import Model, Sizes
from latents.networks import Encoder, Float32, classification_head
from latents.settings import Augmentation


def projection_head(code_size: int, widths: tuple[int, int]) -> nn.Sequential:
    """Projection head: codes [n, d] -> z [n, widths[1]] (Chen et al. 2020, figure 2)."""
    hidden, width = widths
    return nn.Sequential(
        nn.Linear(code_size, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        Float32(nn.Linear(hidden, width, bias=False)),
    )


def two_views(images: Tensor, augmentation: Augmentation, random: Generator) -> Tensor:
    """Two views of n images as one batch [2n, c, h, w]: i and i + n are views of the same image."""
    return torch.cat([augment.view(images, augmentation, random) for _ in range(2)])


class SimCLR(Model):
    """`contrastive`: NT-Xent between two views of each image (Chen et al. 2020)."""

    with_head = False  # whether it has a classification head, which is built before the projection head

    def __init__(self, settings: Contrastive, sizes: Sizes) -> None:
        super().__init__()
        self.settings = settings
        linear = bool(settings.linear_path)
        self.encoder = Encoder(sizes.shape, sizes.widths, settings.code_size, linear_path=linear)
        if self.with_head:
            self.head = classification_head(settings.code_size, sizes.classes)
        self.projector = projection_head(settings.code_size, settings.projection)

    def fit(self, images: Tensor) -> None:
        super().fit(images)
        fit_linear_path(self.encoder, images)

    def views(self, images: Tensor, random: Generator) -> tuple[Tensor]:
        return (two_views(images, self.settings.augmentation_of(self.early), random),)

    def objective(self, views: tuple[Tensor], labels: Tensor) -> Tensor:
        (both,) = views
        return objectives.nt_xent(self.projector(self.encoder(both)), self.settings.temperature)


class SupCon(SimCLR):
    """`supcon`: all views of images of the same class are positives (Khosla et al. 2020)."""

    with_head = True

    def objective(self, views: tuple[Tensor], labels: Tensor) -> Tensor:
        """SupCon loss plus the head's cross-entropy, whose gradient does not reach the encoder."""
        (both,) = views
        codes = self.encoder(both)
        z = self.projector(codes)
        logits = self.head(codes.detach()).float()
        classification = functional.cross_entropy(logits, labels.repeat(2))
        return objectives.supcon(z, labels, self.settings.temperature) + classification
