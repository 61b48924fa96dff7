"""The optimisers: SGD with Nesterov momentum, AdamW, and Muon for hidden weights with AdamW for the rest."""

import torch
from torch import Tensor, nn

from latents.settings import Optimisation

MOMENTUM = 0.95  # of Muon
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, as published
ITERATIONS = 5
# groups of parameters; layers are marked with the first two
LINEAR_PATH, ADAMW, MUON = "linear path", "adamw", "muon"


def orthogonalised(matrix: Tensor) -> Tensor:
    """A matrix [r, c] with its singular values moved close to 1, by Newton-Schulz iteration.

    Each step multiplies x by a polynomial of x x^T (Jordan et al. 2024). Since these polynomials commute, the
    iteration works on the Gram matrix x x^T of the smaller side alone, and x is multiplied once, by their
    product (Gram Newton-Schulz, Zhang et al. 2026). This needs float32.
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
    """Orthogonalised momentum: a weight matrix moves equally far in every direction (Jordan et al. 2024).

    A convolution's filters are flattened to a matrix. The step is scaled to the size of AdamW's and weight
    decay is decoupled (Liu et al. 2025, arXiv 2502.16982), so that both can use the same learning rate.
    torch's own Muon does not accept convolution filters.
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
                update = orthogonalised(weight.grad.lerp(momentum, MOMENTUM).flatten(1))  # Nesterov momentum
                size = 0.2 * max(update.shape) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update.view(weight.shape), alpha=-group["lr"] * size)


def mark(module: nn.Module, group: str) -> nn.Module:
    """Put a layer, with all its parameters, in the group LINEAR_PATH or ADAMW.

    Weights in unmarked layers are Muon's.
    """
    module.optimiser_group = group
    return module


def parameters_by_group(module: nn.Module) -> dict[str, list[Tensor]]:
    """Group -> its trainable parameters, in the module's order.

    In unmarked layers, those with two or more axes are MUON's and the others ADAMW's.
    """
    marks = {
        parameter: layer.optimiser_group
        for layer in module.modules()
        if hasattr(layer, "optimiser_group")
        for parameter in layer.parameters()
    }
    found: dict[str, list[Tensor]] = {LINEAR_PATH: [], ADAMW: [], MUON: []}
    for parameter in module.parameters():
        if parameter.requires_grad:
            found[marks.get(parameter, MUON if parameter.ndim > 1 else ADAMW)].append(parameter)
    return found


def optimizers_for(
    module: nn.Module, settings: Optimisation, linear_rate: float
) -> list[torch.optim.Optimizer]:
    """The optimisers that together train a module.

    The `share` of a parameter group is its factor of the learning rate. A linear path learns at `linear_rate`
    times the rate of the other layers. Muon trains weights with two or more axes, except in linear paths,
    classification heads and layers that return pixels; these, biases and norms are trained by AdamW without
    weight decay.
    """
    found = parameters_by_group(module)
    rate, decay = settings.learning_rate, settings.weight_decay

    def groups(parameters: list[Tensor]) -> list[dict]:
        parts = ((parameters, 1.0), (found[LINEAR_PATH], linear_rate))
        return [{"params": part, "share": share, "lr": share * rate} for part, share in parts if part]

    match settings.optimizer:
        case "sgd":
            options = {"momentum": 0.9, "nesterov": True, "weight_decay": decay, "fused": True}
            return [torch.optim.SGD(groups(found[ADAMW] + found[MUON]), rate, **options)]
        case "adamw":
            return [
                torch.optim.AdamW(groups(found[ADAMW] + found[MUON]), rate, weight_decay=decay, fused=True)
            ]
    muon = Muon([{"params": found[MUON], "share": 1.0}], rate, decay)
    return [muon, torch.optim.AdamW(groups(found[ADAMW]), rate, weight_decay=0.0, fused=True)]
