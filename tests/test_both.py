"""Pixels and classes in one code: `split` and `joint`, against their formulas and against `contrastive`."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA as ReferencePCA
from sklearn.linear_model import LinearRegression
from tiny import TRAIN, Runs, floats, literal_nt_xent, with_settings
from torch import Generator, Tensor

from latents import data, train
from latents.model import Model, build
from latents.study import Run, Study

SIZE = 32  # contrastive numbers in the demo's settings


def training_images(study: Study) -> Tensor:
    return torch.from_numpy(data.load(study, "mnist", with_test=False).train.images)


@pytest.fixture(scope="module")
def begun(runs: Runs) -> Callable[[str], Model]:
    """`split` or `joint` before the first step, by name."""

    def prepared(method: str) -> Model:
        run, start = Run("mnist", method, 1), {"split": "contrastive", "joint": "split"}[method]
        return train.prepare(runs.study, run, torch.device("cpu"), runs.weights(start)).model.eval()

    return prepared


def parameters(model: Model, *, equal_to: Model) -> set[str]:
    """Names of the parameters and buffers that two models have in common, value by value."""
    others = equal_to.state_dict()
    return {name for name, value in model.state_dict().items() if torch.equal(value, others[name])}


# split


def test_the_first_numbers_of_split_are_principal_components_of_the_contrastive_code(
    runs: Runs, begun: Callable[[str], Model]
) -> None:
    contrastive, images = runs.trained("contrastive").model, training_images(runs.study) / 255
    with torch.no_grad():
        codes = contrastive.encoder(images).double().numpy()
        found = begun("split").encoder(images)[:, :SIZE].double().numpy()
    expected = ReferencePCA(SIZE).fit_transform(codes)
    expected /= np.sqrt(expected.var(0).mean())
    for number in range(10):  # each up to its sign
        assert np.abs(found[:, number]) == pytest.approx(np.abs(expected[:, number]), rel=1e-2, abs=1e-3)
    assert found.var(0).mean() == pytest.approx(1, rel=1e-3)


def test_the_other_numbers_of_split_start_as_principal_components_of_what_a_regression_leaves(
    runs: Runs, begun: Callable[[str], Model]
) -> None:
    settings, images = runs.study.settings("mnist", "split"), training_images(runs.study)
    codes = begun("split").encoder(images / 255).detach().numpy().astype(np.float64)
    contrast, rest = codes[:, :SIZE], codes[:, SIZE:]
    pixels = images.flatten(1).numpy() / 255
    left = pixels - LinearRegression().fit(contrast, pixels).predict(contrast)
    reference = ReferencePCA(TRAIN - 1 - SIZE).fit(left)
    scores = reference.transform(left)
    assert np.sqrt(rest.var(0).mean()) == pytest.approx(settings.pixel_scale, rel=1e-3)
    for number in range(10):  # each up to its sign; one factor for all
        ratio = rest[:, number].std() / scores[:, number].std()
        assert ratio == pytest.approx(rest[:, 0].std() / scores[:, 0].std(), rel=1e-2)
        assert abs(np.corrcoef(rest[:, number], scores[:, number])[0, 1]) > 0.999
    both = np.corrcoef(codes[:, : SIZE + 10].T)[:SIZE, SIZE:]
    assert np.abs(both).max() < 0.02  # nothing in them that the contrastive numbers say linearly


def test_training_split_leaves_its_contrastive_numbers_and_their_projection(
    runs: Runs, begun: Callable[[str], Model]
) -> None:
    first, trained, images = begun("split"), runs.trained("split").model.eval(), floats("mnist")
    kept = {name for name in first.state_dict() if name.startswith(("encoder.contrastive.", "projector."))}
    assert parameters(trained, equal_to=first) & kept == kept
    changed = {name for name, _ in first.named_parameters()} - parameters(trained, equal_to=first)
    assert {"encoder.from_features.layer.weight", "encoder.from_pixels.layer.weight"} < changed
    assert any(name.startswith("decoder.") for name in changed)
    with torch.no_grad():
        codes, others = first.encoder(images), trained.encoder(images)
    assert torch.equal(codes[:, :SIZE], others[:, :SIZE]) and not torch.equal(codes, others)


def test_a_decoder_of_split_starts_as_the_regression_of_the_pixels_on_the_code(
    runs: Runs, begun: Callable[[str], Model]
) -> None:
    model, images = begun("split"), training_images(runs.study)
    with torch.no_grad():
        codes = model.encoder(images / 255)
        decoded = model.decode(codes).flatten(1).numpy()
    pixels = images.flatten(1).numpy() / 255
    expected = LinearRegression().fit(codes, pixels).predict(codes).clip(0, 1)
    assert np.abs(decoded - expected).mean() < 0.01 < np.abs(pixels.mean(0) - pixels).mean()


def test_the_projection_head_of_split_is_that_of_contrastive(
    runs: Runs, begun: Callable[[str], Model]
) -> None:
    """On a contrastive code of which only the first principal components are kept."""
    contrastive, model, images = runs.trained("contrastive").model.eval(), begun("split"), floats("mnist", 20)
    with torch.no_grad():
        codes = contrastive.encoder(training_images(runs.study) / 255)
        directions = torch.from_numpy(ReferencePCA(SIZE).fit(codes.double().numpy()).components_).float()
        kept = (contrastive.encoder(images) - codes.mean(0)) @ directions.T @ directions + codes.mean(0)
        expected, found = contrastive.projector(kept), model.projector(model.encoder(images))
    assert (expected - found).abs().max() < 1e-3 < found.std()


# joint


def joint(runs: Runs, **changes: object) -> Model:
    """Networks of `joint` with initial weights, on CIFAR-10."""
    study = with_settings(runs.study, "cifar10", "joint", **changes)
    return build(study, Run("cifar10", "joint", 1)).eval()


def test_the_joint_loss_is_nt_xent_of_two_views_and_weighted_l1_of_the_images_themselves(runs: Runs) -> None:
    model, images = joint(runs, reconstruction_weight=7.0), floats("cifar10")
    both, clean = model.views(images, Generator().manual_seed(2))
    assert torch.equal(clean, images) and len(both) == 16
    with torch.no_grad():
        z = model.projector(model.encoder(both)).double().numpy()
        error = (model.decode(model.encoder(images)) - images).abs().mean().item()
        contrast = literal_nt_xent(z, [(k, k + 8) for k in range(8)], model.settings.temperature)
        assert model.objective((both, clean), None).item() == pytest.approx(contrast + 7 * error, rel=1e-4)


def test_views_of_joint_may_be_smaller_than_the_image(runs: Runs) -> None:
    views = runs.study.settings("cifar10", "contrastive").augmentation
    model = joint(runs, augmentation=type(views)(resized_crop=(0.4, 1.0), size=26))
    both, clean = model.views(floats("cifar10"), Generator().manual_seed(2))
    assert both.shape == (16, 3, 26, 26) and clean.shape == (8, 3, 32, 32)
    assert model.objective((both, clean), None).isfinite()


def test_nt_xent_sees_the_first_numbers_of_a_joint_code_alone(runs: Runs) -> None:
    model = joint(runs, reconstruction_weight=0.0)
    model.objective(model.views(floats("cifar10"), Generator().manual_seed(2)), None).backward()
    reached = {
        name
        for name, value in model.encoder.named_parameters()
        if value.grad is not None and value.grad.any()
    }
    assert "contrastive.to_code.layer.weight" in reached
    assert not any(name.startswith(("from_features", "from_pixels")) for name in reached)


def test_joint_starts_as_the_trained_split(runs: Runs, begun: Callable[[str], Model]) -> None:
    split, first = runs.trained("split").model, begun("joint")
    assert parameters(first, equal_to=split) == set(split.state_dict())


def test_training_joint_changes_all_its_networks(runs: Runs, begun: Callable[[str], Model]) -> None:
    names = {name for name, _ in begun("joint").named_parameters()}
    same_ones = names & parameters(runs.trained("joint").model, equal_to=begun("joint"))
    assert same_ones == {"encoder.contrastive.whiten.weight"}
