"""Nuisance probes: ridge as scikit-learn's, targets by direct formulas, moves that are what they say."""

import io
import math

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from tiny import Runs

from latents import augment, nuisance, record
from latents.evaluate import evaluate
from latents.metrics import NUISANCES
from latents.study import Run
from latents.subject import Measured, subject_of

OF_CODES = {"brightness", "contrast"}


def test_ridge_is_scikit_learns_at_the_penalty_that_val_chooses_for_each_target() -> None:
    draw, codes, targets = np.random.default_rng(3), {}, {}
    mixing = draw.normal(size=(12, 2))
    for name, n in {"train": 40, "val": 50, "test": 60}.items():
        inputs = draw.normal(size=(n, 12)) + 3
        noise = draw.normal(size=(n, 2)) * [0.5, 20]
        codes[name], targets[name] = torch.from_numpy(inputs), torch.from_numpy(inputs @ mixing + noise)
    found = nuisance.ridge(codes, targets)
    mean = codes["train"].mean(0)
    size = (codes["train"] - mean).square().mean().sqrt()
    x = {name: ((part - mean) / size).numpy() for name, part in codes.items()}
    chosen = set()
    for k in range(2):
        y = {name: part[:, k].numpy() for name, part in targets.items()}
        fitted = [Ridge(alpha=40 * one).fit(x["train"], y["train"]) for one in nuisance.PENALTIES]
        on_val = [r2_score(y["val"], model.predict(x["val"])) for model in fitted]
        best = int(np.argmax(on_val))
        chosen.add(best)
        assert found["val"][k].item() == pytest.approx(on_val[best], abs=1e-5)
        expected = r2_score(y["test"], fitted[best].predict(x["test"]))
        assert found["test"][k].item() == pytest.approx(expected, abs=1e-5)
    assert len(chosen) == 2 and found.keys() == {"val", "test"}


def test_brightness_contrast_and_colour_are_the_means_and_deviations_of_pixels() -> None:
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = nuisance.looks(images)
    assert found["brightness"].numpy() == pytest.approx(images.numpy().mean((1, 2, 3)))
    assert found["contrast"].numpy() == pytest.approx(images.numpy().reshape(5, -1).std(1, ddof=1), rel=1e-5)
    mean = images.mean((2, 3))
    expected = torch.stack([augment.TO_YIQ[1] @ one for one in mean]), mean @ augment.TO_YIQ[2]
    assert found["colour"][:, 0].numpy() == pytest.approx((mean @ augment.TO_YIQ[1]).numpy(), abs=1e-6)
    assert found["colour"][:, 1].numpy() == pytest.approx(expected[1].numpy(), abs=1e-6)
    grey = images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert nuisance.looks(grey)["colour"].abs().max() < 1e-5
    assert nuisance.looks(images[:, :1]).keys() == OF_CODES


def test_thickness_is_a_bars_width_and_slant_its_lean() -> None:
    images = torch.zeros(4, 1, 64, 64)
    for k, width in enumerate((2, 4)):
        images[k, 0, 4:60, 30 : 30 + width] = 1
    for k, lean in ((2, 0.25), (3, -0.5)):
        for row in range(12, 52):  # the higher, the further to the right
            start = 30 + round(lean * (31.5 - row))
            images[k, 0, row, start : start + 3] = 1
    found = nuisance.strokes(images)
    assert found["thickness"][:2].tolist() == pytest.approx([2, 4], rel=0.1)
    assert found["slant"].tolist() == pytest.approx([0, 0, 0.25, -0.5], abs=0.02)


def test_a_moved_copy_is_shifted_turned_and_scaled_by_what_it_says() -> None:
    images = torch.zeros(4, 1, 28, 28)
    images[:, 0, 13:15, 20:22] = 1  # right of the centre
    moves = torch.tensor(
        [[3.0, -4, 0, 0], [0, 0, 90, 0], [0, 0, 0, math.log(1.5)], [2, 0, 90, math.log(1.5)]]
    )
    copies = nuisance.moved(images, moves)[:, 0]
    rows = (copies.sum(2) @ torch.arange(28.0)) / copies.sum((1, 2))
    columns = (copies.sum(1) @ torch.arange(28.0)) / copies.sum((1, 2))
    # the spot is 7 pixels right of the centre, which lies at 13.5
    assert columns.tolist() == pytest.approx([23.5, 13.5, 13.5 + 10.5, 15.5], abs=0.05)
    assert rows.tolist() == pytest.approx([9.5, 6.5, 13.5, 3.0], abs=0.05)


def test_what_comes_into_a_moved_copy_is_its_reflection() -> None:
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    copy = nuisance.moved(image, torch.tensor([[4.0, 0, 0, 0]]))
    assert torch.allclose(copy[..., 4:], image[..., :-4], atol=1e-4)
    assert torch.allclose(copy[..., :4], image[..., :4].flip(-1), atol=1e-4)


def test_moves_stay_in_their_ranges_and_are_those_of_every_method(runs: Runs) -> None:
    random = torch.Generator().manual_seed(1)
    moves = nuisance.drawn(5000, random)
    largest = torch.tensor([nuisance.SHIFT, nuisance.SHIFT, nuisance.ANGLE, math.log(nuisance.SCALE)])
    assert (moves.abs() <= largest).all() and (moves.abs().max(0)[0] > 0.99 * largest).all()
    assert moves.mean(0).abs().max() < 1
    paper = " ".join((record.ROOT / "paper/paper.tex").read_text().split())
    said = "shifted by up to four pixels, rotated by up to 30 degrees and scaled by up to $5/4$"
    assert said in paper and (nuisance.SHIFT, nuisance.ANGLE, nuisance.SCALE) == (4, 30, 5 / 4)


def test_every_target_is_measured_on_val_and_test(runs: Runs) -> None:
    measured, run, model = Measured(), Run("mnist", "pca", 1), runs.trained("pca").model
    nuisance.measure_nuisance(subject_of(runs.study, run, model, measured, final=True), measured)
    found = {(one["metric"], one["split"]): one["value"] for one in measured.metrics}
    names = NUISANCES.keys() - {"colour"}
    assert found.keys() == {(f"nuisance_{name}", split) for name in names for split in ("val", "test")}
    assert max(found.values()) <= 1
    # principal components hold the mean of the pixels, which the training images decide alone
    assert found["nuisance_brightness", "test"] > 0.9


def test_an_older_study_has_neither_nuisances_nor_neighbours(runs: Runs) -> None:
    older = replace(runs.study, measurement=replace(runs.study.measurement, nuisance_copies=0, neighbours=0))
    models = runs.trained("pca").model, runs.trained("reference-classifier", 8001).model
    facts, files, _ = evaluate(older, Run("mnist", "pca", 1), *models, final=True)
    assert not [one for one in facts["metrics"] if one["metric"].startswith("nuisance_")]
    assert "queries" not in np.load(io.BytesIO(files["pictures"]))
