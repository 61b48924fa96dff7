"""Encoding: single images as they are, whatever else is in the batch; the command for a user's own images."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import call
from PIL import Image
from tiny import Runs, floats, pictures, png, same, state
from torch import Tensor

from latents import encode
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.decode import decode
from latents.methods import METHODS
from latents.settings import CODE_SIZE


@pytest.fixture
def images() -> Tensor:
    return torch.from_numpy(pictures("mnist", 30, 9)[0])


def codes_of(runs: Runs, method: str, images: Tensor, precision: str = "float32") -> Tensor:
    """Codes by the encoder of a trained MNIST run."""
    return encode.encode(runs.trained(method).model.eval().encoder, images, precision)


@pytest.mark.parametrize("method", METHODS)
def test_codes_are_of_single_images_that_nothing_has_augmented(
    runs: Runs, images: Tensor, method: str
) -> None:
    before = images.clone()
    codes = codes_of(runs, method, images)
    assert codes.shape == (30, CODE_SIZE) and codes.dtype == torch.float32
    assert torch.equal(codes_of(runs, method, images), codes) and torch.equal(images, before)
    encoder = runs.trained(method).model.encoder
    with torch.no_grad():
        one_by_one = torch.cat([encoder(image.float().div(255)) for image in images.split(1)])
    assert (one_by_one - codes).abs().max() < 1e-4 * codes.abs().max()


def test_views_are_encoded_in_the_place_of_the_images_where_they_are_given(
    runs: Runs, images: Tensor
) -> None:
    encoder = runs.trained("guided").model.eval().encoder
    codes = encode.encode(encoder, images, "float32", views=lambda pixels: pixels.flip(3))
    assert torch.equal(codes, codes_of(runs, "guided", images.flip(3)))
    assert not torch.equal(codes, codes_of(runs, "guided", images))


def test_encoding_leaves_weights_and_batch_statistics_as_they_were(runs: Runs, images: Tensor) -> None:
    model = runs.trained("contrastive").model
    before = state(model)
    codes_of(runs, "contrastive", images)
    assert same(state(model), before)


def test_codes_are_the_same_in_several_batches(
    runs: Runs, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = codes_of(runs, "guided", images)
    monkeypatch.setattr(encode, "BATCH", 7)
    assert (codes_of(runs, "guided", images) - whole).abs().max() < 1e-4


def test_codes_and_decoded_images_are_float32_in_a_bfloat16_study_and_nearly_the_same(
    runs: Runs, images: Tensor
) -> None:
    codes, exact = (codes_of(runs, "autoencoder-plus", images, one) for one in ("bfloat16", "float32"))
    decoded = decode(runs.trained("autoencoder-plus").model.decode, codes, "bfloat16")
    assert codes.dtype == decoded.dtype == torch.float32
    assert 0 < (codes - exact).abs().max() < 0.05 * exact.abs().max()
    assert decoded.min() >= 0 and decoded.max() <= 1


# the command


def run(runs: Runs, folder: Path, *images: Path, weights: Path | None = None) -> dict[str, np.ndarray]:
    out = folder / "out/codes.npz"
    given = "--config", runs.config, "--weights", weights or runs.weights("guided")
    call(encode, *given, "--images", *images, "--out", out)
    with np.load(out) as content:
        return dict(content)


def test_the_command_writes_the_codes_and_names_of_a_users_images(
    runs: Runs, tmp_path: Path, images: Tensor
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, image in zip(paths, images, strict=False):
        path.write_bytes(png(image[0].numpy()))
    found = run(runs, tmp_path, *paths)
    assert set(found) == {"codes", "names"} and found["names"].tolist() == [str(path) for path in paths]
    expected = codes_of(runs, "guided", images[:3]).numpy()
    assert found["codes"].dtype == np.float32 and np.array_equal(found["codes"], expected)


def test_the_command_encodes_in_evaluation_mode_whatever_else_is_in_the_batch(
    runs: Runs, tmp_path: Path, images: Tensor
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, image in zip(paths, images, strict=False):
        path.write_bytes(png(image[0].numpy()))
    together = run(runs, tmp_path, *paths)["codes"]
    alone = np.concatenate([run(runs, tmp_path, path)["codes"] for path in paths])
    assert np.abs(alone - together).max() < 1e-4 * np.abs(together).max()
    training = copy.deepcopy(runs.trained("guided").model).train().encoder
    other = encode.encode(training, images[:3], "float32").numpy()
    assert np.abs(other - together).max() > 0.1 * np.abs(together).max()


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
def test_images_of_any_size_and_colours_become_the_data_sets(tmp_path: Path, dataset: str, mode: str) -> None:
    height, width, channels = DATASETS[dataset].shape
    path = tmp_path / "image.png"
    image = Image.fromarray(pictures("cifar10", 1, 1)[0][0].transpose(1, 2, 0))
    image.resize((50, 41)).convert(mode).save(path)
    pixels = encode.read_image(str(path), dataset)
    assert pixels.shape == (channels, height, width)
    assert pixels.dtype == np.uint8 and pixels.std() > 5


def test_an_image_of_the_right_size_is_read_as_it_is(tmp_path: Path) -> None:
    image = pictures("cifar10", 1, 1)[0][0]
    (tmp_path / "image.png").write_bytes(png(image.transpose(1, 2, 0)))
    assert np.array_equal(encode.read_image(str(tmp_path / "image.png"), "cifar10"), image)


@pytest.mark.parametrize("content", [None, b"", b"no image at all", "half"])
def test_what_is_no_image_ends_the_command_in_one_sentence_and_nothing_is_written(
    runs: Runs, tmp_path: Path, content: bytes | str | None
) -> None:
    path = tmp_path / "cat.png"
    if content is not None:
        whole = png(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
        path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    said = r"^error: .*cat\.png: not an image that Pillow can read; give PNG or JPEG files$"
    with pytest.raises(SystemExit, match=said):
        run(runs, tmp_path, path)
    assert not (tmp_path / "out").exists()


FAULTS = [
    SyntaxError("broken PNG file"),
    ValueError("Invalid dimensions"),
    Image.DecompressionBombError("too large"),
]


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_pillow_raises_the_image_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def refuse(*_: object) -> None:
        raise fault

    (tmp_path / "cat.png").write_bytes(png(np.zeros((8, 8), np.uint8)))
    monkeypatch.setattr(Image.Image, "convert", refuse)
    with pytest.raises(Problem, match=r"cat\.png: "):
        encode.read_image(str(tmp_path / "cat.png"), "mnist")


def test_a_16_bit_grey_image_is_scaled_to_8_bits(tmp_path: Path) -> None:
    grey = pictures("mnist", 1, 1)[0][0, 0]
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert np.abs(encode.read_image(str(tmp_path / "deep.png"), "mnist")[0].astype(int) - grey).max() <= 1


def test_broken_weights_end_the_command_in_one_sentence(runs: Runs, tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(runs.weights("guided").read_bytes()[:1000])
    with pytest.raises(
        SystemExit, match=r"^error: .*w\.safetensors: not a whole safetensors file; delete it"
    ):
        run(runs, tmp_path, tmp_path / "cat.png", weights=weights)
    assert not (tmp_path / "out").exists()


def test_equal_arrays_give_equal_archives() -> None:
    arrays = {"codes": floats("mnist").numpy(), "labels": np.arange(8)}
    first = encode.npz(**arrays)
    assert encode.npz(**arrays) == first and encode.npz(**arrays | {"labels": np.arange(1, 9)}) != first
