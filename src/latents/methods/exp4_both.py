"""Pixels and classes in one code, without labels: two codes side by side, or one code with two objectives."""

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from latents import augment, objectives
from latents.datasets.spec import Shape
from latents.decode import StandardisedDecoder
from latents.device import to_float
from latents.methods.baselines import moments, principal, start_from_pca
from latents.methods.exp3_contrastive import projection_head, two_views
from latents.methods.settings import Joint, Split
from latents.model import Model, Sizes
from latents.networks import Decoder, Encoder, Float32
from latents.optimise import LINEAR_PATH, mark
from latents.settings import CODE_SIZE, Widths


class SplitCode(Model):
    """`split`: principal components of a contrastive code, then of what these leave of the pixels.

    The encoder is fitted to that of `contrastive` and stays as it is; the decoder is trained with L1.
    """

    def __init__(self, settings: Split, sizes: Sizes) -> None:
        super().__init__()
        self.settings = settings
        contrastive = Encoder(sizes.shape, sizes.widths)
        self.encoder = SplitEncoder(contrastive, sizes.shape, settings.contrastive_size)
        self.encoder.requires_grad_(False)
        self.decoder = StandardisedDecoder(Decoder(sizes.shape, sizes.decoder_channels, linear_path=True))

    def start_from(self, other: Model, images: Tensor) -> None:
        self.encoder.contrastive.load_state_dict(other.encoder.state_dict())
        codes = self.encoder.fit_beside(images, self.settings.pixel_scale)
        self.decoder.start_from_least_squares(codes, images)

    def train(self, mode: bool = True) -> "SplitCode":
        """As in Module, but the encoder's BatchNorm keeps its statistics."""
        super().train(mode)
        self.encoder.eval()
        return self

    def views(self, images: Tensor, random: Generator) -> tuple[Tensor]:
        """The augmented image, which is also the target."""
        return (augment.view(images, self.settings.augmentation, random),)

    def objective(self, views: tuple[Tensor], labels: Tensor) -> Tensor:
        (images,) = views
        return functional.l1_loss(self.decoder(self.encoder(images)), images)


class SplitEncoder(nn.Module):
    """The first k principal components c of a contrastive code, and 128 - k numbers for the pixels x.

    With the regression of the pixels on c, a matrix B, the latter are the first principal components of
    x - E[x] - B c, times one factor.
    """

    def __init__(self, contrastive: Encoder, shape: Shape, size: int) -> None:
        super().__init__()
        self.contrastive = contrastive
        pixels = math.prod(shape)
        self.register_buffer("centre", torch.zeros(CODE_SIZE))  # the mean contrastive code
        self.register_buffer("directions", torch.zeros(size, CODE_SIZE))
        self.register_buffer("mean", torch.zeros(pixels))  # E[x]
        self.register_buffer("components", torch.zeros(CODE_SIZE - size, pixels))
        self.register_buffer("explained", torch.zeros(CODE_SIZE - size, size))  # components times B

    @torch.no_grad()
    def fit_beside(self, images: Tensor, scale: float) -> Tensor:
        """Fit all but the contrastive encoder on images uint8 [n, c, h, w], and return their codes [n, 128].

        The root mean variance of the numbers for the pixels becomes `scale` times that of c. The regression
        is by least squares, with a penalty of a millionth of the mean variance of c.
        """
        self.eval()
        codes = torch.cat([self.contrastive(to_float(part)).double() for part in images.split(500)])
        with torch.autocast(images.device.type, enabled=False):
            self.centre.copy_(codes.mean(0))
            codes -= codes.mean(0)
            self.directions.copy_(principal(codes.T @ codes / len(codes), len(self.directions)))
            self.fit_pixels(codes @ self.directions.double().T, images, scale)
        return torch.cat([self(to_float(part)) for part in images.split(500)])

    def fit_pixels(self, contrast: Tensor, images: Tensor, scale: float) -> None:
        """Fit the numbers for the pixels, given c, float64 [n, k], of the images."""
        mean, covariance = moments(images)
        parts = zip(contrast.split(5000), images.split(5000), strict=True)
        cross = sum(part.T @ (pixels.double().flatten(1) - mean) for part, pixels in parts) / len(images)
        own = contrast.T @ contrast / len(contrast)
        variance = own.diagonal().mean()
        penalty = 1e-6 * variance * torch.eye(len(own), dtype=own.dtype, device=own.device)
        slope = torch.linalg.solve(own + penalty, cross)  # [k, p]
        left = covariance - slope.T @ cross - cross.T @ slope + slope.T @ own @ slope
        components = principal(left, len(self.components)).to(left)
        deviation = ((components @ left) * components).sum(1).mean().sqrt()
        factor = scale * variance.sqrt() / deviation
        self.mean.copy_(mean / 255)
        self.components.copy_(255 * factor * components)
        self.explained.copy_(factor * components @ slope.T)

    def forward(self, x: Tensor) -> Tensor:
        codes = self.contrastive(x)
        with torch.autocast(x.device.type, enabled=False):
            contrast = (codes - self.centre) @ self.directions.T
            pixels = (x.flatten(1) - self.mean) @ self.components.T
            return torch.cat([contrast, pixels - contrast @ self.explained.T], 1)


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


class Leading(nn.Module):
    """The first `size` numbers of codes [n, d]."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, codes: Tensor) -> Tensor:
        return codes[:, : self.size]


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
