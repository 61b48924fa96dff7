"""Probes: classifiers on frozen codes, with one protocol for all methods.

Codes are float32 [n, d] (d is 128 unless a sweep varies it), labels int64 [n]. For the linear and MLP probes,
codes are centred on the mean of the training codes and divided by one number; each chooses one setting on
val. For kNN, codes are centred on the mean of the training codes. The keys of FUNCTIONS are names in
`latents.metrics.PROBES`.
"""

import functools
import warnings
from collections.abc import Callable, Iterable
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

    `predict` maps other codes [n, d] to predictions, by the probe as it was fitted; kNN and heads have none.
    """

    predictions: Parts
    chosen: float | None
    predict: Callable[[Tensor], Tensor] | None = None


def accuracy(predictions: Tensor, labels: Tensor) -> float:
    """Share of correct predictions, in percent."""
    return 100 * (predictions == labels).double().mean().item()


def scaled(codes: Parts) -> Parts:
    """Codes centred and divided by one number, so that the mean square of the training codes is 1.

    Dividing each dimension by its own standard deviation would whiten codes with uncorrelated dimensions,
    such as principal components, but no others; a regularised probe would then weight their last directions
    like their first.
    """
    scale = scaling(codes["train"])
    return {name: scale(part) for name, part in codes.items()}


def scaling(train: Tensor) -> Callable[[Tensor], Tensor]:
    """The map of codes [n, d] that centres training codes and divides them by one number, as in `scaled`."""
    mean = train.mean(0)
    size = (train - mean).square().mean().sqrt().clamp_min(1e-8)
    return lambda codes: (codes - mean) / size


def best_on_val(outcomes: list[Outcome], labels: Parts) -> Outcome:
    """The outcome with the highest accuracy on val; the first in case of a tie."""
    return max(outcomes, key=lambda outcome: accuracy(outcome.predictions["val"], labels["val"]))


def linear(codes: Parts, labels: Parts, settings: ProbeSettings, classes: int) -> Outcome:
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
            predictions = {name: torch.as_tensor(model.predict(part)) for name, part in parts.items()}
            weight, bias = (torch.as_tensor(part).clone() for part in (model.coef_, model.intercept_))
            predict = functools.partial(of_linear, scaling(codes["train"]), weight, bias)
            outcomes.append(Outcome(predictions, c, predict))
    return best_on_val(outcomes, labels)


def of_linear(scale: Callable[[Tensor], Tensor], weight: Tensor, bias: Tensor, codes: Tensor) -> Tensor:
    """The predictions of a fitted linear probe; of two classes, scikit-learn has the weights of one."""
    logits = scale(codes) @ weight.T + bias
    return logits.argmax(1) if len(weight) > 1 else (logits[:, 0] > 0).long()


def of_mlp(scale: Callable[[Tensor], Tensor], model: nn.Module, codes: Tensor) -> Tensor:
    """The predictions of a fitted MLP."""
    with torch.inference_mode():
        return model(scale(codes)).argmax(1)


def mlp(codes: Parts, labels: Parts, settings: ProbeSettings, classes: int) -> Outcome:
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
            predictions = {name: model(part).argmax(1) for name, part in parts.items()}
        predict = functools.partial(of_mlp, scaling(codes["train"]), model)
        outcomes.append(Outcome(predictions, decay, predict))
    return best_on_val(outcomes, labels)


def perceptron(widths: list[int], dropout: float, classes: int) -> nn.Sequential:
    """An MLP of these widths, of which the first is the input's, and a linear layer to the classes."""
    hidden = [
        nn.Sequential(nn.Linear(a, b), nn.BatchNorm1d(b), nn.GELU(), nn.Dropout(dropout))
        for a, b in pairwise(widths)
    ]
    return nn.Sequential(*hidden, nn.Linear(widths[-1], classes))


def knn(codes: Parts, labels: Parts, settings: ProbeSettings, classes: int) -> Outcome:
    """Weighted cosine kNN (Wu et al. 2018).

    The k nearest training codes vote with weight exp(similarity / temperature). On train, an image does not
    vote for itself (leave-one-out).
    """
    mean = codes["train"].mean(0)
    keys = functional.normalize(codes["train"] - mean, dim=1)
    k = min(settings.knn_k, len(keys) - 1)
    predictions = {}
    for name, part in codes.items():
        queries, votes = functional.normalize(part - mean, dim=1), []
        for similarity, index in nearest(queries, keys, k, same=name == "train"):
            # the largest weight is 1, so that nothing overflows
            weight = ((similarity - similarity[:, :1]) / settings.knn_temperature).exp()
            voted = functional.one_hot(labels["train"][index], classes)  # [<= 1000, k, classes]
            votes.append((weight.unsqueeze(2) * voted).sum(1).argmax(1))
        predictions[name] = torch.cat(votes)
    return Outcome(predictions, None)


FUNCTIONS: dict[str, Callable[[Parts, Parts, ProbeSettings, int], Outcome | None]] = {
    "linear": linear,
    "mlp": mlp,
    "knn": knn,
}


def fit_probes(
    names: Iterable[str], codes: Parts, labels: Parts, settings: ProbeSettings, classes: int
) -> dict[str, Outcome]:
    """The outcomes of some probes; one that returns None, as the study has no setting for it, is left out."""
    found = {name: FUNCTIONS[name](codes, labels, settings, classes) for name in names}
    return {name: outcome for name, outcome in found.items() if outcome is not None}


def packed(correct: Tensor) -> np.ndarray:
    """Correctness [n] as packed bits, for later paired comparisons."""
    return np.packbits(correct.cpu().numpy())
