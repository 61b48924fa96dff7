"""JPEG and WebP at the bytes of a code: the outside yardstick of reconstruction.

Each image is encoded at several qualities, and at its own size, half and a quarter of it; the version with
the least error that fits the bytes counts, and where none does, the mean colour. Headers are not counted:
they follow from size and quality, for which one byte is counted, and would be all there is.
"""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

from latents.settings import CODE_SIZE

CODECS = ("jpeg", "webp")
QUALITIES = (1, 3, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95)
SHRINK = (1, 2, 4)  # how many times smaller than the image
WEBP_HEADERS = 30  # bytes: of RIFF, of the chunk and of the frame


def code_bytes(bits: int) -> int:
    """Bytes of a code whose numbers have so many bits."""
    return -(-CODE_SIZE * bits // 8)


def body(content: bytes, codec: str) -> int:
    """Bytes of a file without its headers: of a JPEG, the scan; its tables are the same for all images."""
    if codec == "webp":
        return len(content) - WEBP_HEADERS
    start = content.index(b"\xff\xda")  # start of scan, whose header tells its own length
    return len(content) - start - 2 - int.from_bytes(content[start + 2 : start + 4], "big") - 2


def versions(image: Image.Image, codec: str) -> Iterator[tuple[int, Image.Image]]:
    """Bytes, with one for the choice, and decoded picture of an image at each size and quality."""
    for shrink in SHRINK:
        small = image if shrink == 1 else image.reduce(shrink)
        for quality in QUALITIES:
            file = io.BytesIO()
            small.save(file, codec, quality=quality)
            decoded = Image.open(file).convert(image.mode).resize(image.size, Image.Resampling.BICUBIC)
            yield body(file.getvalue(), codec) + 1, decoded


def errors(images: np.ndarray, codec: str, budgets: list[int]) -> dict[int, float]:
    """Bytes -> MAE with pixels in [0, 1], a mean over images uint8 [n, c, h, w]."""
    found = np.empty((len(images), len(budgets)))
    grey = images.shape[1] == 1
    for place, image in enumerate(images):
        pixels = image[0] if grey else np.ascontiguousarray(np.moveaxis(image, 0, -1))
        original = pixels / 255
        mean = np.round(pixels.mean((0, 1))) / 255
        best = np.full(len(budgets), np.abs(original - mean).mean())
        for size, decoded in versions(Image.fromarray(pixels), codec):
            error = np.abs(np.asarray(decoded) / 255 - original).mean()
            best = np.where(size <= np.array(budgets), np.minimum(best, error), best)
        found[place] = best
    return dict(zip(budgets, found.mean(0).tolist(), strict=True))
