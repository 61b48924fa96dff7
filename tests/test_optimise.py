"""The optimisers: Muon against its definition and a singular value decomposition, and its weights."""

import pytest
import torch
from tiny import TRAINED, Runs
from torch import nn

from latents.model import build
from latents.optimise import COEFFICIENTS, Muon, directions, optimizers_for, orthogonalised
from latents.settings import Optimisation
from latents.study import Run

SETTINGS = Optimisation(
    epochs=1, batch_size=5, optimizer="muon", learning_rate=0.01, weight_decay=0.1, warmup=0.0
)


def spectrum(shape: tuple[int, int]) -> torch.Tensor:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    return left @ torch.diag(torch.logspace(-1, 1, min(shape))) @ right


def one(matrix: torch.Tensor) -> torch.Tensor:
    return orthogonalised([matrix])[0]


def as_published(matrix: torch.Tensor) -> torch.Tensor:
    """Newton and Schulz's iteration on the whole matrix, in float64."""
    a, b, c = COEFFICIENTS
    x = matrix.double() / matrix.double().norm()
    for _ in range(5):
        inner = x @ x.T
        x = a * x + (b * inner + c * inner @ inner) @ x
    return x


@pytest.mark.parametrize("shape", [(1, 7), (8, 8), (6, 40), (40, 6), (256, 2304)])
def test_on_the_gram_matrix_the_iteration_gives_what_it_gives_on_the_whole(shape: tuple[int, int]) -> None:
    matrix = spectrum(shape)
    assert (one(matrix) - as_published(matrix)).norm() < 1e-3 * as_published(matrix).norm()
    rank_one = matrix[:, :1] @ matrix[:1]  # of all other directions, rounding alone
    assert (one(rank_one) - as_published(rank_one)).norm() < 1e-3 * as_published(rank_one).norm()


@pytest.mark.parametrize("shape", [(8, 8), (6, 40), (40, 6)])
def test_orthogonalising_keeps_the_directions_and_brings_every_singular_value_near_one(
    shape: tuple[int, int],
) -> None:
    matrix = spectrum(shape)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    inner = left.T @ one(matrix) @ right.T  # diagonal where the directions are kept
    assert inner.diagonal().min() > 0.6 and inner.diagonal().max() < 1.3
    assert (inner - torch.diag(inner.diagonal())).abs().max() < 0.1
    # the size does not count
    assert torch.allclose(one(1024 * matrix), one(matrix), atol=0.02)


def test_matrices_in_one_batch_come_out_as_alone_each_in_its_place() -> None:
    matrices = [spectrum(shape) for shape in [(8, 8), (6, 40), (40, 6), (8, 30), (6, 9)]]
    alone, batched = (directions(matrices, together=together) for together in (False, True))
    for matrix, a, b in zip(matrices, alone, batched, strict=True):
        assert a.shape == b.shape == matrix.shape and torch.allclose(a, b, atol=1e-4)
        assert torch.equal(a, one(matrix))


def test_a_module_without_hidden_weights_is_left_to_adamw() -> None:
    (adamw,) = optimizers_for(nn.BatchNorm1d(3), SETTINGS, 0.1)
    assert isinstance(adamw, torch.optim.AdamW)


def test_a_step_of_muon_has_the_size_of_adamws_and_decays_the_weight() -> None:
    weight = nn.Parameter(torch.ones(32, 4, 3, 3))
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(2))
    Muon([{"params": [weight]}], rate=0.01, decay=0.5).step()
    moved = weight.detach() - (1 - 0.01 * 0.5)
    # 0.2 of the rate, as AdamW's steps have in practice
    assert 0.15 * 0.01 < moved.square().mean().sqrt() < 0.25 * 0.01
    assert (moved * weight.grad).sum() < 0


def test_muon_with_momentum_follows_its_definition() -> None:
    gradients = torch.randn(3, 6, 9, generator=torch.Generator().manual_seed(3))
    weight, momentum, expected = nn.Parameter(torch.zeros(6, 9)), torch.zeros(6, 9), torch.zeros(6, 9)
    optimizer = Muon([{"params": [weight]}], rate=0.1, decay=0.0)
    for gradient in gradients:
        weight.grad = gradient
        optimizer.step()
        momentum = 0.95 * momentum + 0.05 * gradient
        expected -= 0.1 * 0.2 * 3 * one(0.05 * gradient + 0.95 * momentum)
    assert torch.allclose(weight, expected, atol=2e-3)


@pytest.mark.parametrize("method", TRAINED)
def test_muon_gets_the_hidden_weights_and_adamw_all_the_rest_once(runs: Runs, method: str) -> None:
    model = build(runs.study, Run("mnist", method, 1))
    muon, adamw = optimizers_for(model, SETTINGS, 0.1)
    names = {id(parameter): name for name, parameter in model.named_parameters() if parameter.requires_grad}
    given = {
        kind: [names[id(p)] for group in one.param_groups for p in group["params"]]
        for kind, one in (("muon", muon), ("adamw", adamw))
    }
    assert sorted(given["muon"] + given["adamw"]) == sorted(names.values())
    assert any(
        name.endswith("from_code.weight" if model.decodes else "to_code.layer.weight")
        for name in given["muon"]
    )
    for name in given["muon"]:
        assert name.endswith("weight")
        assert not (name.startswith("head.") or "to_pixels" in name or "encoder.from_" in name)
        assert ".linear." not in name
    rates = {names[id(p)]: group["share"] for group in adamw.param_groups for p in group["params"]}
    paths = {name for name in rates if ".linear." in name or "from_pixels" in name}
    assert {rates[name] for name in paths} <= {0.1}
    assert {rates[name] for name in rates if name not in paths} == {1.0}
    assert all(group["weight_decay"] == 0 for group in adamw.param_groups)
    assert muon.param_groups[0]["weight_decay"] == 0.1
