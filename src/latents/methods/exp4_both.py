"""Pixels and classes in one code, without labels: two codes side by side, or one code with two objectives."""

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from latents import objectives
from latents.datasets.spec import Shape
from latents.device import to_float
from latents.methods.baselines import moments, principal, start_from_pca
from latents.methods.exp3_contrastive import projection_head, two_views
from latents.methods.settings import Joint, Split
from latents.model import Model, Sizes
from latents.networks import Decoder, Encoder, Float32
from latents.optimise import LINEAR_PATH, mark
from latents.settings import CODE_SIZE, Widths


class Leading(nn.Module):
    """The first `size` numbers of codes [n, d]."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, codes: Tensor) -> Tensor:
        return codes[:, : self.size]


class SplitCode(Model):
    """`split`: the code of `contrastive`, but shorter, then principal components of what it leaves.

    Only the contrastive part is trained, exactly as `contrastive` with a code of that size is.
    """

    def __init__(self, settings: Split, sizes: Sizes) -> None:
        super().__init__()
        self.settings = settings
        size = settings.contrastive_size
        self.encoder = SplitEncoder(Encoder(sizes.shape, sizes.widths, size), sizes.shape, size)
        self.projector = nn.Sequential(Leading(size), *projection_head(size, settings.projection))

    def finish(self, images: Tensor) -> None:
        """Fit the numbers for the pixels on images uint8 [n, c, h, w]."""
        self.encoder.fit_pixels(images, self.settings.pixel_scale)

    def views(self, images: Tensor, random: Generator) -> tuple[Tensor]:
        return (two_views(images, self.settings.augmentation_of(self.early), random),)

    def objective(self, views: tuple[Tensor], labels: Tensor) -> Tensor:
        (both,) = views
        return objectives.nt_xent(self.projector(self.encoder.contrastive(both)), self.settings.temperature)


class SplitEncoder(nn.Module):
    """The k numbers c of a contrastive encoder, and 128 - k of what the pixels x hold beside them.

    With the regression of the pixels on c, a matrix B, these are the first principal components of
    x - E[x] - B (c - E[c]), times one factor.
    """

    def __init__(self, contrastive: Encoder, shape: Shape, size: int) -> None:
        super().__init__()
        self.contrastive = contrastive
        self.register_buffer("mean", torch.zeros(math.prod(shape)))  # E[x]
        self.register_buffer("centre", torch.zeros(size))  # E[c]
        self.register_buffer("components", torch.zeros(CODE_SIZE - size, math.prod(shape)))
        self.register_buffer("explained", torch.zeros(CODE_SIZE - size, size))  # components times B

    def fit(self, images: Tensor) -> None:
        """Fit the contrastive encoder's first layers on images: float [n, c, h, w] in [0, 1]."""
        self.contrastive.fit(images)

    @torch.no_grad()
    def fit_pixels(self, images: Tensor, scale: float) -> None:
        """Fit the numbers for the pixels on images uint8 [n, c, h, w].

        Their root mean variance becomes `scale` times that of the contrastive numbers. The regression is by
        least squares, with a penalty of a millionth of the contrastive numbers' mean variance.
        """
        codes = torch.cat([self.contrastive(to_float(part)).double() for part in images.split(500)])
        with torch.autocast(images.device.type, enabled=False):
            self.fit_beside(codes, images, scale)

    def fit_beside(self, codes: Tensor, images: Tensor, scale: float) -> None:
        """`fit_pixels`, given the contrastive numbers float64 [n, k] of the images."""
        centre = codes.mean(0)
        codes = codes - centre
        mean, covariance = moments(images)
        parts = zip(codes.split(5000), images.split(5000), strict=True)
        cross = sum(part.T @ (pixels.double().flatten(1) - mean) for part, pixels in parts) / len(images)
        own = codes.T @ codes / len(images)
        variance = own.diagonal().mean()
        penalty = 1e-6 * variance * torch.eye(len(own), dtype=own.dtype, device=own.device)
        slope = torch.linalg.solve(own + penalty, cross)  # [k, p]
        left = covariance - slope.T @ cross - cross.T @ slope + slope.T @ own @ slope
        components = principal(left, len(self.components)).to(left)
        deviation = ((components @ left) * components).sum(1).mean().sqrt()
        factor = scale * variance.sqrt() / deviation
        self.mean.copy_(mean / 255)
        self.centre.copy_(centre)
        self.components.copy_(255 * factor * components)
        self.explained.copy_(factor * components @ slope.T)

    def forward(self, x: Tensor) -> Tensor:
        contrast = self.contrastive(x)
        with torch.autocast(x.device.type, enabled=False):
            pixels = (x.flatten(1) - self.mean) @ self.components.T
            return torch.cat([contrast, pixels - (contrast - self.centre) @ self.explained.T], 1)


class JointCode(Model):
    """`joint`: NT-Xent of two views by the code's first numbers, and L1 of the image from all of them."""

    def __init__(self, settings: Joint, sizes: Sizes) -> None:
        super().__init__()
        self.settings = settings
        size = settings.contrastive_size
        self.encoder = JointEncoder(sizes.shape, sizes.widths, size, linear_path=settings.linear_path)
        self.projector = nn.Sequential(Leading(size), *projection_head(size, settings.projection))
        self.decoder = Decoder(sizes.shape, sizes.decoder_channels, settings.linear_path)

    def fit(self, images: Tensor) -> None:
        """As in Model; linear paths start at PCA, and other layers add nothing to the pixels at first."""
        super().fit(images)
        if self.settings.linear_path:
            start_from_pca(images, self.encoder.linear.layer, self.decoder.linear[0].layer)
            to_code, to_pixels = self.encoder.shared.to_code.layer, self.decoder.to_pixels.layer
            beyond = slice(self.settings.contrastive_size, None)
            for weights in (to_code.weight[beyond], to_code.bias[beyond], to_pixels.weight, to_pixels.bias):
                nn.init.zeros_(weights)

    def views(self, images: Tensor, random: Generator) -> tuple[Tensor, Tensor]:
        """Two views of n images as one batch [2n, c, h, w], and the images themselves."""
        return two_views(images, self.settings.augmentation_of(self.early), random), images

    def objective(self, views: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
        both, images = views
        contrast = objectives.nt_xent(self.projector(self.encoder.shared(both)), self.settings.temperature)
        error = functional.l1_loss(self.decoder(self.encoder(images)), images)
        return contrast + self.settings.reconstruction_weight * error


class JointEncoder(nn.Module):
    """The shared encoder; optionally with a linear path from the pixels to the numbers after the first k.

    The first k numbers can so be had of views of any size.
    """

    def __init__(self, shape: Shape, widths: Widths, first: int, *, linear_path: bool) -> None:
        super().__init__()
        self.shared = Encoder(shape, widths)
        self.first = first
        self.linear = (
            mark(Float32(nn.Linear(math.prod(shape), CODE_SIZE - first)), LINEAR_PATH)
            if linear_path
            else None
        )

    def fit(self, images: Tensor) -> None:
        """Fit the first layers on images: float [n, c, h, w] in [0, 1]."""
        self.shared.fit(images)

    def forward(self, x: Tensor) -> Tensor:
        code = self.shared(x)
        if self.linear is None:
            return code
        return code + functional.pad(self.linear(x.flatten(1)), (self.first, 0))
