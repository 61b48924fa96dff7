"""Pixels and classes in one code: `split` and `joint`, against their formulas and against `contrastive`."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA as ReferencePCA
from sklearn.linear_model import LinearRegression
from tiny import TRAIN, Runs, floats, literal_nt_xent, same, state, with_settings
from torch import Generator, Tensor

from latents import data, train
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


@pytest.fixture(scope="module")
def begun(runs: Runs) -> Callable[[str], Model]:
    """`split` or `joint` of the same contrastive run before the first step, by name."""

    def prepared(method: str) -> Model:
        run, device = Run("mnist", method, 1), torch.device("cpu")
        return train.prepare(runs.study, run, device, runs.weights("contrastive")).model.eval()

    return prepared


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
    reached = model.encoder.shared.to_code.layer.weight.grad.abs().sum(1) > 0
    assert reached.tolist() == SIZE * [True] + (128 - SIZE) * [False]


def test_joint_starts_with_the_code_and_the_reconstructions_of_split(begun: Callable[[str], Model]) -> None:
    images = floats("mnist", 20, seed=6)
    with torch.no_grad():
        codes = [begun(method).encoder(images) for method in ("split", "joint")]
        decoded = [begun(method).decode(code) for method, code in zip(("split", "joint"), codes, strict=True)]
    assert (codes[0] - codes[1]).abs().max() < 1e-3 * codes[0].std()
    assert (decoded[0] - decoded[1]).abs().mean() < 1e-4


def test_the_projection_head_of_joint_starts_as_that_of_contrastive(
    runs: Runs, begun: Callable[[str], Model]
) -> None:
    """On a contrastive code of which only the first principal components are kept."""
    contrastive, split, model = runs.trained("contrastive").model.eval(), begun("split"), begun("joint")
    images = floats("mnist", 20, seed=6)
    with torch.no_grad():
        kept = split.encoder(images)[:, :SIZE] @ split.encoder.directions + split.encoder.centre
        expected, found = contrastive.projector(kept), model.projector(model.encoder(images))
    assert (expected - found).abs().max() < 1e-4 < found.std()


def test_training_joint_changes_all_its_networks(runs: Runs, begun: Callable[[str], Model]) -> None:
    first, trained = begun("joint"), runs.trained("joint").model
    before, after = dict(first.named_parameters()), dict(trained.named_parameters())
    same_ones = {name for name in before if torch.equal(before[name], after[name])}
    assert same_ones == {"encoder.shared.whiten.weight"}
