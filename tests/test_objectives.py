"""The objectives: NT-Xent and SupCon against the papers' equations, and what each method feeds into them."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from test_config import STUDIES
from tiny import TRAINED, Runs, floats, literal_nt_xent, literal_supcon, with_settings, without_networks
from torch import Generator, Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from latents import augment, config, objectives
from latents.methods import METHODS
from latents.model import Model, build
from latents.optimise import optimizers_for
from latents.settings import Augmentation
from latents.study import Run

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
    loss = objectives.supcon(z, torch.tensor(labels), temperature).item()
    assert loss == pytest.approx(expected, rel=1e-5)


def test_supcon_of_images_that_all_have_labels_of_their_own_is_nt_xent(z: Tensor) -> None:
    assert torch.equal(objectives.supcon(z, torch.arange(N).flip(0), 0.3), objectives.nt_xent(z, 0.3))
    assert objectives.supcon(z, torch.zeros(N, dtype=torch.long), 0.3) != objectives.nt_xent(z, 0.3)


def test_both_losses_see_directions_only(z: Tensor) -> None:
    lengths = torch.linspace(0.1, 9, 2 * N).unsqueeze(1)
    expected = objectives.nt_xent(z, 0.2).item()
    assert objectives.nt_xent(z * lengths, 0.2).item() == pytest.approx(expected, rel=1e-5)


def test_interleaved_views_give_another_loss_than_the_two_halves(z: Tensor) -> None:
    # rows 2i and 2i + 1 are the views of image i
    interleaved = z.view(2, N, WIDTH).transpose(0, 1).flatten(0, 1)
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


def test_kl_is_that_of_normal_densities_from_the_standard_one_summed_over_the_code() -> None:
    mean, log_variance = torch.randn(2, N, WIDTH, generator=seeded())
    density = Normal(mean, (log_variance / 2).exp())
    expected = kl_divergence(density, Normal(0.0, 1.0)).sum(1).mean().item()
    assert objectives.kl_to_normal(mean, log_variance).item() == pytest.approx(expected, rel=1e-5)


def test_gradient_histograms_tell_edges_by_direction_and_place_and_not_by_contrast() -> None:
    step = torch.zeros(1, 3, 8, 8)
    step[..., 6:] = 0.8  # an edge between the columns 5 and 6, in the second cell of four pixels
    found = objectives.gradient_histograms(step)
    assert found.shape == (1, 9, 2, 2)
    assert found[0, :, :, 0].abs().max() == 0
    assert found[0, 0, :, 1] == pytest.approx([1, 1], abs=0.05)  # direction 0 alone: across
    assert found[0, 1:].abs().max() == 0
    # light to dark or dark to light
    assert torch.allclose(objectives.gradient_histograms(1 - step), found)
    assert torch.allclose(objectives.gradient_histograms(step / 2), found, atol=0.05)
    # a quarter turn lies between two of nine directions
    turned = objectives.gradient_histograms(step.transpose(2, 3))
    assert turned[0, 4:6, 1].sum(0) == pytest.approx([2**0.5, 2**0.5], abs=0.05)
    assert turned[0, 4, 1].tolist() == pytest.approx(turned[0, 5, 1].tolist(), abs=1e-4)


# what a method feeds into its loss


def bare(
    runs: Runs, run: Run, parts: dict[str, Callable[[Tensor], Tensor]] | None = None, **changes: object
) -> Model:
    """A method's model under changed settings, with `parts` in the place of its networks, or none."""
    study = with_settings(runs.study, run.dataset, run.method, **changes)
    return without_networks(build(study, run), **(parts or {}))


def loss_of(model: Model, images: Tensor, labels: Tensor | None) -> Tensor:
    """The objective on views that are the same at each call."""
    return model.objective(model.views(images, seeded()), labels)


@pytest.mark.parametrize(("method", "labels"), [("contrastive", N * [0]), ("supcon", range(N))])
def test_the_two_views_of_an_image_are_the_positive_pair(
    runs: Runs, method: str, labels: Sequence[int]
) -> None:
    images, labels, random = floats("cifar10", N), torch.tensor(labels), seeded()
    first, second = (augment.view(images, NOISE, random).flatten(1).double().numpy() for _ in range(2))
    assert not np.array_equal(first, second)
    z, pairs = np.concatenate([first, second]), [(i, i + N) for i in range(N)]
    certain = 1000 * functional.one_hot(labels.repeat(2), 10).float()  # SupCon's head adds nothing
    model = bare(runs, Run("cifar10", method, 1), {"head": lambda codes: certain}, augmentation=NOISE)
    loss, temperature = loss_of(model, images, labels).item(), model.settings.temperature
    assert loss == pytest.approx(literal_nt_xent(z, pairs, temperature), rel=1e-3)
    halves = [(2 * i, 2 * i + 1) for i in range(N)]  # of an interleaved batch
    assert abs(loss - literal_nt_xent(z, halves, temperature)) > 0.05


def test_supcon_adds_its_classification_heads_loss_with_the_labels_of_both_views(runs: Runs) -> None:
    images, labels, random = floats("cifar10", N), torch.tensor([0, 1, 2, 0, 1, 0]), seeded()
    z = torch.cat([augment.view(images, NOISE, random).flatten(1) for _ in range(2)])
    head = nn.Linear(z.shape[1], 10)
    model = bare(runs, Run("cifar10", "supcon", 1), {"head": head}, augmentation=NOISE)
    expected = literal_supcon(z.double().numpy(), labels.repeat(2).numpy(), model.settings.temperature)
    expected += functional.cross_entropy(head(z), labels.repeat(2)).item()
    assert loss_of(model, images, labels).item() == pytest.approx(expected, rel=1e-3)


def test_supcons_classification_head_does_not_change_the_codes_it_reads(runs: Runs) -> None:
    encoder, head = nn.Sequential(nn.Flatten(), nn.Linear(3072, 16)), nn.Linear(16, 10)
    parts = {"encoder": encoder, "head": head, "projector": lambda codes: codes.detach() + 0 * codes}
    model = bare(runs, Run("cifar10", "supcon", 1), parts)
    loss_of(model, floats("cifar10", N), torch.arange(N)).backward()
    assert encoder[1].weight.grad.abs().max() == 0 and head.weight.grad.abs().max() > 0


def test_the_plain_autoencoders_target_is_the_image_with_its_pixels_from_0_to_1(runs: Runs) -> None:
    images = floats("cifar10")
    shape = images.shape[1:]

    def loss(decode: Callable[[Tensor], Tensor]) -> float:
        parts = {"decoder": lambda codes: decode(codes.unflatten(1, shape))}
        model = bare(runs, Run("cifar10", "autoencoder", 1), parts)
        return loss_of(model, images, torch.zeros(8)).item()

    assert loss(lambda pixels: pixels) == 0  # the whole target can be reached
    assert loss(torch.zeros_like) == pytest.approx(images.mean().item(), rel=1e-5)
    assert loss(torch.ones_like) == pytest.approx(1 - images.mean().item(), rel=1e-5)


def test_the_improved_autoencoder_reconstructs_the_gradients_too_where_they_have_a_weight(runs: Runs) -> None:
    images, run = floats("cifar10"), Run("cifar10", "autoencoder-plus", 1)
    wanted = objectives.gradient_histograms(images)
    settings = {"augmentation": Augmentation(), "clean_fraction": 1.0}
    decode = {"decoder": lambda codes: codes.unflatten(1, images.shape[1:])}

    def loss(weight: float, gradients: Tensor) -> float:
        parts = decode | ({"gradients": lambda codes: gradients} if weight else {})
        model = bare(runs, run, parts, gradient_weight=weight, **settings)
        return loss_of(model, images, torch.zeros(8)).item()

    assert loss(2.0, wanted) == 0 and loss(0.0, 0 * wanted) == 0
    assert loss(2.0, 0 * wanted) == pytest.approx(2 * wanted.mean().item(), rel=1e-4)


def test_the_improved_autoencoder_reconstructs_the_clean_view_from_the_corrupted_one(runs: Runs) -> None:
    images, run = floats("cifar10"), Run("cifar10", "autoencoder-plus", 1)
    settings = {"augmentation": Augmentation(flip=True), "corruption": NOISE, "gradient_weight": 0.0}
    target = augment.view(images, settings["augmentation"], seeded())

    def loss(clean_fraction: float, decoder: Callable[[Tensor], Tensor]) -> float:
        model = bare(runs, run, {"decoder": decoder}, clean_fraction=clean_fraction, **settings)
        return loss_of(model, images, torch.zeros(8)).item()

    def seen(codes: Tensor) -> Tensor:
        return codes.unflatten(1, images.shape[1:])

    # the target has no noise, and is the view, not the image before it
    assert loss(0.0, lambda codes: target) == 0
    assert loss(0.0, lambda codes: images) > 0.05
    # the encoder saw the noise; with clean-fraction 1 it never does
    assert loss(0.0, seen) > 0.05 and loss(1.0, seen) == 0
    assert 0.2 < loss(0.5, seen) / loss(0.0, seen) < 0.8


def test_the_classifier_learns_the_labels_with_the_smoothing_asked_for(runs: Runs) -> None:
    labels, logits = torch.arange(8), torch.randn(8, 10, generator=seeded())
    for smoothing in (0.0, 0.1):
        parts, settings = (
            {"head": lambda codes: logits},
            {"label_smoothing": smoothing, "augmentation": NOISE},
        )
        loss = loss_of(bare(runs, Run("mnist", "guided", 1), parts, **settings), floats("mnist"), labels)
        wanted = functional.one_hot(labels, 10) * (1 - smoothing) + smoothing / 10
        expected = -(wanted * logits.log_softmax(1)).sum(1).mean().item()
        assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_the_variational_autoencoder_decodes_a_draw_and_adds_kl_per_pixel_value(runs: Runs) -> None:
    model, images = build(runs.study, Run("mnist", "vae", 1)).eval(), floats("mnist")
    nn.init.normal_(model.to_log_variance.layer.weight, std=0.1, generator=seeded())
    views = model.views(images, seeded())
    seen, noise = views
    assert noise.shape == (8, 128) and noise.std() == pytest.approx(1, abs=0.1)
    assert torch.equal(noise, model.views(images, seeded())[1])
    density = Normal(model.encoder(seen), (model.to_log_variance(model.encoder.features(seen)) / 2).exp())
    decoded = model.decode(density.mean + density.stddev * noise)
    divergence = kl_divergence(density, Normal(0.0, 1.0)).sum() / 8 / (28 * 28)
    expected = (decoded - seen).abs().mean() + model.settings.beta * divergence
    assert model.objective(views, None).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("method", [name for name in TRAINED if not METHODS[name].sees_labels])
def test_the_methods_without_labels_do_not_look_at_them(runs: Runs, method: str) -> None:
    model = runs.trained(method).model
    kinds = (torch.arange(8), torch.full((8,), -1), None)
    losses = [loss_of(model, floats("mnist"), labels) for labels in kinds]
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize("method", TRAINED)
def test_a_step_leaves_its_images_as_they_were(runs: Runs, method: str) -> None:
    images = floats("mnist")
    before = images.clone()
    loss_of(runs.trained(method).model, images, torch.arange(8))
    assert torch.equal(images, before)


# every configuration


read = lru_cache(config.read)


def trained_kinds() -> list[tuple[Path, str, str]]:
    """Every method and variant that is trained, of every data set of every study that ships."""
    found = set()
    for path in STUDIES:
        study = read(path)
        for run in [*study.runs(), *study.reference_classifiers().values()]:
            if study.settings(run.dataset, run.method).optimisation is not None:
                found.add((path, run.dataset, run.method))
    return sorted(found)


def begun(path: Path, dataset: str, method: str) -> Model:
    """Networks before the first step, of what they start from also before it."""
    study = read(path)
    model, start = build(study, Run(dataset, method, 1)), study.settings(dataset, method).start
    many = floats(dataset, 200)
    if start:
        model.start_from(begun_once(path, dataset, start), (255 * many).round().byte())
    else:
        model.encoder.fit(many)
    return model


begun_once = lru_cache(maxsize=4)(begun)  # what several start from, which nothing changes


@pytest.mark.parametrize(
    ("path", "dataset", "method"), trained_kinds(), ids=lambda value: getattr(value, "stem", value)
)
def test_one_step_of_every_configuration_has_a_finite_loss_and_finite_gradients(
    path: Path, dataset: str, method: str
) -> None:
    settings, images = read(path).settings(dataset, method), floats(dataset)
    model = begun(path, dataset, method).train()
    assert model.encoder(images).shape == (8, settings.code_size)
    loss = model.objective(model.views(images, Generator().manual_seed(1)), torch.arange(8))
    loss.backward()
    assert loss.isfinite() and loss > 0
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in learnt)
    for optimizer in optimizers_for(model, settings.optimisation, settings.linear_rate):
        optimizer.step()
    assert all(parameter.isfinite().all() for parameter in learnt)
