"""Read a user's own image files as images of a data set. Does not import torch.

What Pillow leaves open is decided here: which side is up, which number is white, and what is behind a
transparent pixel. What a file does not say is refused, never guessed.
"""

import contextlib
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from tqdm import tqdm

from latents.cli import Problem
from latents.datasets import DATASETS
from latents.datasets.spec import DatasetSpec

GREY = 128  # behind transparent pixels: no cut-out vanishes in it, be it black or white
SLENDER = 20  # an image this many times as long as wide shows nothing once it is square
FLAT = 16  # grey levels: an image with fewer between its darkest and its brightest is as good as empty
BITS, PHOTOMETRIC, LARGEST, SAMPLE = 258, 262, 281, 339  # tags of a TIFF
SIGNED = 2  # as SAMPLE, the kind of its numbers
ROUNDING = 1e-3  # floats beyond black or white by this much are what resizing leaves
WHITES = [2**bits - 1 for bits in range(8, 17)]  # as a TIFF's largest number; another is just its brightest
GREYS = {"L;2": 85, "L;4": 17}  # a PNG's transparent grey, which Pillow does not scale with the pixels

logging.getLogger("PIL").addHandler(logging.NullHandler())  # or its messages would go to stderr


class Unfit(Exception):
    """What is wrong with an image and what to do; read_image names the file."""


def read(paths: Sequence[str], dataset: str, *, invert: bool = False) -> np.ndarray:
    """Read image files as uint8 [n, c, h, w] in the data set's size and colours.

    `invert` is for black on white, if the data set is white on black. Images that look wrong are reported on
    stderr, in one line for all. Raises Problem.
    """
    spec = DATASETS[dataset]
    if invert and not spec.white_on_black:
        raise Problem(f"--invert: the images of {spec.label} are not white on black; leave it out")
    reading = tqdm(paths, desc="reading", disable=None)
    images = np.stack([read_image(path, dataset, invert=invert) for path in reading])
    said = "are of one colour, or nearly, so that their codes say nothing"
    warn(paths, [np.ptp(image) < FLAT for image in images], said)
    if spec.white_on_black:
        said = "leave out --invert" if invert else "if yours are black on white, add --invert"
        said = f"have a white border, or are mostly white; {spec.label} is white on black: {said}"
        warn(paths, [bright(image) for image in images], said)
    return images


def warn(paths: Sequence[str], found: Sequence[bool], said: str) -> None:
    """Report the images in which something is found on stderr, in one line for all."""
    odd = [shown(path) for path, one in zip(paths, found, strict=True) if one]
    if odd:
        print(f"warning: {len(odd)} of {len(paths)} images (first: {odd[0]}) {said}", file=sys.stderr)


def bright(image: np.ndarray) -> bool:
    """Whether most of an image uint8 [c, h, w], or most of its border, is nearer to white than to black."""
    border = np.concatenate([image[:, [0, -1]].ravel(), image[:, :, [0, -1]].ravel()])
    return bool(max(np.median(border), np.median(image)) > 127)


def shown(path: str) -> str:
    """A path as part of one line."""
    return path if path.isprintable() else repr(path)


def read_image(path: str, dataset: str, *, invert: bool = False) -> np.ndarray:
    """Read an image file as uint8 [c, h, w] in the data set's size and colours. Raises Problem."""
    try:
        check_file(Path(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of metadata and of size
            # not by path: Pillow would map the file into memory, in which it scrambles a turned TIFF
            with open(path, "rb") as file, Image.open(file) as image:
                return pixels(image, DATASETS[dataset], invert)
    except Exception as error:  # a broken image can raise almost anything
        raise Problem(f"{shown(path)}: {reason(error)}") from None


def check_file(path: Path) -> None:
    """Raise Unfit for an empty file, and for what is no file: a read of a pipe may never end."""
    if path.exists() and not path.is_file():
        raise Unfit(f"a {'folder' if path.is_dir() else 'device or pipe'}, not a file; give image files")
    if path.is_file() and path.stat().st_size == 0:
        raise Unfit("an empty file; copy it anew")


def reason(error: Exception) -> str:
    """What is wrong with an image and what to do, from what reading it raised."""
    match error:
        case Unfit():
            return str(error)
        case FileNotFoundError():
            return "missing; give the path of an image file"
        case UnidentifiedImageError():
            return "not an image that Pillow can read, cut short or without pixels; give PNG or JPEG files"
        case Image.DecompressionBombError() | MemoryError():
            return f"too large (at most {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels); make it smaller"
        case OSError(strerror=str(told)):
            return f"cannot be read ({told}); mend its path, permissions or content"
    told = " ".join(str(error).split()) or type(error).__name__
    return f"damaged, cut short or unsupported ({told}); copy it anew, or save it as PNG or JPEG"


def pixels(image: ImageFile, spec: DatasetSpec, invert: bool) -> np.ndarray:
    """uint8 [c, h, w] of an opened image, in the data set's size and colours. Raises Unfit."""
    if max(image.size) > SLENDER * min(image.size):
        raise Unfit(f"{image.width} x {image.height} pixels, too long and narrow; cut it nearer to a square")
    args = image.tile[0].args if image.tile else None  # only known before loading
    raw = str(args[0] if isinstance(args, tuple) and args else args)  # such as "RGB;16B"
    image.load()
    with contextlib.suppress(Exception):  # an orientation that cannot be read is none
        ImageOps.exif_transpose(image, in_place=True)
    whole = eight_bit(image, raw)
    ground = GREY if not spec.white_on_black else 255 if invert else 0
    if whole.has_transparency_data:
        whole, ground = opaque(whole.convert("RGBA"), ground)
    height, width, colours = spec.shape
    fitted = whole.convert("L" if colours == 1 else "RGB").resize((width, height), Image.Resampling.LANCZOS)
    array = np.asarray(fitted).reshape(height, width, colours).transpose(2, 0, 1)  # [h, w, c] -> [c, h, w]
    return 255 - array if ground == 255 else array


def eight_bit(image: ImageFile, raw: str) -> Image.Image:
    """A loaded image in 8 bits a channel, in a mode that converts to L, RGB and RGBA. Raises Unfit."""
    key = image.info.get("transparency")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image)
        grey = Image.fromarray(scaled(values, image))
        if key is not None:
            grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
        return grey
    bits, sample = tag(image, BITS), tag(image, SAMPLE)
    if sample == SIGNED:
        raise Unfit("its numbers are signed, so that black is unknown; save it in 8 bits without sign")
    if bits > 8 and ";16" not in raw:  # each colour by itself, of which Pillow reads bytes as pixels
        raise Unfit("its colours are stored one after the other in 16 bits; save it in 8 bits")
    if raw.startswith(("RGB", "LA", "CMYK")) and ";16" in raw and image.format != "PPM":
        ranges = zip(image.getbands(), image.getextrema(), strict=True)
        check_bits(256 * max(high for band, (_, high) in ranges if band != "A"))
    if key is not None and raw in GREYS:
        image.info["transparency"] = key * GREYS[raw]
    if key is not None and raw.startswith("RGB;16"):
        image.info["transparency"] = tuple(level >> 8 for level in key)
    steps = {"La": "LA", "LAB": "RGB"}  # Pillow does not convert these directly
    return image.convert(steps[image.mode]) if image.mode in steps else image


def tag(image: ImageFile, number: int) -> int:
    """The largest number in a tag of a TIFF; -1 without it, and in other files."""
    return int(np.max(getattr(image, "tag_v2", {}).get(number, -1)))


def scaled(values: np.ndarray, image: ImageFile) -> np.ndarray:
    """uint8 [h, w] of the floats or long numbers [h, w] of a file. Raises Unfit if white is not known."""
    bits, photometric, largest = (tag(image, number) for number in (BITS, PHOTOMETRIC, LARGEST))
    if image.mode == "F":
        white = 1
    elif bits == 12 or largest in WHITES:
        white = largest if largest in WHITES else 2**12 - 1
    elif image.format == "PPM" or (image.mode != "I" and image.format in ("PNG", "TIFF", "JPEG2000")):
        white = 2**16 - 1
    else:
        raise Unfit("nothing in it says which of its numbers is white; save it in 8 bits")
    beyond = ROUNDING if white == 1 else 0
    if not (values.min() >= -beyond and values.max() <= white + beyond):  # NaN is not
        raise Unfit(f"its numbers are not all from 0 to {white:,}, black to white; scale them to this range")
    if white == 2**16 - 1 and image.format != "PPM":  # which always says its white
        check_bits(int(values.max()))
    grey = np.rint(values.clip(0, 1) * 255) if white == 1 else values.astype(np.uint32) * 255 // white
    return (255 - grey if photometric == 0 else grey).astype(np.uint8)  # Pillow heeds it in 8 bits alone


def check_bits(largest: int) -> None:
    """Raise Unfit if the largest of 16-bit numbers may be one of 10 to 14 bits, as cameras give them."""
    if 0 < largest < 2**14:
        raise Unfit("at most 14 of its 16 bits are used, so that white is unknown; save it in 8 bits")


def opaque(image: Image.Image, ground: int) -> tuple[Image.Image, int]:
    """An RGBA image on a grey level, as RGB, and this level. Raises Unfit.

    A drawing that would vanish in black is put on white, and one that would vanish in white on black.
    """
    low, high = image.getchannel("A").getextrema()
    if high == 0:
        raise Unfit("wholly transparent; save it without transparency")
    if low < 255 and ground != GREY:
        here, there = (contrast(image, level) for level in (ground, 255 - ground))
        ground = 255 - ground if here < min(there, 128) else ground
    return on(image, ground), ground


def on(image: Image.Image, ground: int) -> Image.Image:
    """An RGBA image on a grey level, as RGB."""
    below = Image.new("RGBA", image.size, (ground, ground, ground, 255))
    return Image.alpha_composite(below, image).convert("RGB")


def contrast(image: Image.Image, ground: int) -> int:
    """The largest difference in grey between an RGBA image and the level that it is put on."""
    return max(abs(level - ground) for level in on(image, ground).convert("L").getextrema())
