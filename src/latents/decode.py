"""Reconstruction: a decoder for frozen codes, and the errors of decoded images.

Images are float32 [n, c, h, w] in [0, 1]; every measure is computed per image, then averaged.
"""

from collections.abc import Callable

import torch
from msgspec.structs import replace
from torch import Tensor
from torch.nn import functional

from latents.datasets import DATASETS
from latents.device import autocast, to_float
from latents.encode import BATCH
from latents.loop import Task, fit
from latents.model import forked
from latents.networks import Decoder
from latents.settings import CODE_SIZE
from latents.study import Study

Decode = Callable[[Tensor], Tensor]  # codes [n, d] -> images float [n, c, h, w]


@torch.inference_mode()
def decode(decoder: Decode, codes: Tensor, precision: str) -> Tensor:
    """Decode codes [n, d] to images float32 [n, c, h, w] in [0, 1]."""
    with autocast(codes.device, precision):
        return torch.cat([decoder(batch).float() for batch in codes.split(BATCH)])


def train_decoder(
    study: Study, dataset: str, codes: Tensor, images: Tensor, epochs: int | None = None
) -> "StandardisedDecoder":
    """Train a residual decoder with L1 on frozen codes [n, d] of images uint8 [n, c, h, w].

    The budget is the same for all methods: the study's, or as many epochs. The decoder starts as the
    least-squares linear map from codes to pixels, and its convolutions contribute nothing at first: a short
    training need not learn the linear part.
    """
    settings, device, shape = study.decoder, codes.device, DATASETS[dataset].shape
    with forked(settings.seed):
        inner = Decoder(shape, settings.channels, linear_path=True, code_size=codes.shape[1])
        decoder = StandardisedDecoder(inner, codes.shape[1])
    decoder.to(device, memory_format=torch.channels_last)
    decoder.start_from_least_squares(codes, images)

    def loss(index: Tensor, _: torch.Generator) -> Tensor:
        with autocast(device, study.precision_of(dataset)):
            return functional.l1_loss(decoder(codes[index]), to_float(images[index]))

    budget = replace(settings.optimisation, epochs=epochs) if epochs else settings.optimisation
    fit(Task("decoder on frozen codes", decoder, loss, len(codes), budget, settings.seed, device))
    return decoder


class StandardisedDecoder(torch.nn.Module):
    """A decoder, with a linear path, after a fixed standardisation of each code dimension."""

    def __init__(self, decoder: Decoder, code_size: int = CODE_SIZE) -> None:
        super().__init__()
        self.decoder = decoder
        self.register_buffer("mean", torch.zeros(code_size))
        self.register_buffer("std", torch.ones(code_size))

    @torch.no_grad()
    def start_from_least_squares(self, codes: Tensor, images: Tensor) -> None:
        """Fit the standardisation to codes [n, d] of images uint8 [n, c, h, w], and then the linear path.

        The latter is the ridge regression of pixels on codes, with penalty 1e-6 of the diagonal. The last
        convolution is set to zero, so that the other layers contribute nothing.
        """
        std = codes.std(0)
        self.mean.copy_(codes.mean(0))
        # the lower bound keeps the rounding noise of a constant dimension from being amplified
        self.std.copy_(std.clamp_min((1e-4 * std.max()).clamp_min(1e-8)))
        inputs = ((codes - self.mean) / self.std).double()
        covariance = inputs.T @ inputs
        covariance += (
            1e-6 * len(codes) * torch.eye(len(covariance), dtype=covariance.dtype, device=codes.device)
        )
        total = sum(part.sum(0, dtype=torch.int64) for part in images.split(5000))
        mean = total.double().flatten() / (255 * len(images))
        # in parts: a float64 copy of all pixels would be too large
        parts = zip(inputs.split(5000), images.split(5000), strict=True)
        cross = sum(part.T @ (pixels.double().flatten(1) / 255 - mean) for part, pixels in parts)
        linear, to_pixels = self.decoder.linear[0].layer, self.decoder.to_pixels.layer
        linear.weight.copy_(torch.linalg.solve(covariance, cross).T)
        linear.bias.copy_(mean)
        torch.nn.init.zeros_(to_pixels.weight)
        torch.nn.init.zeros_(to_pixels.bias)

    def forward(self, codes: Tensor) -> Tensor:
        return self.decoder((codes - self.mean) / self.std)


def mae(decoded: Tensor, original: Tensor) -> Tensor:
    """Mean absolute error of each image [n], with pixels in [0, 1]."""
    return (decoded - original).abs().mean((1, 2, 3))


def psnr(decoded: Tensor, original: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image [n] in dB, for a peak of 1."""
    return -10 * (decoded - original).square().mean((1, 2, 3)).clamp_min(1e-10).log10()


def ssim(decoded: Tensor, original: Tensor) -> Tensor:
    """Structural similarity of each image [n] (Wang et al. 2004).

    Gaussian window of 11 x 11 pixels with sigma 1.5, pixel range 1, valid positions only.
    """
    channels = decoded.shape[1]
    offsets = torch.arange(11, device=decoded.device, dtype=decoded.dtype) - 5
    window = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = (window / window.sum()).view(1, 1, 11, 1).expand(channels, 1, 11, 1)

    def blur(x: Tensor) -> Tensor:
        return functional.conv2d(
            functional.conv2d(x, window, groups=channels), window.transpose(2, 3), groups=channels
        )

    mean_a, mean_b = blur(decoded), blur(original)
    var_a, var_b = blur(decoded * decoded) - mean_a**2, blur(original * original) - mean_b**2
    covariance = blur(decoded * original) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    quotient = (
        (2 * mean_a * mean_b + c1)
        * (2 * covariance + c2)
        / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    )
    return quotient.mean((1, 2, 3))
