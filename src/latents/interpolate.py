"""Linear and spherical interpolation between codes, to be compared with a cross-fade of the pixels.

Frames are float32 [pairs, steps, c, h, w] in [0, 1]; the first and the last belong to the two ends.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

STEPS = 10


def line(starts: Tensor, ends: Tensor) -> Tensor:
    """Equidistant points on straight lines: [p, ...] and [p, ...] -> [p, steps, ...], both ends included."""
    t = torch.linspace(0, 1, STEPS, device=starts.device).view(1, STEPS, *[1] * (starts.ndim - 1))
    return (1 - t) * starts.unsqueeze(1) + t * ends.unsqueeze(1)


def arc(starts: Tensor, ends: Tensor) -> Tensor:
    """Points at even angles between vectors: [p, d] and [p, d] -> [p, steps, d], both ends included.

    Spherical linear interpolation (Shoemake 1985, equation of section 3.3), of vectors that need not have one
    length; between vectors of one direction it is the straight line.
    """
    cosine = functional.cosine_similarity(starts, ends, dim=1).clamp(-1, 1)
    angle = cosine.acos().clamp(1e-4, math.pi - 1e-4).view(-1, 1, 1)
    t = torch.linspace(0, 1, STEPS, device=starts.device).view(1, STEPS, 1)
    weights = ((1 - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin()
    return weights[0] * starts.unsqueeze(1) + weights[1] * ends.unsqueeze(1)


def path_length(frames: Tensor) -> float:
    """Length of a path in pixel space, divided by the distance of its ends; mean over pairs.

    At least 1, and 1 for a cross-fade.
    """
    flat = frames.flatten(2)
    length = (flat[:, 1:] - flat[:, :-1]).norm(dim=2).sum(1)
    return (length / (flat[:, -1] - flat[:, 0]).norm(dim=1).clamp_min(1e-8)).mean().item()


def class_changes(predicted: Tensor, labels: Tensor) -> tuple[float | None, int]:
    """Mean number of changes of the predicted class [p, steps] along a path, and the number of pairs counted.

    Only pairs whose two ends are classified as their labels [p, 2] count; the mean is None if there are none.
    """
    counted = (predicted[:, [0, -1]] == labels).all(1)
    changes = (predicted[:, 1:] != predicted[:, :-1]).sum(1)[counted]
    return (changes.double().mean().item() if len(changes) else None), len(changes)
