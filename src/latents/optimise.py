"""The optimisers: SGD with Nesterov momentum, AdamW, and Muon for the weights of hidden layers beside AdamW for the rest."""

import torch
from torch import Tensor, nn

from latents.settings import Optimisation

MOMENTUM = 0.95  # of Muon
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, as published
ITERATIONS = 5


def orthogonalised(matrix: Tensor) -> Tensor:
    """A matrix [r, c] with its singular values brought near 1, by Newton and Schulz's iteration (Jordan et al. 2024).

    Each step multiplies x by a polynomial of x x^T. As these all commute, the steps are taken on x x^T alone, the smaller side
    squared, and x is multiplied once, by their product (Gram Newton-Schulz, Zhang et al. 2026); in float32, which that needs.
    """
    a, b, c = COEFFICIENTS
    x = matrix.float()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    gram, product = x @ x.T, None
    for number in range(ITERATIONS):
        step = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        step.diagonal().add_(a)
        product = step if product is None else step @ product
        if number < ITERATIONS - 1:
            gram = step @ gram @ step
    x = product @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: every direction of a weight matrix is moved alike (Jordan et al. 2024).

    A convolution's filters are flattened to a matrix. The step is scaled to the size of AdamW's and weight decay is
    decoupled (Liu et al. 2025, arXiv 2502.16982), so that learning rates mean the same. torch's own takes no filters.
    """

    def __init__(self, groups: list[dict], rate: float, decay: float) -> None:
        super().__init__(groups, {"lr": rate, "weight_decay": decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].lerp_(weight.grad, 1 - MOMENTUM)
                update = orthogonalised(weight.grad.lerp(momentum, MOMENTUM).flatten(1))  # Nesterov's
                size = 0.2 * max(update.shape) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update.view(weight.shape), alpha=-group["lr"] * size)


def optimizers_for(module: nn.Module, settings: Optimisation, linear_rate: float) -> list[torch.optim.Optimizer]:
    """What trains a module, together all of it; a group's `share` is its part of the learning rate.

    Parameters of a linear path (named `linear`) learn at `linear_rate` times the others' rate. Muon takes every other weight of
    two or more axes but those of the classifier head and of the layer that ends in pixels; these, the path, biases and norms
    are AdamW's, without decay.
    """
    trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    path = [parameter for name, parameter in trained.items() if ".linear." in name]
    rest = {name: parameter for name, parameter in trained.items() if ".linear." not in name}
    rate, decay = settings.learning_rate, settings.weight_decay

    def groups(parameters: list[Tensor]) -> list[dict]:
        return [{"params": part, "share": share, "lr": share * rate} for part, share in ((parameters, 1.0), (path, linear_rate)) if part]

    match settings.optimizer:
        case "sgd":
            return [torch.optim.SGD(groups(list(rest.values())), rate, momentum=0.9, nesterov=True, weight_decay=decay, fused=True)]
        case "adamw":
            return [torch.optim.AdamW(groups(list(rest.values())), rate, weight_decay=decay, fused=True)]
    hidden = [name for name, parameter in rest.items() if parameter.ndim > 1 and not name.startswith("head.") and "to_pixels" not in name]
    others = groups([parameter for name, parameter in rest.items() if name not in hidden])
    return [Muon([{"params": [rest[name] for name in hidden], "share": 1.0}], rate, decay), torch.optim.AdamW(others, rate, weight_decay=0.0, fused=True)]
