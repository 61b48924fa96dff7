"""MNIST: 70,000 greyscale digits of 28 x 28 pixels.

LeCun et al. 1998, http://yann.lecun.com/exdb/mnist/
"""

import struct
from pathlib import Path

import numpy as np

from latents.cli import Problem
from latents.datasets.spec import Archive, Content, DatasetSpec, Part, StandIn

SHAPE = (28, 28, 1)
DIGITS = tuple(f"digit {k}" for k in range(10))


def read(_: Part, files: list[Content]) -> tuple[np.ndarray, np.ndarray]:
    """Read a part's two IDX files: images uint8 [n, 1, 28, 28] and labels int64 [n]. Raises Problem."""
    images, labels = (parse_idx(*file, item) for file, item in zip(files, (SHAPE[:2], ()), strict=True))
    if len(images) != len(labels) or labels.max(initial=0) >= len(DIGITS):
        raise Problem(
            f"{files[1][0]}: does not hold one label 0 to 9 for each of {len(images)} images; "
            "delete it and run again"
        )
    return images[:, None], labels.astype(np.int64)  # [n, h, w] -> [n, 1, h, w]


def parse_idx(path: Path, content: bytes, item: tuple[int, ...]) -> np.ndarray:
    """The array uint8 [n, *item] in an IDX file; `path` is for the message. Raises Problem."""
    n = int.from_bytes(content[4:8], "big")
    header = struct.pack(f">4B{1 + len(item)}I", 0, 0, 8, 1 + len(item), n, *item)
    if not content.startswith(header) or len(content) != len(header) + n * int(np.prod(item)):
        raise Problem(
            f"{path}: not an IDX file of unsigned bytes {('n', *item)}, or not whole; "
            "replace it by the published file"
        )
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(n, *item)


MNIST = DatasetSpec(
    label="MNIST",
    shape=SHAPE,
    images=(60_000, 10_000),
    classes=DIGITS,
    marker="o",
    filling="black",
    sources=(
        "http://yann.lecun.com/exdb/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    archives=(
        Archive(
            "MNIST/raw/train-images-idx3-ubyte.gz",
            9912422,
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            {
                "MNIST/raw/train-images-idx3-ubyte": (
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
                )
            },
        ),
        Archive(
            "MNIST/raw/train-labels-idx1-ubyte.gz",
            28881,
            "d53e105ee54ea40749a09fcbcd1e9432",
            {
                "MNIST/raw/train-labels-idx1-ubyte": (
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
                )
            },
        ),
        Archive(
            "MNIST/raw/t10k-images-idx3-ubyte.gz",
            1648877,
            "9fb629c4189551a2d022fa330f9573f3",
            {
                "MNIST/raw/t10k-images-idx3-ubyte": (
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
                )
            },
        ),
        Archive(
            "MNIST/raw/t10k-labels-idx1-ubyte.gz",
            4542,
            "ec29112dd5afa0611ce80d1b7f02629c",
            {
                "MNIST/raw/t10k-labels-idx1-ubyte": (
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
                )
            },
        ),
    ),
    parts={
        "train": ("MNIST/raw/train-images-idx3-ubyte", "MNIST/raw/train-labels-idx1-ubyte"),
        "test": ("MNIST/raw/t10k-images-idx3-ubyte", "MNIST/raw/t10k-labels-idx1-ubyte"),
    },
    read=read,
    stand_in=StandIn("MNIST subset", DIGITS, "latents.standin:write_digits"),
    white_on_black=True,
)
