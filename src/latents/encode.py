"""Encode images with a trained encoder.

    python -m latents.encode --config config/study.yaml \
        --weights checkpoints/cifar10/contrastive/seed1.safetensors --images cat.png dog.jpg --out codes.npz

encodes image files and writes `codes` float32 [n, d] and `names` [n]. Images are resized and converted to the
data set's size and colours.
"""

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from latents import cli, config, record
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.device import autocast, device_of, to_float
from latents.model import load_model

BATCH = 500


@torch.inference_mode()
def encode(
    encoder: nn.Module, images: Tensor, precision: str, views: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Codes float32 [n, d] of images uint8 [n, c, h, w], on their device, by an encoder in evaluation mode.

    `views` maps a float batch to augmented views, which are encoded in its place.
    """
    codes = []
    with autocast(images.device, precision):
        for batch in images.split(BATCH):
            pixels = to_float(batch)
            codes.append(encoder(views(pixels) if views else pixels).float())
    return torch.cat(codes)


def read_image(path: str, dataset: str) -> np.ndarray:
    """Read an image as uint8 [c, h, w] in the data set's size and colours. Raises Problem."""
    height, width, colours = DATASETS[dataset].shape
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I;16"):  # Pillow would clip to 8 bits, not scale
                image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
            converted = image.convert("L" if colours == 1 else "RGB")
            pixels = np.asarray(converted.resize((width, height), Image.Resampling.LANCZOS))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise Problem(f"{path}: not an image that Pillow can read; give PNG or JPEG files") from None
    return pixels.reshape(height, width, colours).transpose(2, 0, 1)


def npz(**arrays: np.ndarray) -> bytes:
    """An npz archive as bytes. NumPy writes no timestamp, so equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@cli.command
def main() -> None:
    parser = cli.parser(__doc__, "config", "weights", "out")
    parser.add_argument("--images", nargs="+", required=True)
    options = parser.parse_args()
    study = config.read(options.config)
    model, run = load_model(options.weights, study)
    device = device_of(study)
    reading = tqdm(options.images, desc="reading", disable=None)
    images = torch.from_numpy(np.stack([read_image(path, run.dataset) for path in reading]))
    codes = encode(model.to(device).eval().encoder, images.to(device), study.precision)
    record.write_bytes(options.out, npz(codes=codes.cpu().numpy(), names=np.array(options.images)))


if __name__ == "__main__":
    main()
