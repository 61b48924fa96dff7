"""Probes: what a classifier reads from frozen codes. One protocol for every row.

Codes are float32 [n, d] (d is 128 but in a sweep of it), labels int64 [n]. Linear and MLP probes see codes centred on the training codes' mean
and divided by one number; their one grid is chosen on val. kNN sees codes centred on the training mean.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from latents.loop import fit
from latents.model import forked
from latents.settings import CLASSES, Optimisation, Probe

Parts = dict[str, Tensor]  # split -> codes, or split -> labels


@dataclass(frozen=True)
class Outcome:
    """A probe's predictions int64 [n] for each split, and the setting that val chose."""

    predictions: Parts
    chosen: float | None


def accuracy(predictions: Tensor, labels: Tensor) -> float:
    """Share of right predictions, in percent."""
    return 100 * (predictions == labels).double().mean().item()


def scaled(codes: Parts) -> Parts:
    """Centred, and divided by one number, so that the training codes have a mean square of one.

    Each number divided by its own deviation would whiten codes whose numbers are uncorrelated, principal components for
    one, and not others: a regularised probe then finds their last directions as loud as their first.
    """
    mean = codes["train"].mean(0)
    size = (codes["train"] - mean).square().mean().sqrt().clamp_min(1e-8)
    return {name: (part - mean) / size for name, part in codes.items()}


def best_on_val(outcomes: list[Outcome], labels: Parts) -> Outcome:
    """The outcome with the highest accuracy on val; the first of equals."""
    return max(outcomes, key=lambda outcome: accuracy(outcome.predictions["val"], labels["val"]))


def linear(codes: Parts, labels: Parts, settings: Probe) -> Outcome:
    """Multinomial logistic regression, L2, by scikit-learn."""
    arrays = {name: part.cpu().numpy() for name, part in scaled(codes).items()}
    outcomes = []
    for c in settings.linear_c:
        model = LogisticRegression(C=c, max_iter=settings.linear_iterations)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the budget of iterations is part of the protocol
            model.fit(arrays["train"], labels["train"].cpu().numpy())
        predictions = {name: torch.from_numpy(model.predict(part)).to(labels[name].device) for name, part in arrays.items()}
        outcomes.append(Outcome(predictions, c))
    return best_on_val(outcomes, labels)


def mlp(codes: Parts, labels: Parts, settings: Probe) -> Outcome:
    """128 -> two hidden layers with BatchNorm, GELU and dropout -> 10; cross-entropy, AdamW, one cycle."""
    parts = scaled(codes)
    device = parts["train"].device
    outcomes = []
    for decay in settings.mlp_weight_decay:
        with forked(settings.seed):
            widths = [parts["train"].shape[1], *settings.mlp_hidden]
            hidden = [
                nn.Sequential(nn.Linear(a, b), nn.BatchNorm1d(b), nn.GELU(), nn.Dropout(settings.mlp_dropout))
                for a, b in zip(widths, widths[1:], strict=False)
            ]
            model = nn.Sequential(*hidden, nn.Linear(widths[-1], CLASSES)).to(device)
            optimisation = Optimisation(
                epochs=settings.mlp_epochs, batch_size=settings.mlp_batch_size, optimizer="adamw",
                learning_rate=settings.mlp_learning_rate, weight_decay=decay, warmup=settings.mlp_warmup,
            )  # fmt: skip

            def loss(index: Tensor, _: torch.Generator, model: nn.Module = model) -> Tensor:
                return functional.cross_entropy(model(parts["train"][index]), labels["train"][index])

            fit(loss, lambda _: 0.0, model, optimisation, len(parts["train"]), settings.seed, device, name=f"mlp probe, decay {decay:g}")
        with torch.inference_mode():
            outcomes.append(Outcome({name: model(part).argmax(1) for name, part in parts.items()}, decay))
    return best_on_val(outcomes, labels)


def knn(codes: Parts, labels: Parts, settings: Probe) -> Outcome:
    """Weighted cosine kNN (Wu et al. 2018): the k nearest training codes vote with exp(similarity / temperature).

    On train an image does not vote for itself (leave one out).
    """
    mean = codes["train"].mean(0)
    keys = functional.normalize(codes["train"] - mean, dim=1)
    predictions = {}
    for name, part in codes.items():
        queries, votes = functional.normalize(part - mean, dim=1), []
        for start in range(0, len(queries), 1000):
            similarity = queries[start : start + 1000] @ keys.T  # [<= 1000, train]
            if name == "train":
                rows = torch.arange(len(similarity), device=keys.device)
                similarity[rows, rows + start] = -torch.inf
            nearest, index = similarity.topk(min(settings.knn_k, len(keys) - 1), dim=1)
            weight = ((nearest - nearest[:, :1]) / settings.knn_temperature).exp()  # the largest is 1: nothing overflows
            classes = functional.one_hot(labels["train"][index], CLASSES)  # [<= 1000, k, 10]
            votes.append((weight.unsqueeze(2) * classes).sum(1).argmax(1))
        predictions[name] = torch.cat(votes)
    return Outcome(predictions, None)


def packed(right: Tensor) -> np.ndarray:
    """Correctness [n] as packed bits, for the paired comparisons of later analyses."""
    return np.packbits(right.cpu().numpy())
