"""Pixels and classes in one code, without labels: two codes side by side, or one code with two objectives."""

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from latents import augment, objectives
from latents.datasets.spec import Shape
from latents.decode import StandardisedDecoder
from latents.device import to_float
from latents.methods.baselines import moments, principal
from latents.methods.exp3_contrastive import projection_head, two_views
from latents.methods.settings import Joint, Split
from latents.model import Model, Sizes
from latents.networks import Decoder, Encoder, Float32
from latents.optimise import LINEAR_PATH, mark
from latents.settings import CODE_SIZE


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
    """`joint`: the networks of `split`, trained as a whole.

    NT-Xent of two views by the code's first numbers, and L1 of the image from all of them.
    """

    def __init__(self, settings: Joint, sizes: Sizes) -> None:
        super().__init__()
        self.settings = settings
        self.shape = sizes.shape
        size = settings.contrastive_size
        self.encoder = JointEncoder(Encoder(sizes.shape, sizes.widths), sizes.shape, size)
        self.projector = nn.Sequential(Leading(size), *projection_head(size, settings.projection))
        self.decoder = StandardisedDecoder(Decoder(sizes.shape, sizes.decoder_channels, linear_path=True))

    @torch.no_grad()
    def start_from(self, other: Model, images: Tensor) -> None:
        """Start as `split`, with the projection head of `contrastive` on the code that c determines."""
        split = SplitEncoder(other.encoder, self.shape, self.settings.contrastive_size).to(images.device)
        codes = split.fit_beside(images, self.settings.pixel_scale)
        with torch.autocast(images.device.type, enabled=False):
            self.encoder.start_from(split)
            hidden, *others = other.projector
            _, first, *ours = self.projector
            first.weight.copy_(hidden.weight @ split.directions.T)
            first.bias.copy_(hidden.bias + hidden.weight @ split.centre)
            for layer, trained in zip(ours, others, strict=True):
                layer.load_state_dict(trained.state_dict())
        self.decoder.start_from_least_squares(codes, images)

    def views(self, images: Tensor, random: Generator) -> tuple[Tensor, Tensor]:
        """Two views of n images as one batch [2n, c, h, w], and the images themselves."""
        return two_views(images, self.settings.augmentation, random), images

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
    """The shared encoder, with a linear path from the pixels to the numbers after the first k.

    The first k numbers can so be had of views of any size.
    """

    def __init__(self, shared: Encoder, shape: Shape, first: int) -> None:
        super().__init__()
        self.shared = shared
        self.first = first
        self.linear = mark(Float32(nn.Linear(math.prod(shape), CODE_SIZE - first)), LINEAR_PATH)

    def start_from(self, split: SplitEncoder) -> None:
        """Become a fitted encoder of `split`, which is linear in the contrastive code and the pixels."""
        self.shared.load_state_dict(split.contrastive.state_dict())
        last, path = self.shared.to_code.layer, self.linear.layer
        weight, bias = split.directions @ last.weight, split.directions @ (last.bias - split.centre)
        last.weight.copy_(torch.cat([weight, -split.explained @ weight]))
        last.bias.copy_(torch.cat([bias, -split.explained @ bias]))
        path.weight.copy_(split.components)
        path.bias.copy_(-split.components @ split.mean)

    def forward(self, x: Tensor) -> Tensor:
        return self.shared(x) + functional.pad(self.linear(x.flatten(1)), (self.first, 0))
