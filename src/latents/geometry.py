"""Separability and geometry of codes [n, d], with labels [n] for measures of classes.

d is 128 unless a sweep varies it.
"""

import math
from collections.abc import Iterator

import torch
from sklearn.metrics import silhouette_score
from torch import Tensor
from torch.nn import functional


def silhouette(codes: Tensor, labels: Tensor) -> float:
    """Mean silhouette (Rousseeuw 1987) with Euclidean distances, by scikit-learn; in [-1, 1]."""
    return float(silhouette_score(codes.cpu().numpy(), labels.cpu().numpy()))


def scatter_ratio(codes: Tensor, labels: Tensor) -> float:
    """Between-class over within-class scatter, as traces of Fisher's two scatter matrices.

    0 when all class means are equal; infinite when each class is one point and they differ.
    """
    codes = codes.double()
    mean = codes.mean(0)
    between = within = 0.0
    for label in labels.unique():
        members = codes[labels == label]
        centre = members.mean(0)
        between += len(members) * (centre - mean).square().sum().item()
        within += (members - centre).square().sum().item()
    if not within:
        return math.inf if between else 0.0
    return between / within


def nearest(queries: Tensor, keys: Tensor, k: int, *, same: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
    """The k unit keys [m, d] most similar to each unit query [n, d], a thousand queries at a time.

    Yields cosine similarities, in descending order, and positions of keys, [<= 1000, k] each. With `same`,
    queries and keys are the same codes, and none is its own neighbour.
    """
    for start in range(0, len(queries), 1000):
        similarity = queries[start : start + 1000] @ keys.T  # [<= 1000, m]
        if same:
            itself = torch.arange(len(similarity), device=keys.device)
            similarity[itself, itself + start] = -torch.inf
        yield tuple(similarity.topk(k, dim=1))


def knn_purity(codes: Tensor, labels: Tensor, k: int) -> float:
    """Mean share of a code's k nearest neighbours (cosine) that have its label; in [0, 1].

    A code is not its own neighbour.
    """
    unit = functional.normalize(codes, dim=1)
    neighbours = torch.cat([index for _, index in nearest(unit, unit, k, same=True)])  # [n, k]
    return (labels[neighbours] == labels[:, None]).double().mean(1).mean().item()


def alignment(a: Tensor, b: Tensor) -> float:
    """Mean squared distance between the unit codes of two views of an image; in [0, 4].

    Wang and Isola 2020, alpha = 2.
    """
    return (functional.normalize(a, dim=1) - functional.normalize(b, dim=1)).square().sum(1).mean().item()


def uniformity(codes: Tensor) -> float:
    """Log of the mean of exp(-2 d^2) over the distances d of all pairs of unit codes.

    At most 0; lower is more uniform. Wang and Isola 2020, t = 2.
    """
    unit = functional.normalize(codes.double(), dim=1)
    total, pairs = 0.0, len(unit) * (len(unit) - 1)
    for part in unit.split(1000):
        total += (-2 * (2 - 2 * part @ unit.T).clamp_min(0)).exp().sum().item()
    return float(torch.tensor((total - len(unit)) / pairs).log())


def effective_rank(codes: Tensor) -> float:
    """Exponential of the entropy of the normalised singular values of the centred codes; in [1, d].

    Roy and Vetterli 2007.
    """
    values = torch.linalg.svdvals((codes - codes.mean(0)).double())
    share = values / values.sum()
    return float((-(share * share.clamp_min(1e-12).log()).sum()).exp())
