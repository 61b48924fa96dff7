"""The optimisers: SGD with Nesterov momentum, AdamW, and Muon for hidden weights with AdamW for the rest."""

import torch
from torch import Tensor, nn

from latents.settings import Optimisation

MOMENTUM = 0.95  # of Muon
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, as published
ITERATIONS = 5
# groups of parameters; layers are marked with the first two
LINEAR_PATH, ADAMW, MUON = "linear path", "adamw", "muon"


def orthogonalised(matrices: list[Tensor]) -> list[Tensor]:
    """Matrices with their singular values moved close to 1, by Newton-Schulz iteration.

    Each step multiplies x by a polynomial of x x^T (Jordan et al. 2024). Since these polynomials commute, the
    iteration works on the Gram matrix x x^T of the smaller side alone, and x is multiplied once, by their
    product (Gram Newton-Schulz, Zhang et al. 2026). This needs float32. The smaller sides of all matrices
    must have the same length: their iterations are one batch.
    """
    wide = [one.float() if one.shape[0] <= one.shape[1] else one.float().T for one in matrices]
    wide = [one / (one.norm() + 1e-7) for one in wide]
    products = newton_schulz(wide[0] @ wide[0].T)[None] if len(wide) == 1 else newton_schulz(grams(wide))
    found = [product @ one for product, one in zip(products, wide, strict=True)]
    return [
        (one if matrix.shape[0] <= matrix.shape[1] else one.T).to(matrix.dtype)
        for one, matrix in zip(found, matrices, strict=True)
    ]


def grams(matrices: list[Tensor]) -> Tensor:
    """Gram matrices [k, r, r] of k matrices with r rows."""
    return torch.stack([one @ one.T for one in matrices])


def newton_schulz(gram: Tensor) -> Tensor:
    """The product of the iteration's polynomials of one Gram matrix [r, r] or of several [k, r, r]."""
    a, b, c = COEFFICIENTS
    add_product = torch.addmm if gram.ndim == 2 else torch.baddbmm
    product = None
    for number in range(ITERATIONS):
        step = add_product(gram, gram, gram, beta=b, alpha=c)
        step.diagonal(dim1=-2, dim2=-1).add_(a)
        product = step if product is None else step @ product
        if number < ITERATIONS - 1:
            gram = step @ gram @ step
    return product


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum: a weight matrix moves equally far in every direction (Jordan et al. 2024).

    A convolution's filters are flattened to a matrix. The step is scaled to the size of AdamW's and weight
    decay is decoupled (Liu et al. 2025, arXiv 2502.16982), so that both can use the same learning rate.
    torch's own Muon does not accept convolution filters. On a GPU, matrices whose smaller sides have the same
    length are one batch; on a CPU that does not pay.
    """

    def __init__(self, groups: list[dict], rate: float | Tensor, decay: float) -> None:
        super().__init__(groups, {"lr": rate, "weight_decay": decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            weights = group["params"]
            gradients = [weight.grad for weight in weights]
            for weight in weights:
                if weight not in self.state:
                    self.state[weight]["momentum"] = torch.zeros_like(weight)
            momenta = [self.state[weight]["momentum"] for weight in weights]
            torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
            updates = torch._foreach_lerp(gradients, momenta, MOMENTUM)  # Nesterov momentum
            updates = directions([update.flatten(1) for update in updates], together=weights[0].is_cuda)
            torch._foreach_mul_(updates, [0.2 * max(update.shape) ** 0.5 for update in updates])
            torch._foreach_mul_(updates, group["lr"])
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            shaped = [update.view(weight.shape) for update, weight in zip(updates, weights, strict=True)]
            torch._foreach_sub_(weights, shaped)


def directions(matrices: list[Tensor], *, together: bool) -> list[Tensor]:
    """All matrices `orthogonalised`; `together`: those with smaller sides of one length as one batch."""
    if not together:
        return [orthogonalised([matrix])[0] for matrix in matrices]
    places: dict[int, list[int]] = {}
    for place, matrix in enumerate(matrices):
        places.setdefault(min(matrix.shape), []).append(place)
    found: dict[int, Tensor] = {}
    for some in places.values():
        found |= zip(some, orthogonalised([matrices[place] for place in some]), strict=True)
    return [found[place] for place in range(len(matrices))]


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
    on_gpu = next(module.parameters()).is_cuda

    def group(parameters: list[Tensor], share: float = 1.0) -> dict:
        # on a GPU the rate is a number there, which a captured step reads (latents.loop)
        first = torch.tensor(share * rate, device=parameters[0].device) if on_gpu else share * rate
        return {"params": parameters, "share": share, "lr": first}

    def groups(parameters: list[Tensor]) -> list[dict]:
        parts = ((parameters, 1.0), (found[LINEAR_PATH], linear_rate))
        return [group(part, share) for part, share in parts if part]

    def adamw(parameters: list[Tensor], decay: float) -> torch.optim.Optimizer:
        options = {"weight_decay": decay, "fused": True, "capturable": on_gpu}
        return torch.optim.AdamW(groups(parameters), rate, **options)

    match settings.optimizer:
        case "sgd":
            options = {"momentum": 0.9, "nesterov": True, "weight_decay": decay, "fused": True}
            return [torch.optim.SGD(groups(found[ADAMW] + found[MUON]), rate, **options)]
        case "adamw":
            return [adamw(found[ADAMW] + found[MUON], decay)]
    muon = [Muon([group(found[MUON])], rate, decay)] if found[MUON] else []
    return [*muon, adamw(found[ADAMW], 0.0)]
