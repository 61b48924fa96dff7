"""The networks that methods share (encoder, decoder, heads), and layers for the others.

Every encoder takes images [n, c, h, w] in [0, 1] and returns one code for each (128 numbers, unless a sweep
varies the size); every decoder takes codes and returns images in [0, 1]. Only the code passes between them.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from latents.convolution import Convolution
from latents.datasets.spec import Shape
from latents.optimise import ADAMW, LINEAR_PATH, mark
from latents.settings import CODE_SIZE


class Float32(nn.Module):
    """A layer kept in float32 under autocast: bfloat16's eight bits are too few for codes and pixels."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self.layer(x.float())


def layout_of(x: Tensor) -> torch.memory_format:
    """The memory format of a tensor: channels last or torch's default.

    Layers that get tensors of both formats fall back to slow loops.
    """
    return (
        torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    )


def flat(features: Tensor) -> Tensor:
    """[n, c, h, w] -> [n, c * h * w]; the gradient has the memory format of the features."""
    if features.requires_grad:
        layout = layout_of(features)
        features.register_hook(lambda gradient: gradient.contiguous(memory_format=layout))
    return features.flatten(1)


def unflat(x: Tensor, shape: tuple[int, int, int], layer: nn.Module) -> Tensor:
    """[n, c * h * w] -> [n, c, h, w], in the memory format of the weights of `layer`, which comes next."""
    return x.unflatten(1, shape).contiguous(memory_format=layout_of(layer.weight))


class Standardise(nn.Module):
    """Per-channel standardisation; the statistics are fitted on training images only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("std", torch.ones(1, channels, 1, 1))

    def fit(self, images: Tensor) -> None:
        """Fit mean and standard deviation of images: float [n, c, h, w] in [0, 1]."""
        self.mean.copy_(images.mean((0, 2, 3), keepdim=True))
        self.std.copy_(images.std((0, 2, 3), keepdim=True))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class Whitening(nn.Conv2d):
    """Frozen first layer: 2x2 patches projected on their principal directions, both signs, at unit variance.

    From airbench (Jordan 2024, arXiv 2404.00498); fitted on training images, without labels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 8 * channels, kernel_size=2, bias=False)
        self.weight.requires_grad_(False)

    def fit(self, images: Tensor, epsilon: float = 5e-4) -> None:
        """Fit the filters on images: float [n, c, h, w], standardised."""
        products, total, n = 0.0, 0.0, 0
        for part in images.split(500):  # all patches at once would take more than a gigabyte
            # [500 * positions, 4c]
            patches = nn.functional.unfold(part, 2).transpose(1, 2).flatten(0, 1).double()
            products, total, n = products + patches.T @ patches, total + patches.sum(0), n + len(patches)
        values, vectors = torch.linalg.eigh(products / n - (total / n).outer(total / n))
        # the sign of an eigenvector is arbitrary: a positive largest entry makes machines agree
        vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
        filters = (vectors / (values + epsilon).sqrt()).T.reshape(-1, *self.weight.shape[1:])
        self.weight.copy_(torch.cat([filters, -filters]))


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions, the first followed by 2x2 max pooling; halves the resolution."""
    return nn.Sequential(
        Convolution(inputs, outputs, 3, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(outputs),
        nn.GELU(),
        Convolution(outputs, outputs, 3, bias=False),
        nn.BatchNorm2d(outputs),
        nn.GELU(),
    )


def enlarged(features: Tensor) -> Tensor:
    """[n, c, 2, 2] -> [n, c, 3, 3], linearly interpolated with the corners kept.

    Written out because the gradient of `interpolate` is not deterministic on a GPU.
    """
    layout = layout_of(features)
    for axis in (2, 3):
        a, b = features.split(1, axis)
        features = torch.cat([a, (a + b) / 2, b], axis)
    return features.contiguous(memory_format=layout)


class Encoder(nn.Module):
    """The encoder of all methods but `pca` and `autoencoder`: 25 to 32 pixels a side -> 3x3 map -> code.

    Views of 17 to 24 pixels a side end in a 2x2 map, which is interpolated to 3x3. Optionally a linear path
    from the pixels of full-size images is added to the code.
    """

    def __init__(
        self,
        shape: Shape,
        widths: tuple[int, int, int],
        code_size: int = CODE_SIZE,
        *,
        linear_path: bool = False,
    ) -> None:
        super().__init__()
        channels = shape[2]
        self.standardise = Standardise(channels)
        self.whiten = Whitening(channels)
        steps = [8 * channels, *widths]
        self.blocks = nn.Sequential(nn.GELU(), *(block(a, b) for a, b in pairwise(steps)))
        self.to_code = Float32(nn.Linear(9 * widths[-1], code_size))
        self.linear = (
            mark(Float32(nn.Linear(math.prod(shape), code_size)), LINEAR_PATH) if linear_path else None
        )

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Fit standardisation and whitening on training images: float [n, c, h, w] in [0, 1]."""
        self.standardise.fit(images)
        self.whiten.fit(self.standardise(images))

    def features(self, x: Tensor) -> Tensor:
        """The last map of images, 3x3, flattened."""
        features = self.blocks(self.whiten(self.standardise(x)))
        return flat(enlarged(features) if features.shape[-1] == 2 else features)

    def forward(self, x: Tensor) -> Tensor:
        code = self.to_code(self.features(x))
        return code if self.linear is None else code + self.linear(x.flatten(1))


def linear_to_pixels(code_size: int, shape: Shape) -> nn.Sequential:
    """The linear path of a decoder: codes [n, d] -> pixels [n, c, h, w]."""
    height, width, channels = shape
    layers = (
        Float32(nn.Linear(code_size, math.prod(shape))),
        nn.Unflatten(1, (channels, height, width)),
    )
    return mark(nn.Sequential(*layers), LINEAR_PATH)


def classification_head(code_size: int, classes: int) -> nn.Sequential:
    """Codes [n, d] -> logits [n, classes]."""
    return mark(nn.Sequential(nn.BatchNorm1d(code_size), nn.Linear(code_size, classes)), ADAMW)


def clamp(x: Tensor) -> Tensor:
    """Clamp to [0, 1], with the gradient of the identity, so that no pixel gets stuck outside the range."""
    return x + (x.clamp(0, 1) - x).detach()


class Residual(nn.Module):
    """Residual block with two 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            Convolution(channels, channels, 3, bias=False),
            nn.BatchNorm2d(channels),
            nn.GELU(),
            Convolution(channels, channels, 3, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.gelu(x + self.branch(x))


class Decoder(nn.Module):
    """Residual decoder with two steps of pixel shuffling: a quarter of the resolution -> half -> full.

    Optionally, a linear path from the code to the pixels is added.
    """

    def __init__(self, shape: Shape, channels: int, linear_path: bool, code_size: int = CODE_SIZE) -> None:
        super().__init__()
        height, width, colours = shape
        self.start = (channels, height // 4, width // 4)
        self.from_code = nn.Linear(code_size, channels * self.start[1] * self.start[2])
        self.blocks = nn.Sequential(
            Residual(channels),
            Residual(channels),
            nn.Conv2d(channels, 2 * channels, 1),
            nn.PixelShuffle(2),
            Residual(channels // 2),
        )
        self.to_pixels = mark(Float32(nn.Conv2d(channels // 2, 4 * colours, 3, padding=1)), ADAMW)
        self.linear = linear_to_pixels(code_size, shape) if linear_path else None

    def forward(self, codes: Tensor) -> Tensor:
        features = self.blocks(unflat(self.from_code(codes), self.start, self.blocks[0].branch[0]))
        pixels = nn.functional.pixel_shuffle(self.to_pixels(features), 2)
        return clamp(pixels if self.linear is None else pixels + self.linear(codes))
