"""The training loop: the rate follows the step alone, every item is seen, the curve has the steps' means."""

import itertools
from collections.abc import Callable

import pytest
import torch
from msgspec.structs import replace
from tiny import Runs, pictures, same, state
from torch import Tensor, nn

from latents import loop
from latents.cli import Problem
from latents.device import device_of, to_float
from latents.loop import Task, fit, rate_at
from latents.model import build
from latents.optimise import optimizers_for
from latents.settings import Optimisation
from latents.study import Run

SGD = Optimisation(epochs=3, batch_size=5, optimizer="sgd", learning_rate=0.4, weight_decay=0.0, warmup=0.25)
ITEMS, STEPS = 20, 12
CPU = torch.device("cpu")


def task(
    module: nn.Module,
    loss: Callable[[Tensor, torch.Generator], Tensor],
    validate: Callable[[torch.Generator], float] = lambda _: 0.0,
    settings: Optimisation = SGD,
    name: str = "test",
) -> Task:
    return Task(name, module, loss, ITEMS, settings, 1, CPU, validate)


# the schedule


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.25, 1.0])
@pytest.mark.parametrize("steps", [1, 12, 100])
def test_the_rate_rises_and_falls_in_straight_lines_and_ends_at_zero(steps: int, warmup: float) -> None:
    settings = replace(SGD, warmup=warmup)
    rates = torch.tensor([rate_at(step, steps, settings) for step in range(steps)])
    assert rates.min() > 0
    assert rate_at(steps, steps, settings) == 0
    peak = int(rates.argmax())
    assert abs(peak - warmup * steps) <= 1 and rates[peak] > 0.4 * (1 - 2 / steps)
    for part in (rates[: peak + 1], rates[peak + 1 :]):
        assert (part.diff().diff().abs() < 1e-6).all()


def test_the_rate_is_never_higher_than_the_configured_one() -> None:
    for warmup, steps in itertools.product((0.0, 0.1, 0.25, 0.3, 1.0), (1, 12, 37, 100)):
        settings = replace(SGD, warmup=warmup)
        assert max(rate_at(step, steps, settings) for step in range(steps)) <= 0.4 + 1e-12


@pytest.mark.parametrize("slope", [1.0, -1.0, 0.0])
def test_the_rate_depends_on_the_step_alone_whatever_the_loss_does(
    monkeypatch: pytest.MonkeyPatch, slope: float
) -> None:
    module, made, rates = nn.Linear(1, 1), [], []

    def optimizers(*arguments: object) -> list[torch.optim.Optimizer]:
        made.extend(optimizers_for(*arguments))
        return made

    def loss(index: Tensor, _: torch.Generator) -> Tensor:
        rates.append(made[0].param_groups[0]["lr"])
        return 0 * module.weight.sum() + 100 + slope * len(rates)

    monkeypatch.setattr(loop, "optimizers_for", optimizers)
    curve, _ = fit(task(module, loss, lambda _: slope * len(rates)))
    assert rates == [rate_at(step, STEPS, SGD) for step in range(STEPS)]
    assert [line[4] for line in curve] == [rates[3], rates[7], rates[11]]


def test_a_linear_path_learns_at_its_share_of_the_rate(runs: Runs) -> None:
    model = build(runs.study, Run("mnist", "autoencoder-plus", 1))
    (optimizer,) = optimizers_for(model, SGD, 0.1)
    linear = {id(p) for part in (model.encoder, model.decoder) for p in part.linear.parameters()}
    shares = {id(p): group["share"] for group in optimizer.param_groups for p in group["params"]}
    assert {shares[place] for place in linear} == {0.1}
    assert {share for place, share in shares.items() if place not in linear} == {1.0}
    assert len(shares) == sum(p.requires_grad for p in model.parameters())


# the epochs and their curve


def test_every_item_is_seen_once_an_epoch_in_an_order_of_its_own() -> None:
    module, seen = nn.Linear(1, 1), []

    def loss(index: Tensor, _: torch.Generator) -> Tensor:
        seen.append(index)
        return module.weight.sum()

    fit(task(module, loss))
    epochs = torch.cat(seen).view(3, ITEMS)
    assert (epochs.sort(1).values == torch.arange(ITEMS)).all() and not torch.equal(epochs[0], epochs[1])


def test_a_curve_has_at_most_25_lines_each_the_mean_of_the_steps_since_the_one_before() -> None:
    module, values, validated = nn.Linear(1, 1), iter(range(1000)), []

    def loss(*_: object) -> Tensor:
        return module.weight.sum() * 0 + next(values)

    def fitted(epochs: int) -> list[tuple]:
        settings = replace(SGD, epochs=epochs)
        return fit(task(module, loss, lambda _: validated.append(1) or 0.0, settings))[0]

    per_epoch = ITEMS // SGD.batch_size
    curve = fitted(52)  # a line every three epochs, and one at the end
    assert [line[0] for line in curve] == [*range(3, 52, 3), 52] and len(validated) == len(curve) == 18
    assert [line[1] for line in curve] == [line[0] * per_epoch for line in curve]
    ends = [0, *(line[1] for line in curve)]
    means = [(a + b - 1) / 2 for a, b in itertools.pairwise(ends)]
    assert [line[2] for line in curve] == pytest.approx(means)
    assert [line[0] for line in fitted(25)] == list(range(1, 26))


def test_a_loss_that_is_not_finite_ends_the_training_in_one_sentence() -> None:
    module = nn.Linear(1, 1)
    message = "mnist/x: the loss is not finite in epoch 1; lower its learning-rate"
    with pytest.raises(Problem, match=message):
        fit(task(module, lambda *_: module.weight.sum() * torch.inf, name="mnist/x"))


def test_weights_that_the_last_step_spoilt_end_the_training_too() -> None:
    module = nn.Linear(1, 1)

    def validate(_: object) -> float:
        return float("nan")  # the losses of the steps were finite, each before its step

    with pytest.raises(Problem, match="mnist/x: the loss is not finite in epoch 1"):
        fit(task(module, lambda *_: module.weight.sum(), validate, name="mnist/x"))


# on a GPU


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_steps_of_a_captured_graph_are_those_launched_one_by_one(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    device = device_of(replace(runs.study, device="cuda"))
    settings = replace(SGD, optimizer=optimizer, learning_rate=0.01)

    def trained(eager: int) -> dict[str, Tensor]:
        monkeypatch.setattr(loop, "EAGER", eager)
        model = build(runs.study, Run("mnist", "guided", 1)).to(device)
        pixels = torch.from_numpy(pictures("mnist", ITEMS, 1)[0]).to(device)
        labels = torch.arange(ITEMS, device=device) % 10

        def loss(index: Tensor, random: torch.Generator) -> Tensor:
            return model.objective(model.views(to_float(pixels[index]), random), labels[index])

        fit(Task("test", model, loss, ITEMS, settings, 1, device))
        return state(model)

    assert same(trained(loop.EAGER), trained(STEPS))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_loss_that_reads_a_value_back_from_the_gpu_is_refused_in_one_sentence(runs: Runs) -> None:
    device = device_of(replace(runs.study, device="cuda"))
    module = nn.Linear(1, 1).to(device)

    def loss(*_: object) -> Tensor:
        return module.weight.sum() * module.weight.sum().item()

    with pytest.raises(Problem, match=r"^test: cannot be captured as a CUDA graph .* read nothing back"):
        fit(Task("test", module, loss, ITEMS, SGD, 1, device))
