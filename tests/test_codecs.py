"""JPEG and WebP at the bytes of a code: what fits, what counts, and what an error is."""

import io

import numpy as np
import pytest
from PIL import Image
from tiny import pictures

from latents import codecs


@pytest.mark.parametrize(("bits", "size"), [(1, 16), (4, 64), (8, 128), (32, 512)])
def test_a_code_of_128_numbers_has_so_many_bytes(bits: int, size: int) -> None:
    assert codecs.code_bytes(bits) == size


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
@pytest.mark.parametrize("codec", codecs.CODECS)
def test_more_bytes_never_raise_the_error_and_none_fit_in_no_bytes(dataset: str, codec: str) -> None:
    images, _ = pictures(dataset, 6, 1)
    found = codecs.errors(images, codec, [0, 16, 64, 256, 4096])
    values = list(found.values())
    assert values == sorted(values, reverse=True) and values[-1] < 0.5 * values[0]
    means = np.round(images.mean((2, 3), keepdims=True))
    assert found[0] == pytest.approx(np.abs(images - means).mean() / 255)


@pytest.mark.parametrize("codec", codecs.CODECS)
def test_the_best_version_that_fits_is_the_one_that_counts(codec: str) -> None:
    images, _ = pictures("cifar10", 1, 3)
    pixels = np.moveaxis(images[0], 0, -1)
    made = list(codecs.versions(Image.fromarray(np.ascontiguousarray(pixels)), codec))
    assert len(made) == len(codecs.QUALITIES) * len(codecs.SHRINK)
    fitting = [np.abs(np.asarray(one) / 255 - pixels / 255).mean() for size, one in made if size <= 300]
    assert 0 < len(fitting) < len(made)
    assert codecs.errors(images, codec, [300])[300] == pytest.approx(min(fitting))


@pytest.mark.parametrize("codec", codecs.CODECS)
@pytest.mark.parametrize("quality", [5, 90])
def test_headers_are_the_same_bytes_for_all_images_of_a_size_and_quality_but_for_lengths(
    codec: str, quality: int
) -> None:
    files, sizes = [], []
    for image in pictures("cifar10", 4, 2)[0]:
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(np.moveaxis(image, 0, -1))).save(file, codec, quality=quality)
        files.append(file.getvalue())
        sizes.append(codecs.body(file.getvalue(), codec))
    assert len({len(content) - size for content, size in zip(files, sizes, strict=True)}) == 1
    if codec == "jpeg":
        assert (
            len({content[: len(content) - size - 2] for content, size in zip(files, sizes, strict=True)}) == 1
        )
