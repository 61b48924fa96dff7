"""Random augmentation of whole batches: one warp and one colour matrix per image, no loop over images.

All functions take float images [n, c, h, w] in [0, 1]. Parameters are drawn for each image from an explicit
generator. Amplitudes follow torchvision's transforms; the tests compare the results image by image.
"""

import functools
import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from latents.settings import Augmentation

LUMA = (0.2989, 0.587, 0.114)  # ITU-R BT.601, as in torchvision
# RGB to YIQ (NTSC); hue is the angle in the I-Q plane
TO_YIQ = torch.tensor(
    [[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]]
)
FROM_YIQ = torch.linalg.inv(TO_YIQ)


@functools.cache
def constants(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """LUMA, TO_YIQ and FROM_YIQ on a device, brought there once: a step must not wait for the host."""
    return torch.tensor(LUMA, device=device), TO_YIQ.to(device), FROM_YIQ.to(device)


def uniform(n: int, low: float, high: float, generator: Generator) -> Tensor:
    """n random numbers from [low, high), on the generator's device."""
    return torch.rand(n, generator=generator, device=generator.device) * (high - low) + low


def chance(n: int, probability: float, generator: Generator) -> Tensor:
    """n random booleans, each true with the given probability."""
    return uniform(n, 0, 1, generator) < probability


def crop(images: Tensor, top: Tensor, left: Tensor, pad: int, size: tuple[int, int]) -> Tensor:
    """Pad by reflection, then crop to `size`, (height, width), at integer offsets [n]."""
    n, channels, (height, width) = *images.shape[:2], size
    padded = functional.pad(images, (pad, pad, pad, pad), mode="reflect")
    rows = top[:, None] + torch.arange(height, device=images.device)  # [n, h]
    columns = left[:, None] + torch.arange(width, device=images.device)  # [n, w]
    flat = (rows[:, :, None] * padded.shape[3] + columns[:, None, :]).view(n, 1, -1)
    return padded.flatten(2).gather(2, flat.expand(-1, channels, -1)).view(n, channels, height, width)


def warp(images: Tensor, matrix: Tensor, size: tuple[int, int], outside: str = "zeros") -> Tensor:
    """Bilinear affine warp to `size`, (height, width); `outside` the image are zeros, or its reflection.

    `matrix` [n, 2, 3] maps output coordinates to input coordinates, both in [-1, 1]. `outside` is a
    padding_mode of torch's grid_sample.
    """
    n, (height, width) = len(images), size
    y = torch.linspace(-1 + 1 / height, 1 - 1 / height, height, device=images.device).view(1, height, 1)
    x = torch.linspace(-1 + 1 / width, 1 - 1 / width, width, device=images.device).view(1, 1, width)
    m = matrix.view(n, 2, 3, 1, 1)
    # [n, h, w, 2]
    grid = torch.stack([m[:, i, 0] * x + m[:, i, 1] * y + m[:, i, 2] for i in (0, 1)], dim=-1)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode=outside, align_corners=False)


def resized_crop_boxes(
    n: int, area: tuple[float, float], generator: Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random boxes as in torchvision's RandomResizedCrop, but a side longer than the image's is cut to it.

    torchvision draws another box in that case. Returns width and height [n], relative to the image, and the
    centre's x and y [n] in [-1, 1].
    """
    share = uniform(n, *area, generator)
    ratio = uniform(n, math.log(3 / 4), math.log(4 / 3), generator).exp()
    width, height = (share * ratio).sqrt().clamp(max=1), (share / ratio).sqrt().clamp(max=1)
    x, y = (uniform(n, -1, 1, generator) * (1 - side) for side in (width, height))
    return width, height, x, y


def geometry(images: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    """Random crop, resize, rotation, translation and flip."""
    n, _, height, width = images.shape
    device = images.device
    size = (settings.size, settings.size) if settings.size else (height, width)
    flip = chance(n, 0.5, generator) if settings.flip else torch.zeros(n, dtype=torch.bool, device=device)
    if settings.resized_crop is None and not settings.rotate:
        if settings.pad_crop or size != (height, width):
            room = [
                2 * settings.pad_crop + 1 + whole - part
                for whole, part in zip((height, width), size, strict=True)
            ]
            top, left = (torch.randint(most, (n,), generator=generator, device=device) for most in room)
            images = crop(images, top, left, settings.pad_crop, size)
        return torch.where(flip.view(n, 1, 1, 1), images.flip(3), images) if settings.flip else images
    ones = torch.ones(n, device=device)
    w, h, x, y = (ones, ones, 0 * ones, 0 * ones)
    if settings.resized_crop is not None:
        w, h, x, y = resized_crop_boxes(n, settings.resized_crop, generator)
    if settings.pad_crop:
        x = x + uniform(n, -1, 1, generator) * 2 * settings.pad_crop / width
        y = y + uniform(n, -1, 1, generator) * 2 * settings.pad_crop / height
    angle = uniform(n, -settings.rotate, settings.rotate, generator).deg2rad()
    sign = 1 - 2 * flip.float()
    cos, sin = angle.cos(), angle.sin()
    matrix = torch.stack(
        [torch.stack([sign * w * cos, -h * sin, x], 1), torch.stack([sign * w * sin, h * cos, y], 1)], 1
    )
    return warp(images, matrix, size)


def colour_matrix(brightness: Tensor, saturation: Tensor, hue: Tensor) -> Tensor:
    """Matrices [n, 3, 3] that change brightness, then saturation, then hue.

    Brightness and saturation are factors [n]; hue is a rotation [n], as a share of a full turn.
    """
    n, device = len(brightness), brightness.device
    luma, to_yiq, from_yiq = constants(device)
    keep = saturation.view(n, 1, 1) * torch.eye(3, device=device)
    saturate = keep + (1 - saturation).view(n, 1, 1) * luma.expand(3, 3)
    cos, sin = (2 * math.pi * hue).cos(), (2 * math.pi * hue).sin()
    turn = torch.zeros(n, 3, 3, device=device)
    turn[:, 0, 0] = 1
    turn[:, 1, 1], turn[:, 1, 2], turn[:, 2, 1], turn[:, 2, 2] = cos, -sin, sin, cos
    rotate = from_yiq @ turn @ to_yiq
    return brightness.view(n, 1, 1) * (rotate @ saturate)


def recolour(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, hue: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue, in this order, by one affine map of colours.

    Values are clamped to [0, 1] once, at the end. Contrast scales differences from the image's mean luma.
    Saturation and hue have no effect on grey images.
    """
    n, channels = images.shape[:2]
    mean = images.mean((2, 3))  # [n, c]
    if channels == 1:
        luma = brightness.view(n, 1) * mean
        matrix = (brightness * contrast).view(n, 1, 1)
        offset = ((1 - contrast).view(n, 1) * luma).view(n, 1, 1)
    else:
        luma = brightness * (mean @ constants(images.device)[0])
        matrix = contrast.view(n, 1, 1) * colour_matrix(brightness, saturation, hue)
        # saturation and hue leave a grey offset unchanged
        offset = ((1 - contrast) * luma).view(n, 1, 1).expand(n, 3, 1)
    return torch.baddbmm(offset, matrix, images.flatten(2)).clamp(0, 1).view_as(images)


def colour(images: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    """Random colour jitter and random conversion to grey."""
    n = len(images)
    if settings.brightness or settings.contrast or settings.saturation or settings.hue:
        amplitudes = (settings.brightness, settings.contrast, settings.saturation)
        b, c, s = (uniform(n, max(0.0, 1 - amplitude), 1 + amplitude, generator) for amplitude in amplitudes)
        h = uniform(n, -settings.hue, settings.hue, generator)
        off = ~chance(n, settings.jitter_probability, generator)
        b, c, s, h = (
            b.masked_fill(off, 1),
            c.masked_fill(off, 1),
            s.masked_fill(off, 1),
            h.masked_fill(off, 0),
        )
        images = recolour(images, b, c, s, h)
    if settings.grayscale and images.shape[1] == 3:
        grey = chance(n, settings.grayscale, generator)
        luma = torch.einsum("nchw,c->nhw", images, constants(images.device)[0]).unsqueeze(1)
        images = torch.where(grey.view(n, 1, 1, 1), luma, images)
    return images


def view(images: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    """One random view of each image: geometry, colour, then Gaussian noise.

    Returns float32 in [0, 1], also under autocast.
    """
    with torch.autocast(images.device.type, enabled=False):
        images = colour(geometry(images, settings, generator), settings, generator)
    if settings.noise:
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        images = (images + settings.noise * noise).clamp(0, 1)
    return images
