"""The networks: encoders and decoders; `model` adds the heads.

Every encoder takes images [n, c, h, w] in [0, 1] and returns one vector for each (128 numbers, but in a sweep of it); every decoder takes
such vectors and returns images in [0, 1]. Nothing passes from encoder to decoder but the code.
"""

import math

import scipy.linalg
import torch
from torch import Tensor, nn

from latents.convolution import Convolution, TransposedConvolution
from latents.settings import CELL, CODE_SIZE, DIRECTIONS

Shape = tuple[int, int, int]  # height, width, channels of an image; or channels, height, width of a tensor


class Float32(nn.Module):
    """A layer kept in float32 under autocast: codes and pixels deserve more than bfloat16's eight bits."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self.layer(x.float())


def layout_of(x: Tensor) -> torch.memory_format:
    """Channels last or torch's default; layers that get both at once fall back to slow loops."""
    return torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format


def flat(features: Tensor) -> Tensor:
    """[n, c, h, w] -> [n, c * h * w]; the gradient comes back in the features' own layout."""
    if features.requires_grad:
        layout = layout_of(features)
        features.register_hook(lambda gradient: gradient.contiguous(memory_format=layout))
    return features.flatten(1)


def unflat(x: Tensor, shape: Shape, layer: nn.Module) -> Tensor:
    """[n, c * h * w] -> [n, c, h, w], in the layout of the weights of the layer that takes it."""
    return x.unflatten(1, shape).contiguous(memory_format=layout_of(layer.weight))


class Standardise(nn.Module):
    """Per-channel standardisation; the statistics are fitted on the training images alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("std", torch.ones(1, channels, 1, 1))

    def fit(self, images: Tensor) -> None:
        """images: float [n, c, h, w] in [0, 1]."""
        self.mean.copy_(images.mean((0, 2, 3), keepdim=True))
        self.std.copy_(images.std((0, 2, 3), keepdim=True))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class Whitening(nn.Conv2d):
    """Frozen first layer: 2x2 patches projected on their principal directions, both signs, at unit variance.

    From airbench (Jordan 2024, arXiv 2404.00498); fitted on the training images, without labels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 8 * channels, kernel_size=2, bias=False)
        self.weight.requires_grad_(False)

    def fit(self, images: Tensor, epsilon: float = 5e-4) -> None:
        """images: float [n, c, h, w], standardised."""
        products, total, n = 0.0, 0.0, 0
        for part in images.split(500):  # all patches at once would take more than a gigabyte
            patches = nn.functional.unfold(part, 2).transpose(1, 2).flatten(0, 1).double()  # [500 * positions, 4c]
            products, total, n = products + patches.T @ patches, total + patches.sum(0), n + len(patches)
        values, vectors = torch.linalg.eigh(products / n - (total / n).outer(total / n))
        # the sign of an eigenvector is arbitrary: make its largest entry positive, so that machines agree
        vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
        filters = (vectors / (values + epsilon).sqrt()).T.reshape(-1, *self.weight.shape[1:])
        self.weight.copy_(torch.cat([filters, -filters]))


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions, the first followed by 2x2 max pooling; halves the resolution."""
    return nn.Sequential(
        Convolution(inputs, outputs, 3, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(outputs), nn.GELU(),
        Convolution(outputs, outputs, 3, bias=False), nn.BatchNorm2d(outputs), nn.GELU(),
    )  # fmt: skip


class Encoder(nn.Module):
    """The encoder that all rows but `pca` and `autoencoder` share: 32x32 (or 25x25, and all between) -> 3x3 feature map -> 128.

    Optionally a linear path from the pixels of full-size images is added to the code.
    """

    def __init__(self, shape: Shape, widths: tuple[int, int, int], code_size: int = CODE_SIZE, *, linear_path: bool = False) -> None:
        super().__init__()
        channels = shape[2]
        self.standardise = Standardise(channels)
        self.whiten = Whitening(channels)
        steps = [8 * channels, *widths]
        self.blocks = nn.Sequential(nn.GELU(), *(block(a, b) for a, b in zip(steps, steps[1:], strict=False)))
        self.to_code = Float32(nn.Linear(9 * widths[-1], code_size))
        self.linear = Float32(nn.Linear(math.prod(shape), code_size)) if linear_path else None

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Fit what is fitted, not learnt, on training images: float [n, c, h, w] in [0, 1]."""
        self.standardise.fit(images)
        self.whiten.fit(self.standardise(images))

    def forward(self, x: Tensor) -> Tensor:
        code = self.to_code(flat(self.blocks(self.whiten(self.standardise(x)))))
        return code if self.linear is None else code + self.linear(x.flatten(1))


class PlainEncoder(nn.Module):
    """Experiment 1, before: three convolutions of stride 2, ReLU, and a linear layer to the code."""

    def __init__(self, shape: Shape, channels: tuple[int, int, int]) -> None:
        super().__init__()
        height, width, colours = shape
        steps = [colours, *channels]
        layers = [nn.Sequential(Convolution(a, b, 3, stride=2), nn.ReLU()) for a, b in zip(steps, channels, strict=False)]
        self.standardise = Standardise(colours)
        self.layers = nn.Sequential(*layers)
        self.to_code = Float32(nn.Linear(channels[-1] * -(-height // 8) * -(-width // 8), CODE_SIZE))

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        self.standardise.fit(images)

    def forward(self, x: Tensor) -> Tensor:
        return self.to_code(flat(self.layers(self.standardise(x))))


class PCA(nn.Module):
    """Principal components of the training pixels: encoder and decoder in one."""

    def __init__(self, shape: Shape, code_size: int = CODE_SIZE) -> None:
        super().__init__()
        self.shape = (shape[2], shape[0], shape[1])
        size = shape[0] * shape[1] * shape[2]
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("components", torch.zeros(code_size, size))

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """images: uint8 [n, c, h, w]. The covariance is exact: in 256 images every sum of products is a whole number below 2^24."""
        pixels = images.flatten(1)
        total = torch.zeros(pixels.shape[1], dtype=torch.float64)
        products = torch.zeros(len(total), len(total), dtype=torch.float64)
        for part in pixels.split(256):
            part = part.float()
            total += part.sum(0)
            products += part.T @ part
        mean = total / len(pixels)
        covariance = products / len(pixels) - mean.outer(mean)
        last = len(covariance) - 1
        vectors = scipy.linalg.eigh(covariance.numpy(), subset_by_index=[last + 1 - len(self.components), last])[1]
        vectors = torch.from_numpy(vectors).flip(1)
        vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
        self.mean.copy_(mean / 255)
        self.components.copy_(vectors.T)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return (x.flatten(1) - self.mean) @ self.components.T

    def decode(self, codes: Tensor) -> Tensor:
        with torch.autocast(codes.device.type, enabled=False):
            return (codes @ self.components + self.mean).clamp(0, 1).unflatten(1, self.shape)


class GradientDecoder(nn.Module):
    """From codes [n, d] to gradient histograms [n, 9, h / 4, w / 4] (objectives.gradient_histograms)."""

    def __init__(self, shape: Shape, channels: int, code_size: int = CODE_SIZE) -> None:
        super().__init__()
        self.start = (channels, shape[0] // CELL, shape[1] // CELL)
        self.from_code = nn.Linear(code_size, math.prod(self.start))
        self.layers = nn.Sequential(Residual(channels), Float32(nn.Conv2d(channels, DIRECTIONS, 1)))

    def forward(self, codes: Tensor) -> Tensor:
        return self.layers(unflat(self.from_code(codes), self.start, self.layers[0].branch[0]))


def linear_to_pixels(code_size: int, shape: Shape) -> nn.Sequential:
    """A linear map of the code to pixels [c, h, w]."""
    return nn.Sequential(Float32(nn.Linear(code_size, shape[0] * shape[1] * shape[2])), nn.Unflatten(1, shape))


def clamp(x: Tensor) -> Tensor:
    """Clamp to the pixels' range [0, 1], with the gradient of the identity, so that no pixel is stuck outside."""
    return x + (x.clamp(0, 1) - x).detach()


class PlainDecoder(nn.Module):
    """The plain encoder in reverse: a linear layer and three transposed convolutions; optionally plus a linear map of the code."""

    def __init__(self, shape: Shape, channels: tuple[int, int, int], linear_path: bool, code_size: int = CODE_SIZE) -> None:
        super().__init__()
        height, width, colours = shape
        self.shape = (colours, height, width)
        a, b, c = channels
        self.start = (c, -(-height // 8), -(-width // 8))
        self.from_code = nn.Linear(code_size, c * self.start[1] * self.start[2])
        self.layers = nn.Sequential(
            nn.ReLU(), TransposedConvolution(c, b, 4, stride=2), nn.ReLU(), TransposedConvolution(b, a, 4, stride=2), nn.ReLU()
        )
        self.to_pixels = Float32(nn.ConvTranspose2d(a, colours, 4, stride=2, padding=1))
        self.linear = linear_to_pixels(code_size, self.shape) if linear_path else None

    def forward(self, codes: Tensor) -> Tensor:
        drawn = self.to_pixels(self.layers(unflat(self.from_code(codes), self.start, self.layers[1])))
        pixels = drawn[:, :, : self.shape[1], : self.shape[2]]
        return clamp(pixels if self.linear is None else pixels + self.linear(codes))


class Residual(nn.Module):
    """Two 3x3 convolutions on a residual branch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            Convolution(channels, channels, 3, bias=False), nn.BatchNorm2d(channels), nn.GELU(),
            Convolution(channels, channels, 3, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.gelu(x + self.branch(x))


class Decoder(nn.Module):
    """Residual decoder: quarter resolution -> half -> full by pixel shuffling; optionally plus a linear map of the code."""

    def __init__(self, shape: Shape, channels: int, linear_path: bool, code_size: int = CODE_SIZE) -> None:
        super().__init__()
        height, width, colours = shape
        self.start = (channels, height // 4, width // 4)
        self.from_code = nn.Linear(code_size, channels * self.start[1] * self.start[2])
        self.blocks = nn.Sequential(
            Residual(channels), Residual(channels), nn.Conv2d(channels, 2 * channels, 1), nn.PixelShuffle(2), Residual(channels // 2)
        )
        self.to_pixels = Float32(nn.Conv2d(channels // 2, 4 * colours, 3, padding=1))
        self.linear = linear_to_pixels(code_size, (colours, height, width)) if linear_path else None

    def forward(self, codes: Tensor) -> Tensor:
        features = self.blocks(unflat(self.from_code(codes), self.start, self.blocks[0].branch[0]))
        pixels = nn.functional.pixel_shuffle(self.to_pixels(features), 2)
        return clamp(pixels if self.linear is None else pixels + self.linear(codes))
