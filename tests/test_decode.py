"""Reconstruction: measures as scikit-image's, on pixels from 0 to 1, and one decoder training for all."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from skimage import metrics
from tiny import Runs, floats, pictures, same, state
from torch import Tensor

from latents import decode, measure
from latents.datasets import DATASETS
from latents.decode import Decode
from latents.device import to_float
from latents.encode import encode
from latents.study import Run, Study
from latents.subject import Measured, Subject


def pair(dataset: str) -> tuple[Tensor, Tensor]:
    """Worse copies of originals, each worse than the one before, and the originals: float [6, c, h, w]."""
    originals = floats(dataset, 6)
    noise = torch.randn(originals.shape, generator=torch.Generator().manual_seed(1))
    return (originals + torch.linspace(0.02, 0.5, 6).view(-1, 1, 1, 1) * noise).clamp(0, 1), originals


def arrays(images: Tensor) -> list[np.ndarray]:
    return [image.permute(1, 2, 0).double().numpy() for image in images]


def expected(
    measured: Callable[[np.ndarray, np.ndarray], float], decoded: Tensor, originals: Tensor
) -> list[float]:
    """A measure of each decoded image beside its original, image by image."""
    return [measured(a, b) for a, b in zip(arrays(decoded), arrays(originals), strict=True)]


@pytest.mark.parametrize("dataset", DATASETS)
def test_mae_is_the_mean_absolute_error_of_each_image(dataset: str) -> None:
    decoded, originals = pair(dataset)
    literal = expected(lambda a, b: np.abs(a - b).mean(), decoded, originals)
    assert decode.mae(decoded, originals).tolist() == pytest.approx(literal, rel=1e-5)


@pytest.mark.parametrize("dataset", DATASETS)
def test_psnr_is_scikit_images(dataset: str) -> None:
    decoded, originals = pair(dataset)
    theirs = expected(lambda a, b: metrics.peak_signal_noise_ratio(b, a, data_range=1), decoded, originals)
    assert decode.psnr(decoded, originals).tolist() == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("dataset", DATASETS)
def test_ssim_is_scikit_images_over_the_valid_part(dataset: str) -> None:
    decoded, originals = pair(dataset)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    settings |= {"data_range": 1, "channel_axis": 2}

    def valid(a: np.ndarray, b: np.ndarray) -> float:
        return metrics.structural_similarity(a, b, full=True, **settings)[1][5:-5, 5:-5].mean()

    theirs = expected(valid, decoded, originals)
    assert decode.ssim(decoded, originals).tolist() == pytest.approx(theirs, abs=1e-4)
    assert max(theirs) > 0.9 and min(theirs) < 0.8


def test_an_equal_image_has_no_error_and_the_highest_similarity() -> None:
    _, originals = pair("mnist")
    assert decode.mae(originals, originals).max() == 0
    assert (decode.ssim(originals, originals) - 1).abs().max() < 1e-4
    assert decode.psnr(originals, originals).isfinite().all()


def test_the_error_of_a_record_is_on_pixels_from_0_to_1_per_image_then_averaged(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(
        images: dict[str, Tensor], decoder: Decode, shown: str
    ) -> tuple[dict[tuple[str, str], float], dict[str, Tensor], Tensor]:
        """Metrics, errors and decoded images; the code of an image is its number."""
        codes = {split: torch.arange(len(part)).float()[:, None] for split, part in images.items()}
        found, run = Measured(), Run("mnist", "pca", 1)
        labels = {split: torch.zeros(len(part)) for split, part in images.items()}
        subject = Subject(
            runs.study, run, model=None, split=None, parts={}, images=images, labels=labels, codes=codes
        )
        errors, decoded = measure.reconstruct(subject, decoder, shown, found)
        return {(one["split"], one["metric"]): one["value"] for one in found.metrics}, errors, decoded

    black = {"val": torch.zeros(3, 1, 28, 28, dtype=torch.uint8)}
    for level in (0.0, 1.0, 0.25):
        grey = measured(black, lambda codes: torch.full((len(codes), 1, 28, 28), level), "val")[0]
        assert grey["val", "mae"] == level
    images = {
        split: torch.from_numpy(pictures("cifar10", n, seed)[0])
        for split, n, seed in (("train", 7, 4), ("val", 6, 5))
    }
    originals = to_float(images["val"])

    def by_number(codes: Tensor) -> Tensor:
        return originals[codes[:, 0].long() % 6]

    whole, errors, decoded = measured(images, by_number, "val")
    assert whole["val", "mae"] == 0 < whole["train", "mae"]
    assert torch.equal(decoded, originals)  # an original is reached exactly
    monkeypatch.setattr(measure, "BATCH", 1)  # four images at a time
    parts, again, _ = measured(images, by_number, "val")
    assert parts == whole
    for split in images:
        assert torch.equal(again[split], errors[split]) and len(errors[split]) == len(images[split])


@pytest.fixture(scope="module")
def codes_and_images(runs: Runs) -> tuple[Tensor, Tensor]:
    images = torch.from_numpy(pictures("mnist", 60, 8)[0])
    return encode(runs.trained("pca").model.encoder, images, runs.study.precision), images


def trained_for(study: Study, **optimisation: float) -> Study:
    """The study with another training of the decoder."""
    settings = replace(study.decoder, optimisation=replace(study.decoder.optimisation, **optimisation))
    return replace(study, decoder=settings)


def error(runs: Runs, decoder: torch.nn.Module, codes: Tensor, images: Tensor) -> float:
    return decode.mae(decode.decode(decoder, codes, runs.study.precision), to_float(images)).mean().item()


def test_a_decoder_trained_on_frozen_codes_reconstructs_better_than_a_mean_image(
    runs: Runs, codes_and_images: tuple[Tensor, Tensor]
) -> None:
    codes, images = codes_and_images
    longer = trained_for(runs.study, epochs=12, learning_rate=0.01)
    decoder = decode.train_decoder(longer, "mnist", codes, images)
    pixels = to_float(images)
    mean = (pixels - pixels.mean(0)).abs().mean().item()
    assert error(runs, decoder, codes, images) < 0.6 * mean
    decoded = decode.decode(decoder, 100 * codes, runs.study.precision)
    assert decoded.min() >= 0 and decoded.max() <= 1


def test_a_decoder_starts_as_the_least_squares_map_from_codes_to_pixels(runs: Runs) -> None:
    images = torch.from_numpy(pictures("mnist", 300, 8)[0])
    codes = 40 * encode(runs.trained("contrastive").model.encoder, images, runs.study.precision) + 3
    codes = codes + torch.randn(codes.shape, generator=torch.Generator().manual_seed(1))
    still = trained_for(runs.study, learning_rate=1e-12, weight_decay=0.0)
    decoder = decode.train_decoder(still, "mnist", codes, images)
    inputs = np.concatenate([codes.double().numpy(), np.ones((300, 1))], 1)
    pixels = images.double().flatten(1).numpy() / 255
    literal = (inputs @ np.linalg.lstsq(inputs, pixels, rcond=None)[0]).clip(0, 1)
    decoded = decode.decode(decoder, codes, runs.study.precision).flatten(1).numpy()
    assert np.abs(decoded - literal).max() < 1e-3


def test_the_scale_of_the_codes_does_not_change_what_a_decoder_learns(
    runs: Runs, codes_and_images: tuple[Tensor, Tensor]
) -> None:
    codes, images = codes_and_images
    errors = []
    for scale in (0.01, 1.0, 1000.0):
        scaled = scale * codes + scale
        decoder = decode.train_decoder(runs.study, "mnist", scaled, images)
        errors.append(error(runs, decoder, scaled, images))
    assert errors == pytest.approx([errors[1]] * 3, rel=0.1)


def test_the_same_codes_give_the_same_decoder_and_leave_everything_else_alone(
    runs: Runs, codes_and_images: tuple[Tensor, Tensor]
) -> None:
    codes, images = codes_and_images
    before, random = (codes.clone(), images.clone()), torch.random.get_rng_state()
    first, again = (state(decode.train_decoder(runs.study, "mnist", codes, images)) for _ in range(2))
    assert same(first, again)
    assert torch.equal(codes, before[0]) and torch.equal(images, before[1])
    assert torch.equal(torch.random.get_rng_state(), random)
