"""Probes: classifiers on frozen codes, with one protocol for all methods.

Codes are float32 [n, d] (d is 128 unless a sweep varies it), labels int64 [n]. For the linear and MLP probes,
codes are centred on the mean of the training codes and divided by one number; each chooses one setting on
val. For kNN, codes are centred on the mean of the training codes. Each predicts the labels of `splits`, of
which val is one. The keys of FUNCTIONS are names in `latents.metrics.PROBES`.
"""

import warnings
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import sklearn
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from latents.geometry import nearest
from latents.loop import Task, fit
from latents.metrics import ProbeSettings
from latents.model import forked
from latents.settings import Optimisation

Parts = dict[str, Tensor]  # split -> codes, or split -> labels


@dataclass(frozen=True)
class Outcome:
    """A probe's predictions int64 [n] for each split, and the setting chosen on val, if there is a choice.

    `network` maps codes [n, d] to logits [n, classes]; kNN and heads have none.
    """

    predictions: Parts
    chosen: float | None
    network: nn.Module | None = None


def accuracy(predictions: Tensor, labels: Tensor) -> float:
    """Share of correct predictions, in percent."""
    return 100 * (predictions == labels).double().mean().item()


def scaled(codes: Parts) -> Parts:
    """Codes centred and divided by one number, so that the mean square of the training codes is 1.

    Dividing each dimension by its own standard deviation would whiten codes with uncorrelated dimensions,
    such as principal components, but no others; a regularised probe would then weight their last directions
    like their first.
    """
    scaling = Scaling(codes["train"])
    return {name: scaling(part) for name, part in codes.items()}


class Scaling(nn.Module):
    """Centres codes [n, d] on the mean of training codes and divides them by one number, as in `scaled`."""

    def __init__(self, train: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", train.mean(0))
        self.register_buffer("size", (train - self.mean).square().mean().sqrt().clamp_min(1e-8))

    def forward(self, codes: Tensor) -> Tensor:
        return (codes - self.mean) / self.size


def best_on_val(outcomes: list[Outcome], labels: Parts) -> Outcome:
    """The outcome with the highest accuracy on val; the first in case of a tie."""
    return max(outcomes, key=lambda outcome: accuracy(outcome.predictions["val"], labels["val"]))


def linear(
    codes: Parts, labels: Parts, settings: ProbeSettings, classes: int, splits: Collection[str]
) -> Outcome:
    """Multinomial logistic regression with an L2 penalty, by scikit-learn, on the codes' device.

    Each value of C starts from the solution for the one before it: half the time, the same accuracies within
    0.02 points.
    """
    # on a CPU scikit-learn is faster with arrays than with tensors
    parts = {name: part if part.is_cuda else part.numpy() for name, part in scaled(codes).items()}
    target, outcomes = labels["train"] if labels["train"].is_cuda else labels["train"].numpy(), []
    model = LogisticRegression(max_iter=settings.linear_iterations, warm_start=True)
    with sklearn.config_context(array_api_dispatch=True), warnings.catch_warnings():
        # the limit on iterations is part of the protocol
        warnings.simplefilter("ignore", ConvergenceWarning)
        for c in settings.linear_c:
            model.set_params(C=c).fit(parts["train"], target)
            predictions = {name: torch.as_tensor(model.predict(parts[name])) for name in splits}
            layer = linear_layer(model.coef_, model.intercept_, codes["train"])
            outcomes.append(Outcome(predictions, c, nn.Sequential(Scaling(codes["train"]), layer)))
    return best_on_val(outcomes, labels)


def linear_layer(weight: np.ndarray | Tensor, bias: np.ndarray | Tensor, like: Tensor) -> nn.Linear:
    """scikit-learn's weights [classes, d] as a layer; of two classes it has those of the second alone."""
    weight, bias = (torch.as_tensor(part).to(like) for part in (weight, bias))
    if len(weight) == 1:
        weight, bias = (torch.cat([torch.zeros_like(part), part]) for part in (weight, bias))
    layer = nn.utils.skip_init(nn.Linear, weight.shape[1], len(weight), device=like.device)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


def mlp(
    codes: Parts, labels: Parts, settings: ProbeSettings, classes: int, splits: Collection[str]
) -> Outcome:
    """MLP: d -> two hidden layers with BatchNorm, GELU and dropout -> classes.

    Trained with cross-entropy, AdamW and a one-cycle learning rate.
    """
    parts = scaled(codes)
    device = parts["train"].device
    outcomes = []
    for decay in settings.mlp_weight_decay:
        with forked(settings.seed):
            model = perceptron([parts["train"].shape[1], *settings.mlp_hidden], settings.mlp_dropout, classes)
            model.to(device)

            def loss(index: Tensor, _: torch.Generator, model: nn.Module = model) -> Tensor:
                return functional.cross_entropy(model(parts["train"][index]), labels["train"][index])

            optimisation = Optimisation(
                epochs=settings.mlp_epochs,
                batch_size=settings.mlp_batch_size,
                optimizer="adamw",
                learning_rate=settings.mlp_learning_rate,
                weight_decay=decay,
                warmup=settings.mlp_warmup,
            )
            name = f"mlp probe, decay {decay:g}"
            fit(Task(name, model, loss, len(parts["train"]), optimisation, settings.seed, device))
        with torch.inference_mode():
            predictions = {name: model(parts[name]).argmax(1) for name in splits}
        outcomes.append(Outcome(predictions, decay, nn.Sequential(Scaling(codes["train"]), model)))
    return best_on_val(outcomes, labels)


def perceptron(widths: list[int], dropout: float, classes: int) -> nn.Sequential:
    """An MLP of these widths, of which the first is the input's, and a linear layer to the classes."""
    hidden = [
        nn.Sequential(nn.Linear(a, b), nn.BatchNorm1d(b), nn.GELU(), nn.Dropout(dropout))
        for a, b in pairwise(widths)
    ]
    return nn.Sequential(*hidden, nn.Linear(widths[-1], classes))


def knn(
    codes: Parts, labels: Parts, settings: ProbeSettings, classes: int, splits: Collection[str]
) -> Outcome:
    """Weighted cosine kNN (Wu et al. 2018).

    The k nearest training codes vote with weight exp(similarity / temperature). On train, an image does not
    vote for itself (leave-one-out).
    """
    mean = codes["train"].mean(0)
    keys = functional.normalize(codes["train"] - mean, dim=1)
    k = min(settings.knn_k, len(keys) - 1)
    predictions = {}
    for name in splits:
        queries, votes = functional.normalize(codes[name] - mean, dim=1), []
        for similarity, index in nearest(queries, keys, k, same=name == "train"):
            # the largest weight is 1, so that nothing overflows
            weight = ((similarity - similarity[:, :1]) / settings.knn_temperature).exp()
            voted = functional.one_hot(labels["train"][index], classes)  # [<= 1000, k, classes]
            votes.append((weight.unsqueeze(2) * voted).sum(1).argmax(1))
        predictions[name] = torch.cat(votes)
    return Outcome(predictions, None)


FUNCTIONS: dict[str, Callable[[Parts, Parts, ProbeSettings, int, Collection[str]], Outcome | None]] = {
    "linear": linear,
    "mlp": mlp,
    "knn": knn,
}


def fit_probes(
    names: Iterable[str],
    codes: Parts,
    labels: Parts,
    settings: ProbeSettings,
    classes: int,
    splits: Collection[str],
) -> dict[str, Outcome]:
    """The outcomes of some probes, with predictions for these splits, of which val is one.

    A probe that returns None, as the study has no setting for it, is left out.
    """
    found = {name: FUNCTIONS[name](codes, labels, settings, classes, splits) for name in names}
    return {name: outcome for name, outcome in found.items() if outcome is not None}


def packed(correct: Tensor) -> np.ndarray:
    """Correctness [n] as packed bits, for later paired comparisons."""
    return np.packbits(correct.cpu().numpy())
