"""Labels beside the points of a panel, placed where they cover least of what is drawn and written."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

DISTANCES, ANGLES = (6, 9, 13, 18, 24), np.radians(range(0, 360, 15))  # points between label and point
ORDERS, PASSES = 20, 4
MARKER = 8  # labels of this size, in points, belong to points with large markers


class Label(NamedTuple):
    """Words beside a point of a panel, the size of their font, and their colour."""

    x: float
    y: float
    words: str
    size: float
    color: str = "black"


class Canvas(NamedTuple):
    """What a label is placed on: pixels of a point, points [n, 2] that it should not cover, and the frame."""

    pixel: float
    drawn: np.ndarray
    frame: Bbox


def place_labels(axes: Axes, labels: Sequence[Label]) -> None:
    """Write labels beside their points; the layout of the figure must be settled.

    In several orders, each in turn takes the best of its places, given those of the others; the best result
    counts.
    """
    canvas = Canvas(axes.figure.dpi / 72, drawn(axes), axes.get_window_extent())
    own = axes.transData.transform([(label.x, label.y) for label in labels])
    notes = [
        axes.annotate(
            *(label.words, (label.x, label.y), (0, 0)),
            textcoords="offset points",
            fontsize=label.size,
            color=label.color,
            bbox={"color": "white", "alpha": 0.7, "pad": 0.2, "linewidth": 0},
            zorder=3.5,  # over curves, under markers
        )
        for label in labels
    ]
    large = np.array([label.size >= MARKER for label in labels])
    places, alone = [], []  # of each label: boxes, and their costs without other labels
    for k, note in enumerate(notes):
        places.append(boxes(own[k], note.get_window_extent().size, canvas.pixel))
        rivals = own[large & (np.arange(len(labels)) != k)]
        alone.append(cost(places[k], own[k], rivals, canvas))
    random = np.random.default_rng(0)
    found = [arranged(places, alone, random.permutation(len(labels)), canvas.pixel) for _ in range(ORDERS)]
    for note, box, place in zip(notes, min(found, key=lambda one: one[1])[0], own, strict=True):
        note.set_position((box[0] - place) / canvas.pixel)


def drawn(axes: Axes) -> np.ndarray:
    """Points [n, 2] on the canvas that labels should not cover: along intervals and undotted lines."""
    paths = [line.get_xydata() for line in axes.lines if line.get_linestyle() != ":"]
    paths += [ends for bars in axes.collections for ends in bars.get_segments()]
    points, steps = [], np.linspace(0, 1, 40)[:, None]
    for path in (axes.transData.transform(path) for path in paths if np.isfinite(path).all() and len(path)):
        points += [path, *(a + steps * (b - a) for a, b in itertools.pairwise(path))]
    return np.concatenate(points)


def boxes(place: np.ndarray, size: np.ndarray, pixel: float) -> np.ndarray:
    """Where a label of this size can be round a place: corners [k, 2, 2], lower left and upper right."""
    distance, angle = (part.ravel() for part in np.meshgrid(DISTANCES, ANGLES))
    towards = np.stack([np.cos(angle), np.sin(angle)], 1)
    low = place + pixel * distance[:, None] * towards + size * (towards.round(1) - 1) / 2
    return np.stack([low, low + size], 1)


def gaps(places: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance [k, n] of points [n, 2] from boxes [k, 2, 2]."""
    return np.linalg.norm(points - points.clip(places[:, None, 0], places[:, None, 1]), axis=-1)


def cost(places: np.ndarray, own: np.ndarray, rivals: np.ndarray, canvas: Canvas) -> np.ndarray:
    """How bad each place is: what it covers, its distance from its own point and from those of others."""
    pixel, frame = canvas.pixel, canvas.frame
    covers = (gaps(places, canvas.drawn) < 1.5 * pixel).sum(1)
    beyond = np.maximum(frame.min - places[:, 0], places[:, 1] - frame.max).max(1) / pixel
    distance, near = gaps(places, own[None]) / pixel, gaps(places, rivals) / pixel
    unclear = (near < 4).sum(1) + (near < 1.2 * distance).sum(1)
    return 15 * (covers > 0) + 0.5 * covers + 10 * (beyond + 2).clip(0) + distance[:, 0] + 40 * unclear


def arranged(
    places: list[np.ndarray], alone: list[np.ndarray], order: Sequence[int], pixel: float
) -> tuple[np.ndarray, float]:
    """A box of each label, taken in this order, and their cost together."""
    chosen, costs = np.zeros((len(places), 2, 2)), np.zeros(len(places))
    for k in [*order] * PASSES:
        others = np.delete(chosen, k, 0)
        low = np.maximum(places[k][:, None, 0], others[:, 0])
        common = (np.minimum(places[k][:, None, 1], others[:, 1]) - low).clip(0).prod(2).sum(1)
        found = alone[k] + 5 * common / pixel**2
        best = int(np.argmin(found))
        chosen[k], costs[k] = places[k][best], found[best]
    return chosen, costs.sum()
