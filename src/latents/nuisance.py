"""Nuisance probes: how well a linear map of the code tells what no label says of an image.

Ridge regression from the code, by R^2: the image's brightness, colour and contrast; on handwritten digits the
thickness and slant of the strokes; and of moved copies of images, by how much each was shifted, turned and
scaled. The penalty of each target is chosen on val. Images are float [n, c, h, w] in [0, 1].
"""

import numpy as np
import torch
from torch import Tensor

from latents import augment
from latents.device import generator, to_float
from latents.encode import BATCH, encode
from latents.probe import Parts, scaled
from latents.subject import Measured, Subject

SHIFT, ANGLE, SCALE = 4.0, 30.0, 1.25  # largest move: pixels, degrees, factor
PENALTIES = [10.0**power for power in range(-6, 2)]  # relative to the number of training codes
DESCRIBED = 10_000  # most images of a split whose looks are probed: ridge on 128 numbers needs no more
MOVES = ("shift_x", "shift_y", "rotation", "scale")


def looks(images: Tensor) -> dict[str, Tensor]:
    """Brightness: the mean of all pixels; contrast: their standard deviation; colour: I and Q of the mean.

    Each is [n] or, colour, [n, 2]. Grey images have no colour; I and Q are those of NTSC's YIQ.
    """
    found = {"brightness": images.mean((1, 2, 3)), "contrast": images.flatten(1).std(1)}
    if images.shape[1] == 3:
        found["colour"] = images.mean((2, 3)) @ augment.constants(images.device)[1][1:].T
    return found


def strokes(images: Tensor) -> dict[str, Tensor]:
    """Of white strokes on black: thickness in pixels, and slant, the tangent of the angle to the vertical.

    A stroke of width w and length l has an area of w l and an outline of 2 l, so that twice the area over the
    outline, the total variation, is its width. The slant is -mu11 / mu02, of the central moments.
    """
    ink = images[:, 0]
    down, right = ink.diff(dim=1)[:, :, :-1], ink.diff(dim=2)[:, :-1]
    outline = (down.square() + right.square()).sqrt().sum((1, 2))
    total = ink.sum((1, 2)).clamp_min(1e-8)
    rows, columns = (torch.arange(size, dtype=ink.dtype, device=ink.device) for size in ink.shape[1:])
    y = (ink.sum(2) @ rows / total)[:, None, None] - rows[:, None]  # upwards, from the centre
    x = columns - (ink.sum(1) @ columns / total)[:, None, None]
    slant = (ink * x * y).sum((1, 2)) / (ink * y * y).sum((1, 2)).clamp_min(1e-8)
    return {"thickness": 2 * total / outline.clamp_min(1e-8), "slant": slant}


def moved(images: Tensor, moves: Tensor) -> Tensor:
    """Copies of images, each turned counter-clockwise, scaled and then shifted to the right and down.

    `moves` [n, 4] has the columns of MOVES: pixels, degrees, and the logarithm of the factor. What comes into
    the picture is a reflection of the image: black corners would give the turn away.
    """
    height, width = images.shape[2:]
    x, y = 2 * moves[:, 0] / width, 2 * moves[:, 1] / height
    angle, factor = moves[:, 2].deg2rad(), moves[:, 3].exp()
    cos, sin = angle.cos() / factor, angle.sin() / factor
    # from the place in the copy to that in the image: shift, scale and turn back
    matrix = torch.stack(
        [
            torch.stack([cos, -sin, -cos * x + sin * y], 1),
            torch.stack([sin, cos, -sin * x - cos * y], 1),
        ],
        1,
    )
    return augment.warp(images, matrix, (height, width), outside="reflection")


def drawn(n: int, random: torch.Generator) -> Tensor:
    """Moves of n images [n, 4], uniform in their ranges."""
    largest = torch.tensor([SHIFT, SHIFT, ANGLE, float(np.log(SCALE))], device=random.device)
    return (2 * torch.rand(n, 4, generator=random, device=random.device) - 1) * largest


def r2(predicted: Tensor, target: Tensor) -> Tensor:
    """Share of the variance of targets [n, t] that predictions explain, for each [t]; at most 1."""
    rest = (target - predicted).square().sum(0)
    return 1 - rest / (target - target.mean(0)).square().sum(0).clamp_min(1e-12)


def ridge(codes: Parts, targets: Parts) -> dict[str, Tensor]:
    """R^2 [t] on every split but train, of ridge regression of targets [n, t] from codes [n, d].

    The penalty of each target is the one of PENALTIES with the highest R^2 on val.
    """
    inputs = {name: part.double() for name, part in scaled(codes).items()}
    train, mean = inputs["train"], targets["train"].double().mean(0)
    values, vectors = torch.linalg.eigh(train.T @ train)
    projected = vectors.T @ (train.T @ (targets["train"].double() - mean))  # [d, t]
    weights = [vectors @ (projected / (values + one * len(train))[:, None]) for one in PENALTIES]
    others = [name for name in codes if name != "train"]
    found = {
        name: torch.stack([r2(inputs[name] @ some + mean, targets[name].double()) for some in weights])
        for name in others
    }  # [penalties, t]
    best = found["val"].argmax(0, keepdim=True)
    return {name: part.gather(0, best)[0] for name, part in found.items()}


def described(images: Tensor) -> dict[str, Tensor]:
    """All that is measured on images uint8 [n, c, h, w] themselves: target -> [n, t]."""
    parts = []
    for batch in images.split(4 * BATCH):
        pixels = to_float(batch)
        parts.append(looks(pixels) | (strokes(pixels) if pixels.shape[1] == 1 else {}))
    return {name: torch.cat([part[name] for part in parts]).view(len(images), -1) for name in parts[0]}


def measure_nuisance(subject: Subject, found: Measured) -> None:
    """Add the R^2 of every target on val and test."""
    targets = {split: described(images[:DESCRIBED]) for split, images in subject.images.items()}
    codes = {split: part[:DESCRIBED] for split, part in subject.codes.items()}
    for name in targets["train"]:
        for split, values in ridge(codes, {split: each[name] for split, each in targets.items()}).items():
            found.add(f"nuisance_{name}", split, values.mean().item())
    found.lap("nuisance")
    codes, moves = moved_codes(subject)
    found.lap("encode")
    for split, values in ridge(codes, moves).items():
        for name, value in zip(MOVES, values.tolist(), strict=True):
            found.add(f"nuisance_{name}", split, value)
    found.lap("nuisance")


def moved_codes(subject: Subject) -> tuple[Parts, Parts]:
    """Codes of one moved copy of each of some images, and the moves, by split: the same for every method."""
    settings, codes, moves = subject.study.measurement, {}, {}
    for number, (split, images) in enumerate(subject.images.items()):
        n = settings.nuisance_copies if split == "train" else -(-settings.nuisance_copies // 2)
        order = np.random.default_rng(settings.seed).permutation(len(images))[:n]
        moves[split] = drawn(len(order), generator(images.device, settings.seed, 100 + number))
        steps = iter(moves[split].split(BATCH))
        codes[split] = encode(
            subject.model.encoder,
            images[order],
            subject.precision,
            lambda batch, steps=steps: moved(batch, next(steps)),
        )
    return codes, moves
