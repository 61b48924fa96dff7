"""Encode images with a trained encoder.

    python -m latents.encode --config config/study.yaml \
        --weights checkpoints/cifar10/contrastive/seed1.safetensors --images cat.png dog.jpg --out codes.npz

encodes image files and writes `codes` float32 [n, d] and `names` [n]. Images are brought to the data set's
size (squashed, if they are not square) and colours. Of an animation, the first frame is encoded. Transparent
pixels become mid-grey for CIFAR-10, and black for MNIST, where a dark drawing on transparency becomes white.
MNIST's digits are white on black: for black on white, add --invert. What is refused, and why: docs/codes.md.
"""

import io
import os
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from latents import cli, config, images, record
from latents.cli import Problem
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


def npz(*, compressed: bool = True, **arrays: np.ndarray) -> bytes:
    """An npz archive as bytes. NumPy writes no timestamp, so equal arrays give equal bytes.

    Compressing codes takes thirty times as long as writing them, and saves a tenth of the bytes.
    """
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def check_output(out: str, inputs: Sequence[str]) -> None:
    """Raise Problem if `out` is a folder, a device or one of the files that are read."""
    if os.path.exists(out) and not os.path.isfile(out):
        raise Problem(f"{images.shown(out)}: is not a regular file; give another --out")
    for path in inputs:
        if os.path.exists(out) and os.path.exists(path) and os.path.samefile(out, path):
            raise Problem(f"{images.shown(path)}: is read, and --out would overwrite it; give another --out")


@cli.command
def main() -> None:
    parser = cli.parser(__doc__, "config", "weights", "out")
    parser.add_argument("--images", nargs="+", required=True, help="image files, such as PNG, JPEG or TIFF")
    parser.add_argument("--invert", action="store_true", help="MNIST: they are black on white")
    options = parser.parse_args()
    for name, given in vars(options).items():
        if given == "" or (name == "images" and "" in given):
            raise Problem(f"--{name}: an empty path; give the path of a file")
    check_output(options.out, [*options.images, options.weights, options.config])
    study = config.read(options.config)
    model, run, training = load_model(options.weights, study)
    device = device_of(study)
    found = torch.from_numpy(images.read(options.images, run.dataset, invert=options.invert))
    codes = encode(model.to(device).eval().encoder, found.to(device), training["precision"])
    if not torch.isfinite(codes).all():
        raise Problem(
            f"{images.shown(options.weights)}: gives codes that are not finite numbers; "
            "restore it from a copy, or train it again"
        )
    record.write_bytes(options.out, npz(codes=codes.cpu().numpy(), names=np.array(options.images)))


if __name__ == "__main__":
    main()
