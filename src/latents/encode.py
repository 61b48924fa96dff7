"""Encode images with a trained encoder: the study's own, or a user's.

    python -m latents.encode --config config/study.yaml --weights checkpoints/cifar10/contrastive/seed1.safetensors \
        --images cat.png dog.jpg --out codes.npz

writes `codes` float32 [n, d] and `names` [n]. Images are brought to the data set's size and colours.
"""

import argparse
import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from latents import config, record
from latents.config import DATASETS, Problem, Study
from latents.device import device_of, to_float
from latents.model import Model, load_model

BATCH = 500


@torch.inference_mode()
def encode(model: Model, images: Tensor, study: Study, views: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Codes float32 [n, d] of images uint8 [n, c, h, w], on the images' device; `views` maps a float batch to views of it."""
    model.eval()
    codes = []
    with torch.autocast(images.device.type, torch.bfloat16, enabled=study.precision == "bfloat16"):
        for batch in images.split(BATCH):
            pictures = to_float(batch)
            codes.append(model.encoder(views(pictures) if views else pictures).float())
    return torch.cat(codes)


@torch.inference_mode()
def draw(decode: torch.nn.Module, codes: Tensor, study: Study) -> Tensor:
    """Images float32 [n, c, h, w] in [0, 1] of codes [n, d]."""
    with torch.autocast(codes.device.type, torch.bfloat16, enabled=study.precision == "bfloat16"):
        return torch.cat([decode(batch).float() for batch in codes.split(BATCH)])


def read_image(path: str, dataset: str) -> np.ndarray:
    """uint8 [c, h, w] in the data set's size and colours."""
    height, width, colours = DATASETS[dataset]
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I;16"):  # Pillow would clip 16 bits to 8, not scale them
                image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
            pixels = np.asarray(image.convert("L" if colours == 1 else "RGB").resize((width, height), Image.Resampling.LANCZOS))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise Problem(f"{path}: not an image that Pillow can read; give PNG or JPEG files") from None
    return pixels.reshape(height, width, colours).transpose(2, 0, 1)


def npz(**arrays: np.ndarray) -> bytes:
    """An npz archive as bytes; numpy stamps no time into it, so equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("config", "weights", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--images", nargs="+", required=True)
    options = parser.parse_args()
    study = config.read(options.config)
    model, training = load_model(options.weights, study)
    device = device_of(study)
    images = np.stack([read_image(path, training["dataset"]) for path in tqdm(options.images, desc="reading", disable=None)])
    codes = encode(model.to(device), torch.from_numpy(images).to(device), study)
    record.write_bytes(options.out, npz(codes=codes.cpu().numpy(), names=np.array(options.images)))


if __name__ == "__main__":
    main()
