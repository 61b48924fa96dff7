"""Labels beside the points of a panel, some with a picture, placed where they cover least."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.transforms import Bbox

DISTANCES, ANGLES = (6, 9, 13, 18, 24), np.radians(range(0, 360, 15))  # points between label and point
ORDERS, PASSES = 20, 4
MARKER = 8  # labels of this size, in points, belong to points with large markers
PICTURE = 19  # points: the height of a picture


class Label(NamedTuple):
    """Words beside a point of a panel, the size of their font, and their colour.

    Above the words there may be a picture, uint8 [h, w, c], with an edge of its own colour.
    """

    x: float
    y: float
    words: str
    size: float
    color: str = "black"
    picture: np.ndarray | None = None
    edge: str = "black"


class Canvas(NamedTuple):
    """What a label is placed on: pixels of a point, points [n, 2] that it should not cover, and the frame."""

    pixel: float
    drawn: np.ndarray
    frame: Bbox


def picture(image: np.ndarray, edge: str, **place: object) -> AnnotationBbox:
    """An image uint8 [h, w, c] with an edge of this colour; `place` says where, in points from its `xy`."""
    drawn = image.repeat(4, 0).repeat(4, 1).repeat(3 // image.shape[2], 2)
    return AnnotationBbox(
        OffsetImage(drawn, zoom=PICTURE / len(drawn)),
        boxcoords="offset points",
        pad=0,
        bboxprops={"edgecolor": edge, "linewidth": 0.8},
        zorder=3.5,
        **place,
    )


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
            ha="center",
            bbox={"color": "white", "alpha": 0.7, "pad": 0.2, "linewidth": 0},
            zorder=3.5,  # over curves, under markers
        )
        for label in labels
    ]
    large = np.array([label.size >= MARKER for label in labels])
    places, alone = [], []  # of each label: boxes, and their costs without other labels
    for k, note in enumerate(notes):
        size = note.get_window_extent().size
        if labels[k].picture is not None:
            side = PICTURE * canvas.pixel
            size = np.array([max(side, size[0]), side + size[1]])
        places.append(boxes(own[k], size, canvas.pixel))
        rivals = own[large & (np.arange(len(labels)) != k)]
        alone.append(cost(places[k], own[k], rivals, canvas))
    random = np.random.default_rng(0)
    found = [arranged(places, alone, random.permutation(len(labels)), canvas.pixel) for _ in range(ORDERS)]
    best = min(found, key=lambda one: one[1])[0]
    for label, note, box, place in zip(labels, notes, best, own, strict=True):
        (left, low), (right, high) = (box - place) / canvas.pixel
        note.set_position(((left + right) / 2, low))
        if label.picture is not None:
            top = {"xybox": ((left + right) / 2, high), "box_alignment": (0.5, 1)}
            axes.add_artist(picture(label.picture, label.edge, xy=(label.x, label.y), **top))


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
