"""The objectives: NT-Xent and SupCon against the papers' equations, literally, and what each method feeds into its loss."""

from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from test_config import STUDIES
from tiny import Cells, floats, identity_model, literal_nt_xent, literal_supcon
from torch import Generator, Tensor, nn
from torch.nn import functional

from latents import augment, config, objectives
from latents.config import JUDGE
from latents.model import build
from latents.optimise import optimizers_for
from latents.settings import CODE_SIZE, Augmentation
from latents.train import loss_of

N, WIDTH = 6, 5
NOISE = Augmentation(noise=0.3)


@pytest.fixture
def z() -> Tensor:
    """Two views of six images [12, 5]: unlike lengths, views of one image not far apart."""
    draw = np.random.default_rng(3)
    first = draw.normal(size=(N, WIDTH))
    return torch.from_numpy(np.concatenate([first, first + 0.7 * draw.normal(size=(N, WIDTH))]))


def seeded() -> Generator:
    return Generator().manual_seed(4)


@pytest.mark.parametrize("temperature", [0.1, 0.2, 0.5, 1.0])
def test_nt_xent_is_the_papers_equation(z: Tensor, temperature: float) -> None:
    expected = literal_nt_xent(z.numpy(), [(i, i + N) for i in range(N)], temperature)
    assert objectives.nt_xent(z, temperature).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("labels", [[0, 1, 2, 0, 1, 0], [3] * N, [0, 0, 0, 1, 1, 1], [5, 1, 4, 2, 0, 3]])
def test_supcon_is_the_papers_equation(z: Tensor, labels: list[int], temperature: float) -> None:
    expected = literal_supcon(z.numpy(), np.array(labels * 2), temperature)
    assert objectives.supcon(z, torch.tensor(labels), temperature).item() == pytest.approx(expected, rel=1e-5)


def test_supcon_of_images_that_all_have_labels_of_their_own_is_nt_xent(z: Tensor) -> None:
    assert torch.equal(objectives.supcon(z, torch.arange(N).flip(0), 0.3), objectives.nt_xent(z, 0.3))
    assert objectives.supcon(z, torch.zeros(N, dtype=torch.long), 0.3) != objectives.nt_xent(z, 0.3)


def test_both_losses_see_directions_only(z: Tensor) -> None:
    lengths = torch.linspace(0.1, 9, 2 * N).unsqueeze(1)
    assert objectives.nt_xent(z * lengths, 0.2).item() == pytest.approx(objectives.nt_xent(z, 0.2).item(), rel=1e-5)


def test_interleaved_views_give_another_loss_than_the_two_halves(z: Tensor) -> None:
    interleaved = z.view(2, N, WIDTH).transpose(0, 1).flatten(0, 1)  # rows 2i and 2i + 1 are the views of image i
    assert objectives.nt_xent(interleaved, 0.2) > objectives.nt_xent(z, 0.2) + 0.5


def test_a_low_temperature_does_not_overflow(z: Tensor) -> None:
    z = z.float().requires_grad_()
    loss = objectives.nt_xent(z, 0.005)
    loss.backward()
    assert loss.isfinite() and z.grad.isfinite().all()


def test_both_losses_are_computed_in_float32_also_under_bfloat16(z: Tensor) -> None:
    z, labels = z.float(), torch.tensor([0, 1, 2, 0, 1, 0])
    with torch.autocast("cpu", torch.bfloat16):
        inside = objectives.nt_xent(z, 0.1), objectives.supcon(z, labels, 0.1)
    assert inside == (objectives.nt_xent(z, 0.1), objectives.supcon(z, labels, 0.1))


# what a method feeds into its loss


@pytest.mark.parametrize("row", ["contrastive", "supcon"])
def test_the_two_views_of_an_image_are_the_positive_pair(cells: Cells, row: str) -> None:
    settings = replace(cells.study.method("cifar10", row), augmentation=NOISE)
    images, random = floats("cifar10", N), seeded()
    first, second = (augment.view(images, NOISE, random).flatten(1).double().numpy() for _ in range(2))
    assert not np.array_equal(first, second)
    z, pairs = np.concatenate([first, second]), [(i, i + N) for i in range(N)]
    loss = loss_of(identity_model(), settings, images, torch.zeros(N, dtype=torch.long), seeded()).item()
    assert loss == pytest.approx(literal_nt_xent(z, pairs, settings.temperature), rel=1e-3)
    wrong = literal_nt_xent(z, [(2 * i, 2 * i + 1) for i in range(N)], settings.temperature)  # the halves of an interleaved batch
    assert abs(loss - wrong) > 0.05


def test_supcon_adds_its_own_heads_loss_with_the_labels_of_both_views(cells: Cells) -> None:
    settings = replace(cells.study.method("cifar10", "supcon"), augmentation=NOISE)
    images, labels, random = floats("cifar10", N), torch.tensor([0, 1, 2, 0, 1, 0]), seeded()
    z = torch.cat([augment.view(images, NOISE, random).flatten(1) for _ in range(2)])
    head = nn.Linear(z.shape[1], 10)
    loss = loss_of(identity_model(uses_labels=True, head=head), settings, images, labels, seeded()).item()
    expected = literal_supcon(z.double().numpy(), labels.repeat(2).numpy(), settings.temperature)
    assert loss == pytest.approx(expected + functional.cross_entropy(head(z), labels.repeat(2)).item(), rel=1e-3)


def test_supcons_own_head_does_not_change_the_codes_it_reads(cells: Cells) -> None:
    settings = cells.study.method("cifar10", "supcon")
    encoder, head = nn.Sequential(nn.Flatten(), nn.Linear(3072, 16)), nn.Linear(16, 10)
    model = identity_model(encoder=encoder, head=head, uses_labels=True, projector=lambda codes: codes.detach() + 0 * codes)
    loss_of(model, settings, floats("cifar10", N), torch.arange(N), seeded()).backward()
    assert encoder[1].weight.grad.abs().max() == 0 and head.weight.grad.abs().max() > 0


def test_the_plain_autoencoders_target_is_the_image_with_its_pixels_from_0_to_1(cells: Cells) -> None:
    settings, images = cells.study.method("cifar10", "autoencoder"), floats("cifar10")
    shape = images.shape[1:]

    def loss(draw: nn.Module) -> float:
        model = identity_model(decoder=lambda codes: draw(codes.unflatten(1, shape)))
        return loss_of(model, settings, images, torch.zeros(8), seeded()).item()

    assert loss(lambda pixels: pixels) == 0  # a perfect drawing costs nothing: the whole target can be reached
    assert loss(torch.zeros_like) == pytest.approx(images.mean().item(), rel=1e-5)
    assert loss(torch.ones_like) == pytest.approx(1 - images.mean().item(), rel=1e-5)


def test_gradient_histograms_tell_edges_by_direction_and_place_and_not_by_contrast() -> None:
    step = torch.zeros(1, 3, 8, 8)
    step[..., 6:] = 0.8  # an edge between the columns 5 and 6, in the second cell of four pixels
    found = objectives.gradient_histograms(step)
    assert found.shape == (1, 9, 2, 2)
    assert found[0, :, :, 0].abs().max() == 0 and found[0, 0, :, 1] == pytest.approx([1, 1], abs=0.05)  # direction 0 alone: across
    assert found[0, 1:].abs().max() == 0
    assert torch.allclose(objectives.gradient_histograms(1 - step), found)  # light to dark or dark to light
    assert torch.allclose(objectives.gradient_histograms(step / 2), found, atol=0.05)
    turned = objectives.gradient_histograms(step.transpose(2, 3))
    assert turned[0, 4:6, 1].sum(0) == pytest.approx([2**0.5, 2**0.5], abs=0.05)  # a quarter turn lies between two of nine directions
    assert turned[0, 4, 1].tolist() == pytest.approx(turned[0, 5, 1].tolist(), abs=1e-4)


def test_the_better_autoencoder_rebuilds_the_gradients_too_where_they_have_a_weight(cells: Cells) -> None:
    settings = replace(cells.study.method("cifar10", "autoencoder-plus"), augmentation=Augmentation(), clean_fraction=1.0)
    images = floats("cifar10")
    wanted = objectives.gradient_histograms(images)

    def loss(weight: float, gradients: Tensor) -> float:
        model = identity_model(decoder=lambda codes: codes.unflatten(1, images.shape[1:]), gradients=lambda codes: gradients)
        return loss_of(model, replace(settings, gradient_weight=weight), images, torch.zeros(8), seeded()).item()

    assert loss(2.0, wanted) == 0 and loss(0.0, 0 * wanted) == 0
    assert loss(2.0, 0 * wanted) == pytest.approx(2 * wanted.mean().item(), rel=1e-4)


def test_the_better_autoencoder_rebuilds_the_clean_view_from_the_corrupted_one(cells: Cells) -> None:
    settings = replace(cells.study.method("cifar10", "autoencoder-plus"), gradient_weight=0.0, clean_fraction=0.0)
    settings = replace(settings, augmentation=Augmentation(flip=True), corruption=NOISE)
    images = floats("cifar10")
    target = augment.view(images, settings.augmentation, seeded())

    def loss(clean_fraction: float, decoder: object) -> float:
        model = identity_model(decoder=decoder)
        return loss_of(model, replace(settings, clean_fraction=clean_fraction), images, torch.zeros(8), seeded()).item()

    def redraw(codes: Tensor) -> Tensor:
        return codes.unflatten(1, images.shape[1:])

    assert loss(0.0, lambda codes: target) == 0  # the target has no noise, and is the view, not the image before it
    assert loss(0.0, lambda codes: images) > 0.05
    assert loss(0.0, redraw) > 0.05 and loss(1.0, redraw) == 0  # the encoder saw the noise; with clean-fraction 1 it never does
    assert 0.2 < loss(0.5, redraw) / loss(0.0, redraw) < 0.8


def test_the_classifier_learns_the_labels_with_the_smoothing_asked_for(cells: Cells) -> None:
    labels, logits = torch.arange(8), torch.randn(8, 10, generator=seeded())
    for smoothing in (0.0, 0.1):
        settings = replace(cells.study.method("mnist", "guided"), label_smoothing=smoothing, augmentation=NOISE)
        loss = loss_of(identity_model(head=lambda codes: logits), settings, floats("mnist"), labels, seeded()).item()
        wanted = functional.one_hot(labels, 10) * (1 - smoothing) + smoothing / 10
        assert loss == pytest.approx(-(wanted * logits.log_softmax(1)).sum(1).mean().item(), rel=1e-5)


@pytest.mark.parametrize("row", ["autoencoder", "autoencoder-plus", "contrastive"])
def test_the_rows_without_labels_do_not_look_at_them(cells: Cells, row: str) -> None:
    model, settings = cells.trained(row)[0], cells.study.method("mnist", row)
    losses = [loss_of(model, settings, floats("mnist"), labels, seeded()) for labels in (torch.arange(8), torch.full((8,), -1), None)]
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize("row", ["autoencoder", "autoencoder-plus", "guided", "contrastive", "supcon"])
def test_a_step_leaves_its_images_as_they_were(cells: Cells, row: str) -> None:
    images = floats("mnist")
    before = images.clone()
    loss_of(cells.trained(row)[0], cells.study.method("mnist", row), images, torch.arange(8), seeded())
    assert torch.equal(images, before)


# every configuration


def shrunk_steps() -> list[tuple[Path, str, str]]:
    """Every trained run of every data set in every configuration file that is a study."""
    studies = {path: config.read(path) for path in STUDIES}
    cells = {(path, dataset, run) for path, study in studies.items() for dataset, run, _ in study.cells()}
    judges = {(path, dataset, JUDGE) for path, study in studies.items() for dataset in study.datasets}
    return sorted(cell for cell in cells | judges if studies[cell[0]].method(*cell[1:]) is not None)


@pytest.mark.parametrize(("path", "dataset", "run"), shrunk_steps(), ids=lambda value: getattr(value, "stem", value))
def test_one_shrunk_step_of_every_configuration_has_a_finite_loss_and_finite_gradients(path: Path, dataset: str, run: str) -> None:
    study = config.read(path)
    model, settings, images = build(study, dataset, run, 1), study.method(dataset, run), floats(dataset)
    model.encoder.fit(images)
    with torch.autocast("cpu", torch.bfloat16, enabled=study.precision == "bfloat16"):
        assert model.encoder(images).shape == (8, getattr(settings, "code_size", CODE_SIZE))
        loss = loss_of(model, settings, images, torch.arange(8), torch.Generator().manual_seed(1))
    loss.backward()
    assert loss.isfinite() and loss > 0
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in learnt)
    for optimizer in optimizers_for(model, settings.optimisation, getattr(settings, "linear_rate", 1.0)):
        optimizer.step()
    assert all(parameter.isfinite().all() for parameter in learnt)
