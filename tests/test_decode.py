"""Reconstruction: measures against scikit-image, on pixels from 0 to 1, and one decoder budget for every row's codes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from skimage import metrics
from tiny import Cells, floats, pictures, same, state
from torch import Tensor

from latents import decode, evaluate
from latents.config import DATASETS
from latents.device import to_float
from latents.encode import draw, encode


def pair(dataset: str) -> tuple[Tensor, Tensor]:
    """Originals, and worse copies of them, each worse than the one before: float [6, c, h, w]."""
    originals = floats(dataset, 6)
    noise = torch.randn(originals.shape, generator=torch.Generator().manual_seed(1))
    return (originals + torch.linspace(0.02, 0.5, 6).view(-1, 1, 1, 1) * noise).clamp(0, 1), originals


def arrays(images: Tensor) -> list[np.ndarray]:
    return [image.permute(1, 2, 0).double().numpy() for image in images]


@pytest.mark.parametrize("dataset", DATASETS)
def test_mae_is_the_mean_absolute_error_of_each_image(dataset: str) -> None:
    drawn, originals = pair(dataset)
    expected = [np.abs(a - b).mean() for a, b in zip(arrays(drawn), arrays(originals), strict=True)]
    assert decode.mae(drawn, originals).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dataset", DATASETS)
def test_psnr_is_scikit_images(dataset: str) -> None:
    drawn, originals = pair(dataset)
    expected = [metrics.peak_signal_noise_ratio(b, a, data_range=1) for a, b in zip(arrays(drawn), arrays(originals), strict=True)]
    assert decode.psnr(drawn, originals).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dataset", DATASETS)
def test_ssim_is_scikit_images_over_the_valid_part(dataset: str) -> None:
    drawn, originals = pair(dataset)
    expected = []
    for a, b in zip(arrays(drawn), arrays(originals), strict=True):
        settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1, "channel_axis": 2}
        expected.append(metrics.structural_similarity(a, b, full=True, **settings)[1][5:-5, 5:-5].mean())
    assert decode.ssim(drawn, originals).tolist() == pytest.approx(expected, abs=1e-4)
    assert max(expected) > 0.9 and min(expected) < 0.8


def test_an_equal_image_has_no_error_and_the_highest_similarity() -> None:
    _, originals = pair("mnist")
    assert decode.mae(originals, originals).max() == 0
    assert (decode.ssim(originals, originals) - 1).abs().max() < 1e-4
    assert decode.psnr(originals, originals).isfinite().all()


def test_the_error_of_a_record_is_on_pixels_from_0_to_1_per_image_then_averaged(cells: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(images: dict[str, Tensor], decoder: Callable, shown: str) -> tuple[dict[tuple[str, str], float], dict[str, Tensor], Tensor]:
        numbers = {split: torch.arange(len(part), dtype=torch.float32)[:, None] for split, part in images.items()}
        found = evaluate.Metrics()
        errors, drawn = evaluate.measure_reconstruction(cells.study, decoder, numbers, images, shown, found, evaluate.Clock())
        return {(row["split"], row["metric"]): row["value"] for row in found.rows}, errors, drawn

    black = {"val": torch.zeros(3, 1, 28, 28, dtype=torch.uint8)}
    for level in (0.0, 1.0, 0.25):
        assert measured(black, lambda codes, level=level: torch.full((len(codes), 1, 28, 28), level), "val")[0]["val", "mae"] == level  # noqa: B023
    images = {"train": torch.from_numpy(pictures("cifar10", 7, 4)[0]), "val": torch.from_numpy(pictures("cifar10", 6, 5)[0])}
    whole, errors, drawn = measured(images, lambda codes: to_float(images["val"])[codes[:, 0].long() % 6], "val")
    assert whole["val", "mae"] == 0 < whole["train", "mae"] and torch.equal(drawn, to_float(images["val"]))  # an original is reached exactly
    monkeypatch.setattr(evaluate, "BATCH", 1)  # four images at a time
    parts, again, _ = measured(images, lambda codes: to_float(images["val"])[codes[:, 0].long() % 6], "val")
    assert parts == whole and all(torch.equal(again[split], errors[split]) and len(errors[split]) == len(images[split]) for split in images)


@pytest.fixture(scope="module")
def codes_and_images(cells: Cells) -> tuple[Tensor, Tensor]:
    images = torch.from_numpy(pictures("mnist", 60, 8)[0])
    return encode(cells.trained("pca")[0], images, cells.study), images


def error(cells: Cells, decoder: torch.nn.Module, codes: Tensor, images: Tensor) -> float:
    return decode.mae(draw(decoder, codes, cells.study), to_float(images)).mean().item()


def test_a_decoder_trained_on_frozen_codes_draws_better_than_a_mean_image(cells: Cells, codes_and_images: tuple[Tensor, Tensor]) -> None:
    codes, images = codes_and_images
    longer = replace(cells.study.decoder, optimisation=replace(cells.study.decoder.optimisation, epochs=12, learning_rate=0.01))
    decoder = decode.train_decoder(replace(cells.study, decoder=longer), "mnist", codes, images)
    pixels = to_float(images)
    mean = (pixels - pixels.mean(0)).abs().mean().item()
    assert error(cells, decoder, codes, images) < 0.6 * mean
    drawn = draw(decoder, 100 * codes, cells.study)
    assert drawn.min() >= 0 and drawn.max() <= 1


def test_a_decoder_starts_as_the_least_squares_map_from_codes_to_pixels(cells: Cells) -> None:
    images = torch.from_numpy(pictures("mnist", 300, 8)[0])
    codes = 40 * encode(cells.trained("contrastive")[0], images, cells.study) + 3
    codes = codes + torch.randn(codes.shape, generator=torch.Generator().manual_seed(1))
    still = replace(cells.study.decoder, optimisation=replace(cells.study.decoder.optimisation, learning_rate=1e-12, weight_decay=0.0))
    decoder = decode.train_decoder(replace(cells.study, decoder=still), "mnist", codes, images)
    inputs = np.concatenate([codes.double().numpy(), np.ones((300, 1))], 1)
    pixels = images.double().flatten(1).numpy() / 255
    expected = (inputs @ np.linalg.lstsq(inputs, pixels, rcond=None)[0]).clip(0, 1)
    assert np.abs(draw(decoder, codes, cells.study).flatten(1).numpy() - expected).max() < 1e-3


def test_the_scale_of_the_codes_does_not_change_what_a_decoder_learns(cells: Cells, codes_and_images: tuple[Tensor, Tensor]) -> None:
    codes, images = codes_and_images
    errors = []
    for scale in (0.01, 1.0, 1000.0):
        decoder = decode.train_decoder(cells.study, "mnist", scale * codes + scale, images)
        errors.append(error(cells, decoder, scale * codes + scale, images))
    assert errors == pytest.approx([errors[1]] * 3, rel=0.1)


def test_the_same_codes_give_the_same_decoder_and_leave_everything_else_alone(cells: Cells, codes_and_images: tuple[Tensor, Tensor]) -> None:
    codes, images = codes_and_images
    kept, random = (codes.clone(), images.clone()), torch.random.get_rng_state()
    first, again = (state(decode.train_decoder(cells.study, "mnist", codes, images)) for _ in range(2))
    assert same(first, again)
    assert torch.equal(codes, kept[0]) and torch.equal(images, kept[1]) and torch.equal(torch.random.get_rng_state(), random)
