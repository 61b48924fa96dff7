"""Pixels and classes in one code: `split` and `joint`, against their formulas and against `contrastive`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA as ReferencePCA
from sklearn.linear_model import LinearRegression
from tiny import TRAIN, Runs, floats, literal_nt_xent, same, state, with_settings
from torch import Generator, Tensor

from latents import data, train
from latents.methods.baselines import PCA
from latents.model import Model, build, load_model
from latents.study import Run, Study

SIZE = 32  # contrastive numbers in the demo's settings


def training_images(study: Study) -> Tensor:
    return torch.from_numpy(data.load(study, "mnist", with_test=False).train.images)


# split


def test_the_contrastive_numbers_of_split_are_those_of_a_shorter_contrastive_code(
    runs: Runs, tmp_path: Path
) -> None:
    study = with_settings(runs.study, "mnist", "contrastive", code_size=SIZE)
    alone = train.train(study, Run("mnist", "contrastive", 1), tmp_path / "checkpoint")
    split = runs.trained("split")
    assert same(state(alone.model.encoder), state(split.model.encoder.contrastive))
    assert alone.curve == split.curve
    images = floats("mnist")
    with torch.no_grad():
        codes, expected = split.model.encoder(images), alone.model.encoder(images)
        assert torch.equal(codes[:, :SIZE], expected)
        assert torch.equal(split.model.projector(codes), alone.model.projector(expected))


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


def test_what_split_fits_after_training_is_in_its_file_of_weights(runs: Runs) -> None:
    model = load_model(runs.weights("split"), runs.study)[0]
    assert model.encoder.components.abs().max() > 0
    assert same(state(model), state(runs.trained("split").model))


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
