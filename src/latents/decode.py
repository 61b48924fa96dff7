"""Reconstruction: a decoder for frozen codes, and how far its images are from the originals.

Images are float32 [n, c, h, w] in [0, 1]; every measure is taken per image, then averaged.
"""

import torch
from torch import Tensor
from torch.nn import functional

from latents.config import DATASETS, Study
from latents.device import to_float
from latents.loop import fit
from latents.model import forked
from latents.networks import Decoder


def train_decoder(study: Study, dataset: str, codes: Tensor, images: Tensor) -> Decoder:
    """A residual decoder trained with L1 on frozen codes [n, d] of images uint8 [n, c, h, w]: one budget for every row.

    It starts as the least-squares linear map from codes to pixels, its convolutions adding nothing, so that a short training need
    not find first what a row's codes say linearly about the pixels.
    """
    settings, device = study.decoder, codes.device
    with forked(settings.seed):
        decoder = StandardisedDecoder(Decoder(DATASETS[dataset], settings.channels, linear_path=True, code_size=codes.shape[1]), codes)
    decoder.start_from_least_squares(codes, images)
    decoder.to(device, memory_format=torch.channels_last)

    def loss(index: Tensor, _: torch.Generator) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=study.precision == "bfloat16"):
            return functional.l1_loss(decoder(codes[index]), to_float(images[index]))

    fit(loss, lambda _: 0.0, decoder, settings.optimisation, len(codes), settings.seed, device, name="decoder on frozen codes")
    return decoder


class StandardisedDecoder(torch.nn.Module):
    """A decoder behind a fixed standardisation of each code number, fitted on training codes."""

    def __init__(self, decoder: Decoder, codes: Tensor) -> None:
        super().__init__()
        self.decoder = decoder
        std = codes.std(0)
        self.register_buffer("mean", codes.mean(0))
        self.register_buffer("std", std.clamp_min((1e-4 * std.max()).clamp_min(1e-8)))  # a constant number's rounding noise is not blown up

    @torch.no_grad()
    def start_from_least_squares(self, codes: Tensor, images: Tensor) -> None:
        """Make the linear path the ridge regression (1e-6 of the diagonal) of pixels on codes, and silence the rest."""
        inputs = ((codes - self.mean) / self.std).double()
        covariance = inputs.T @ inputs
        covariance += 1e-6 * len(codes) * torch.eye(len(covariance), dtype=covariance.dtype, device=codes.device)
        mean = sum(part.sum(0, dtype=torch.int64) for part in images.split(5000)).double().flatten() / (255 * len(images))
        parts = zip(inputs.split(5000), images.split(5000), strict=True)  # a float64 copy of all pixels would be too large
        cross = sum(part.T @ (pixels.double().flatten(1) / 255 - mean) for part, pixels in parts)
        linear, to_pixels = self.decoder.linear[0].layer, self.decoder.to_pixels.layer
        linear.weight.copy_(torch.linalg.solve(covariance, cross).T)
        linear.bias.copy_(mean)
        torch.nn.init.zeros_(to_pixels.weight)
        torch.nn.init.zeros_(to_pixels.bias)

    def forward(self, codes: Tensor) -> Tensor:
        return self.decoder((codes - self.mean) / self.std)


def mae(drawn: Tensor, original: Tensor) -> Tensor:
    """Mean absolute error of each image [n], on the pixels' range [0, 1]."""
    return (drawn - original).abs().mean((1, 2, 3))


def psnr(drawn: Tensor, original: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image [n] in dB, for a peak of 1."""
    return -10 * (drawn - original).square().mean((1, 2, 3)).clamp_min(1e-10).log10()


def ssim(drawn: Tensor, original: Tensor) -> Tensor:
    """Structural similarity of each image [n] (Wang et al. 2004): Gaussian window of 11, sigma 1.5, range 1, valid part only."""
    channels = drawn.shape[1]
    offsets = torch.arange(11, device=drawn.device, dtype=drawn.dtype) - 5
    window = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = (window / window.sum()).view(1, 1, 11, 1).expand(channels, 1, 11, 1)

    def blur(x: Tensor) -> Tensor:
        return functional.conv2d(functional.conv2d(x, window, groups=channels), window.transpose(2, 3), groups=channels)

    mean_a, mean_b = blur(drawn), blur(original)
    var_a, var_b = blur(drawn * drawn) - mean_a**2, blur(original * original) - mean_b**2
    covariance = blur(drawn * original) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    quotient = (2 * mean_a * mean_b + c1) * (2 * covariance + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return quotient.mean((1, 2, 3))
