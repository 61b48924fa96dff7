"""Pixels and classes in one code: `split` and `joint`, against their formulas and against `contrastive`."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA as ReferencePCA
from sklearn.linear_model import LinearRegression
from tiny import TRAIN, Runs, floats, literal_nt_xent, same, state, with_settings
from torch import Generator, Tensor

from latents import data, train
from latents.methods.baselines import PCA
from latents.model import Model, build
from latents.study import Run, Study

SIZE = 32  # contrastive numbers in the demo's settings


def training_images(study: Study) -> Tensor:
    return torch.from_numpy(data.load(study, "mnist", with_test=False).train.images)


# split


def test_the_first_numbers_of_split_are_principal_components_of_the_contrastive_code(runs: Runs) -> None:
    contrastive, split = runs.trained("contrastive").model, runs.trained("split").model
    assert same(state(contrastive.encoder), state(split.encoder.contrastive))
    images = training_images(runs.study) / 255
    with torch.no_grad():
        codes = contrastive.encoder(images).double().numpy()
        found = split.encoder(images)[:, :SIZE].double().numpy()
    expected = ReferencePCA(SIZE).fit_transform(codes)
    for number in range(10):  # each up to its sign
        assert np.abs(found[:, number]) == pytest.approx(np.abs(expected[:, number]), rel=1e-2, abs=1e-3)
    assert found.var(0).sum() == pytest.approx(expected.var(0).sum(), rel=1e-3)


def test_the_other_numbers_of_split_are_principal_components_of_what_a_regression_leaves(runs: Runs) -> None:
    settings = runs.study.settings("mnist", "split")
    model, images = runs.trained("split").model, training_images(runs.study)
    codes = model.encoder(images / 255).detach().numpy().astype(np.float64)
    contrast, rest = codes[:, :SIZE], codes[:, SIZE:]
    pixels = images.flatten(1).numpy() / 255
    left = pixels - LinearRegression().fit(contrast, pixels).predict(contrast)
    reference = ReferencePCA(TRAIN - 1 - SIZE).fit(left)
    scores = reference.transform(left)
    sizes = [np.sqrt(part.var(0).mean()) for part in (rest, contrast)]
    assert sizes[0] == pytest.approx(settings.pixel_scale * sizes[1], rel=1e-3)
    for number in range(10):  # each up to its sign; one factor for all
        ratio = rest[:, number].std() / scores[:, number].std()
        assert ratio == pytest.approx(rest[:, 0].std() / scores[:, 0].std(), rel=1e-2)
        assert abs(np.corrcoef(rest[:, number], scores[:, number])[0, 1]) > 0.999
    both = np.corrcoef(codes[:, : SIZE + 10].T)[:SIZE, SIZE:]
    assert np.abs(both).max() < 0.02  # nothing in them that the contrastive numbers say linearly


def test_training_split_changes_its_decoder_alone(runs: Runs) -> None:
    study, run = runs.study, Run("mnist", "split", 1)
    first = train.prepare(study, run, torch.device("cpu"), runs.weights("contrastive")).model
    trained, images = runs.trained("split"), floats("mnist")
    assert same(state(first.encoder), state(trained.model.encoder))
    assert not same(state(first.decoder), state(trained.model.decoder))
    with torch.no_grad():
        codes = first.encoder(images)
        assert torch.equal(codes, trained.model.encoder(images))


def test_a_decoder_of_split_starts_as_the_regression_of_the_pixels_on_the_code(runs: Runs) -> None:
    run, images = Run("mnist", "split", 1), training_images(runs.study)
    model = train.prepare(runs.study, run, torch.device("cpu"), runs.weights("contrastive")).model.eval()
    with torch.no_grad():
        codes = model.encoder(images / 255)
        decoded = model.decode(codes).flatten(1).numpy()
    pixels = images.flatten(1).numpy() / 255
    expected = LinearRegression().fit(codes, pixels).predict(codes).clip(0, 1)
    assert np.abs(decoded - expected).mean() < 0.01 < np.abs(pixels.mean(0) - pixels).mean()


# joint


def joint(runs: Runs, dataset: str = "cifar10", **changes: object) -> Model:
    study = with_settings(runs.study, dataset, "joint", **changes)
    return build(study, Run(dataset, "joint", 1)).eval()


def test_the_joint_loss_is_nt_xent_of_two_views_and_weighted_l1_of_the_images_themselves(runs: Runs) -> None:
    model, images = joint(runs, reconstruction_weight=7.0), floats("cifar10")
    both, clean = model.views(images, Generator().manual_seed(2))
    assert torch.equal(clean, images) and len(both) == 16
    with torch.no_grad():
        z = model.projector(model.encoder(both)).double().numpy()
        error = (model.decode(model.encoder(images)) - images).abs().mean().item()
        contrast = literal_nt_xent(z, [(k, k + 8) for k in range(8)], model.settings.temperature)
        assert model.objective((both, clean), None).item() == pytest.approx(contrast + 7 * error, rel=1e-4)


def test_views_of_joint_may_be_smaller_than_the_image_also_with_linear_paths(runs: Runs) -> None:
    views = runs.study.settings("cifar10", "contrastive").augmentation
    small = type(views)(resized_crop=(0.4, 1.0), size=26)
    model = joint(runs, augmentation=small, linear_path=True)
    both, clean = model.views(floats("cifar10"), Generator().manual_seed(2))
    assert both.shape == (16, 3, 26, 26) and clean.shape == (8, 3, 32, 32)
    assert model.objective((both, clean), None).isfinite()


def test_nt_xent_sees_the_first_numbers_of_a_joint_code_alone(runs: Runs) -> None:
    model = joint(runs, reconstruction_weight=0.0)
    model.objective(model.views(floats("cifar10"), Generator().manual_seed(2)), None).backward()
    reached = model.encoder.shared.to_code.layer.weight.grad.abs().sum(1) > 0
    assert reached.tolist() == SIZE * [True] + (128 - SIZE) * [False]


def test_joint_starts_at_principal_components_in_the_numbers_that_nt_xent_does_not_see(runs: Runs) -> None:
    model, pixels = joint(runs, "mnist"), floats("mnist", 200)
    images = (pixels * 255).round().byte()
    pca = PCA((28, 28, 1), 128 - SIZE)
    pca.fit(images)
    model.fit(images)
    others = floats("mnist", 20, seed=6)
    with torch.no_grad():
        assert (model.decode(model.encoder(others)) - pca.decode(pca(others))).abs().max() < 1e-4
        first = model.encoder.shared(others)
        assert torch.equal(model.encoder(others)[:, :SIZE], first[:, :SIZE])
        assert first[:, :SIZE].std() > 0.01


def test_joint_begins_with_the_weights_of_the_other_methods_encoder(runs: Runs) -> None:
    others = state(build(runs.study, Run("cifar10", "random", 1)).encoder)
    assert same(state(joint(runs).encoder.shared), others)
