"""Encoding: single images as they are, whatever else is in the batch; the command for a user's own images."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import call
from tiny import Runs, floats, pictures, png, same, state
from torch import Tensor

from latents import encode
from latents.decode import decode
from latents.methods import METHODS
from latents.model import save_model
from latents.settings import CODE_SIZE
from latents.study import Run


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


def run(runs: Runs, folder: Path, *images: Path | str, weights: Path | None = None) -> dict[str, np.ndarray]:
    out = folder / "out/codes.npz"
    given = "--config", runs.config, "--weights", weights or runs.weights("guided")
    call(encode, *given, "--images", *images, "--out", out)
    with np.load(out) as content:
        return dict(content)


def save(folder: Path, images: Tensor) -> list[Path]:
    """Write grey images [n, 1, h, w] as PNG files."""
    paths = [folder / f"{number}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        path.write_bytes(png(image[0].numpy()))
    return paths


def test_the_command_writes_the_codes_and_names_of_a_users_images(
    runs: Runs, tmp_path: Path, images: Tensor
) -> None:
    paths = save(tmp_path, images[:3])
    found = run(runs, tmp_path, *paths)
    assert set(found) == {"codes", "names"} and found["names"].tolist() == [str(path) for path in paths]
    expected = codes_of(runs, "guided", images[:3]).numpy()
    assert found["codes"].dtype == np.float32 and np.array_equal(found["codes"], expected)


def test_the_command_encodes_in_evaluation_mode_whatever_else_is_in_the_batch(
    runs: Runs, tmp_path: Path, images: Tensor
) -> None:
    paths = save(tmp_path, images[:3])
    together = run(runs, tmp_path, *paths)["codes"]
    alone = np.concatenate([run(runs, tmp_path, path)["codes"] for path in paths])
    assert np.abs(alone - together).max() < 1e-4 * np.abs(together).max()
    training = copy.deepcopy(runs.trained("guided").model).train().encoder
    other = encode.encode(training, images[:3], "float32").numpy()
    assert np.abs(other - together).max() > 0.1 * np.abs(together).max()


def test_the_command_inverts_black_on_white_on_demand(runs: Runs, tmp_path: Path, images: Tensor) -> None:
    paths = save(tmp_path, 255 - images[:2])
    found = run(runs, tmp_path, *paths, "--invert")["codes"]
    assert np.array_equal(found, codes_of(runs, "guided", images[:2]).numpy())


def test_the_command_warns_of_black_on_white_in_one_line(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    white = torch.full((2, 1, 28, 28), 255, dtype=torch.uint8)
    white[:, :, 8:20, 8:20] = 0
    run(runs, tmp_path, *save(tmp_path, white))
    (said,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: "))
    assert said.startswith("warning: 2 of 2 images (first: ") and said.endswith("add --invert")


def test_one_unreadable_image_ends_the_command_in_one_sentence_and_nothing_is_written(
    runs: Runs, tmp_path: Path, images: Tensor
) -> None:
    with pytest.raises(SystemExit, match=r"^error: .*cat\.png: missing; give the path of an image file$"):
        run(runs, tmp_path, *save(tmp_path, images[:2]), tmp_path / "cat.png")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("which", ["image", "link", "weights", "config"])
def test_no_file_that_is_read_is_overwritten(runs: Runs, tmp_path: Path, images: Tensor, which: str) -> None:
    (image,) = save(tmp_path, images[:1])
    files = {"image": image, "link": tmp_path / "link.png"}
    files |= {"weights": tmp_path / "w.safetensors", "config": tmp_path / "study.yaml"}
    files["link"].symlink_to(image)
    for name, source in (("weights", runs.weights("guided")), ("config", runs.config)):
        files[name].write_bytes(Path(source).read_bytes())
    before = {name: path.read_bytes() for name, path in files.items()}
    given = "--config", files["config"], "--weights", files["weights"], "--images", image
    with pytest.raises(SystemExit, match=r"^error: .*: is read, and --out would overwrite it; give another"):
        call(encode, *given, "--out", files[which])
    assert {name: path.read_bytes() for name, path in files.items()} == before


@pytest.mark.parametrize("which", ["folder", "device", "link"])
def test_an_output_that_is_no_regular_file_is_refused_before_anything_is_read(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    files = {"folder": tmp_path, "device": Path("/dev/null"), "link": tmp_path / "link"}
    files["link"].symlink_to("/dev/null")
    monkeypatch.setattr(encode.record, "write_bytes", lambda *_: pytest.fail("written"))
    given = "--config", runs.config, "--weights", tmp_path / "none", "--images", "cat.png"
    with pytest.raises(SystemExit, match=rf"^error: {files[which]}: is not a regular file; give another"):
        call(encode, *given, "--out", files[which])
    assert Path("/dev/null").is_char_device() and files["link"].is_symlink()


@pytest.mark.parametrize("option", ["config", "weights", "images", "out"])
def test_an_empty_path_is_refused_before_anything_is_read(tmp_path: Path, option: str) -> None:
    given = {"config": tmp_path / "none", "weights": tmp_path / "none", "out": tmp_path / "codes.npz"}
    given |= {"images": "cat.png", option: ""}
    with pytest.raises(SystemExit, match=rf"^error: --{option}: an empty path; give the path of a file$"):
        call(encode, *(part for name, value in given.items() for part in (f"--{name}", value)))


def test_the_help_says_what_becomes_of_transparency_and_of_black_on_white(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        call(encode, "--help")
    said = " ".join(capsys.readouterr().out.split())
    for words in (
        "digits are white on black",
        "add --invert",
        "Transparent pixels become mid-grey for CIFAR",
    ):
        assert words in said
    for words in ("squashed", "the first frame"):
        assert words in said


def test_broken_weights_end_the_command_in_one_sentence(runs: Runs, tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(runs.weights("guided").read_bytes()[:1000])
    with pytest.raises(SystemExit, match=r"^error: .*w\.safetensors: not a whole safetensors file; "):
        run(runs, tmp_path, tmp_path / "cat.png", weights=weights)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_whose_codes_are_no_numbers_are_named_and_nothing_is_written(
    runs: Runs, tmp_path: Path, images: Tensor, value: float
) -> None:
    model = copy.deepcopy(runs.trained("guided").model)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.fill_(value)
    weights = tmp_path / "w.safetensors"
    save_model(weights, model, runs.study.training(Run("mnist", "guided", 1)))
    said = r"^error: .*w\.safetensors: gives codes that are not finite numbers; restore it from a copy, or"
    with pytest.raises(SystemExit, match=said):
        run(runs, tmp_path, *save(tmp_path, images[:2]), weights=weights)
    assert not (tmp_path / "out").exists()


def test_equal_arrays_give_equal_archives() -> None:
    arrays = {"codes": floats("mnist").numpy(), "labels": np.arange(8)}
    first = encode.npz(**arrays)
    assert encode.npz(**arrays) == first and encode.npz(**arrays | {"labels": np.arange(1, 9)}) != first
