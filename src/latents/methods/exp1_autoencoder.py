"""Experiment 1, autoencoding without labels: a plain autoencoder, an improved and a variational one."""

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from latents import augment, objectives
from latents.convolution import Convolution, TransposedConvolution
from latents.datasets.spec import Shape
from latents.methods.baselines import start_from_pca
from latents.methods.settings import VAE, Autoencoder, AutoencoderPlus
from latents.model import Model, Sizes
from latents.networks import (
    Decoder,
    Encoder,
    Float32,
    Residual,
    Standardise,
    clamp,
    flat,
    linear_to_pixels,
    unflat,
)
from latents.optimise import ADAMW, mark
from latents.settings import CODE_SIZE, Widths


class PlainAutoencoder(Model):
    """`autoencoder`: three strided convolutions and their mirror image; L1 between input and output."""

    def __init__(self, settings: Autoencoder, sizes: Sizes) -> None:
        super().__init__()
        self.encoder = PlainEncoder(sizes.shape, settings.channels)
        self.decoder = PlainDecoder(sizes.shape, settings.channels, linear_path=False)

    def views(self, images: Tensor, random: Generator) -> tuple[Tensor]:
        """The images themselves."""
        return (images,)

    def objective(self, views: tuple[Tensor], labels: Tensor) -> Tensor:
        (images,) = views
        return functional.l1_loss(self.decoder(self.encoder(images)), images)


class ImprovedAutoencoder(Model):
    """`autoencoder-plus`: the improved autoencoder.

    The shared encoder, a residual decoder, linear paths, and gradient histograms as a second target.
    """

    def __init__(self, settings: AutoencoderPlus, sizes: Sizes) -> None:
        super().__init__()
        self.settings = settings
        shape, size, linear = sizes.shape, settings.code_size, settings.linear_path
        self.encoder = Encoder(shape, sizes.widths, size, linear_path=linear)
        if settings.residual_decoder:
            self.decoder = Decoder(shape, sizes.decoder_channels, linear, size)
        else:
            self.decoder = PlainDecoder(shape, sizes.plain_channels, linear, size)
        self.gradients: nn.Module | None = None
        if settings.frozen_encoder:
            self.encoder.requires_grad_(False)
        if settings.gradient_weight:  # built last, so that the other layers start the same without it
            self.gradients = GradientDecoder(shape, sizes.decoder_channels, size)

    def fit(self, images: Tensor) -> None:
        """As in Model; linear paths start at PCA, and the other layers add nothing at first."""
        super().fit(images)
        if self.settings.linear_path:
            start_from_pca(images, self.encoder.linear.layer, self.decoder.linear[0].layer)
            for layer in (self.encoder.to_code.layer, self.decoder.to_pixels.layer):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def views(self, images: Tensor, random: Generator) -> tuple[Tensor, Tensor]:
        """The encoder's input and the target: augmented images, some of them corrupted for the encoder."""
        settings = self.settings
        target = augment.view(images, settings.augmentation, random)
        clean = augment.chance(len(target), settings.clean_fraction, random).view(-1, 1, 1, 1)
        return torch.where(clean, target, augment.view(target, settings.corruption, random)), target

    def objective(self, views: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
        seen, target = views
        codes = self.encoder(seen)
        loss = functional.l1_loss(self.decoder(codes), target)
        if self.gradients is not None:
            histograms = objectives.gradient_histograms(target)
            loss = loss + self.settings.gradient_weight * functional.l1_loss(
                self.gradients(codes), histograms
            )
        return loss


class VariationalAutoencoder(Model):
    """`vae`: a variational autoencoder (Kingma and Welling 2014); the code is the mean of its density.

    L1 is averaged over pixel values and KL divided by their number, so that beta = b is the bound on the
    likelihood under Laplace densities of scale b round the reconstructed values, up to a factor and a
    constant.
    """

    has_prior = True

    def __init__(self, settings: VAE, sizes: Sizes) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = Encoder(sizes.shape, sizes.widths, settings.code_size)
        self.decoder = Decoder(sizes.shape, sizes.decoder_channels, False, settings.code_size)
        self.to_log_variance = Float32(nn.Linear(9 * sizes.widths[-1], settings.code_size))
        nn.init.zeros_(self.to_log_variance.layer.weight)
        nn.init.zeros_(self.to_log_variance.layer.bias)

    def views(self, images: Tensor, random: Generator) -> tuple[Tensor, Tensor]:
        """Augmented images, and for the code of each 128 standard normal numbers."""
        noise = torch.randn(len(images), self.settings.code_size, generator=random, device=images.device)
        return augment.view(images, self.settings.augmentation, random), noise

    def objective(self, views: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
        images, noise = views
        features = self.encoder.features(images)
        mean, log_variance = self.encoder.to_code(features), self.to_log_variance(features)
        decoded = self.decoder(mean + (log_variance / 2).exp() * noise)
        divergence = objectives.kl_to_normal(mean, log_variance) / images[0].numel()
        return functional.l1_loss(decoded, images) + self.settings.beta * divergence


class PlainEncoder(nn.Module):
    """Three convolutions of stride 2 with ReLU, and a linear layer to the code."""

    def __init__(self, shape: Shape, channels: Widths) -> None:
        super().__init__()
        height, width, colours = shape
        steps = [colours, *channels]
        layers = [
            nn.Sequential(Convolution(a, b, 3, stride=2), nn.ReLU())
            for a, b in zip(steps, channels, strict=False)
        ]
        self.standardise = Standardise(colours)
        self.layers = nn.Sequential(*layers)
        self.to_code = Float32(nn.Linear(channels[-1] * -(-height // 8) * -(-width // 8), CODE_SIZE))

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Fit the standardisation on images: float [n, c, h, w] in [0, 1]."""
        self.standardise.fit(images)

    def forward(self, x: Tensor) -> Tensor:
        return self.to_code(flat(self.layers(self.standardise(x))))


class PlainDecoder(nn.Module):
    """Mirror image of the plain encoder: a linear layer and three transposed convolutions.

    Optionally, a linear path from the code to the pixels is added.
    """

    def __init__(self, shape: Shape, channels: Widths, linear_path: bool, code_size: int = CODE_SIZE) -> None:
        super().__init__()
        height, width, colours = shape
        self.size = (height, width)
        a, b, c = channels
        self.start = (c, -(-height // 8), -(-width // 8))
        self.from_code = nn.Linear(code_size, c * self.start[1] * self.start[2])
        self.layers = nn.Sequential(
            nn.ReLU(),
            TransposedConvolution(c, b, 4, stride=2),
            nn.ReLU(),
            TransposedConvolution(b, a, 4, stride=2),
            nn.ReLU(),
        )
        self.to_pixels = mark(Float32(nn.ConvTranspose2d(a, colours, 4, stride=2, padding=1)), ADAMW)
        self.linear = linear_to_pixels(code_size, shape) if linear_path else None

    def forward(self, codes: Tensor) -> Tensor:
        features = self.layers(unflat(self.from_code(codes), self.start, self.layers[1]))
        pixels = self.to_pixels(features)[:, :, : self.size[0], : self.size[1]]
        return clamp(pixels if self.linear is None else pixels + self.linear(codes))


class GradientDecoder(nn.Module):
    """Codes [n, d] -> gradient histograms [n, 9, h / 4, w / 4] (objectives.gradient_histograms)."""

    def __init__(self, shape: Shape, channels: int, code_size: int = CODE_SIZE) -> None:
        super().__init__()
        self.start = (channels, shape[0] // objectives.CELL, shape[1] // objectives.CELL)
        self.from_code = nn.Linear(code_size, math.prod(self.start))
        self.layers = nn.Sequential(
            Residual(channels), Float32(nn.Conv2d(channels, objectives.DIRECTIONS, 1))
        )

    def forward(self, codes: Tensor) -> Tensor:
        return self.layers(unflat(self.from_code(codes), self.start, self.layers[0].branch[0]))
