"""Pixels and classes in one code, without labels: a contrastive part first, the rest for the pixels."""

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
from latents.optimise import ADAMW, LINEAR_PATH, mark
from latents.settings import CODE_SIZE, Widths


class SplitCode(Model):
    """`split`: the encoder of `contrastive` as it is, and layers from it and from the pixels.

    The code's first numbers are principal components of the contrastive code. The layers for the others,
    and the decoder of all, are trained with L1.
    """

    def __init__(self, settings: Split | Joint, sizes: Sizes) -> None:
        super().__init__()
        self.settings = settings
        size = settings.contrastive_size
        self.encoder = DividedEncoder(sizes.shape, sizes.widths, size)
        self.projector = nn.Sequential(Leading(size), *projection_head(size, settings.projection))
        self.decoder = StandardisedDecoder(Decoder(sizes.shape, sizes.decoder_channels, linear_path=True))
        for layer in self.unchanged():
            layer.requires_grad_(False)

    @torch.no_grad()
    def start_from(self, other: Model, images: Tensor) -> None:
        """Start as PCA of the contrastive code and of what it leaves of the pixels; decode by least squares.

        The projection head becomes that of `contrastive` on the code that its principal components determine.
        """
        directions, centre = self.encoder.fit_beside(other.encoder, images, self.settings.pixel_scale)
        with torch.autocast(images.device.type, enabled=False):
            hidden, *others = other.projector
            _, first, *ours = self.projector
            first.weight.copy_(hidden.weight @ directions.T)
            first.bias.copy_(hidden.bias + hidden.weight @ centre)
            for layer, trained in zip(ours, others, strict=True):
                layer.load_state_dict(trained.state_dict())
        self.eval()
        codes = torch.cat([self.encoder(to_float(part)) for part in images.split(500)])
        self.decoder.start_from_least_squares(codes, images)

    def unchanged(self) -> tuple[nn.Module, ...]:
        """The networks that keep the weights, and the statistics, that they start with."""
        return self.encoder.contrastive, self.projector

    def train(self, mode: bool = True) -> "SplitCode":
        super().train(mode)
        for layer in self.unchanged():
            layer.eval()
        return self

    def views(self, images: Tensor, random: Generator) -> tuple[Tensor, ...]:
        """The augmented image, which is also the target."""
        return (augment.view(images, self.settings.augmentation, random),)

    def objective(self, views: tuple[Tensor, ...], labels: Tensor) -> Tensor:
        (images,) = views
        return functional.l1_loss(self.decoder(self.encoder(images)), images)


class JointCode(SplitCode):
    """`joint`: the networks of `split`, trained further as a whole.

    NT-Xent of two views by the code's first numbers, and L1 of the image from all of them.
    """

    def start_from(self, other: Model, images: Tensor) -> None:
        self.load_state_dict(other.state_dict())

    def unchanged(self) -> tuple[nn.Module, ...]:
        return ()

    def views(self, images: Tensor, random: Generator) -> tuple[Tensor, ...]:
        """Two views of n images as one batch [2n, c, h, w], and the images themselves."""
        return two_views(images, self.settings.augmentation, random), images

    def objective(self, views: tuple[Tensor, ...], labels: Tensor) -> Tensor:
        both, images = views
        z = self.projector(self.encoder.contrastive(both))
        error = functional.l1_loss(self.decoder(self.encoder(images)), images)
        return objectives.nt_xent(z, self.settings.temperature) + self.settings.reconstruction_weight * error


class Leading(nn.Module):
    """The first `size` numbers of codes [n, d]."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, codes: Tensor) -> Tensor:
        return codes[:, : self.size]


class DividedEncoder(nn.Module):
    """k numbers by a contrastive encoder; 128 - k by a linear layer on its features and one on the pixels.

    The first k numbers can so be had of views of any size.
    """

    def __init__(self, shape: Shape, widths: Widths, size: int) -> None:
        super().__init__()
        self.contrastive = Encoder(shape, widths, size)
        self.from_features = mark(Float32(nn.Linear(9 * widths[-1], CODE_SIZE - size)), ADAMW)
        self.from_pixels = mark(Float32(nn.Linear(math.prod(shape), CODE_SIZE - size)), LINEAR_PATH)

    @torch.no_grad()
    def fit_beside(self, other: Encoder, images: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Fit to the encoder of `contrastive` and its code of images uint8 [n, c, h, w].

        The first k numbers c become the first principal components of that code, divided by one number, so
        that their mean variance is 1. With the regression of the pixels x on c, a matrix B, the others become
        the first principal components of x - E[x] - B c, with `scale` as the root of their mean variance. The
        regression is by least squares, with a penalty of a millionth.

        Returns directions [k, 128] and centre [128], for which c @ directions + centre is what the components
        determine of the contrastive code.
        """
        other.eval()
        codes = torch.cat([other(to_float(part)).double() for part in images.split(500)])
        first, last = self.contrastive.to_code.layer, other.to_code.layer
        with torch.autocast(images.device.type, enabled=False):
            centre = codes.mean(0)
            covariance = (codes - centre).T @ (codes - centre) / len(codes)
            directions = principal(covariance, first.out_features).to(covariance)
            unit = ((directions @ covariance) * directions).sum(1).mean().sqrt()
            weight, bias = last.weight.double(), last.bias.double()
            trained = other.state_dict() | {
                "to_code.layer.weight": (directions @ weight) / unit,
                "to_code.layer.bias": directions @ (bias - centre) / unit,
            }
            self.contrastive.load_state_dict(trained)
            self.fit_pixels((codes - centre) @ directions.T / unit, images, scale)
        return (unit * directions).float(), centre.float()

    def fit_pixels(self, contrast: Tensor, images: Tensor, scale: float) -> None:
        """Fit the layers for the other numbers, given c, float64 [n, k], of the images."""
        mean, covariance = moments(images)
        parts = zip(contrast.split(5000), images.split(5000), strict=True)
        cross = sum(part.T @ (pixels.double().flatten(1) - mean) for part, pixels in parts) / len(images)
        own = contrast.T @ contrast / len(contrast)
        penalty = 1e-6 * torch.eye(len(own), dtype=own.dtype, device=own.device)
        slope = torch.linalg.solve(own + penalty, cross)  # B^T [k, p]
        left = covariance - slope.T @ cross - cross.T @ slope + slope.T @ own @ slope
        pixels, features, first = self.from_pixels.layer, self.from_features.layer, self.contrastive.to_code
        components = principal(left, pixels.out_features).to(left)
        components *= scale / ((components @ left) * components).sum(1).mean().sqrt()
        explained = components @ slope.T  # components times B
        pixels.weight.copy_(255 * components)
        pixels.bias.copy_(-components @ mean)
        features.weight.copy_(-explained @ first.layer.weight.double())
        features.bias.copy_(-explained @ first.layer.bias.double())

    def forward(self, x: Tensor) -> Tensor:
        features = self.contrastive.features(x)
        others = self.from_features(features) + self.from_pixels(x.flatten(1))
        return torch.cat([self.contrastive.to_code(features), others], 1)
