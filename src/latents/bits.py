"""How many bits of a code are used: accuracy and error of codes that were rounded, or disturbed by noise.

A number of the code is rounded to 2^b equal steps between two quantiles of the training codes, or Gaussian
noise is added to it. Probes and decoder are those of the exact codes, not fitted again.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from latents.decode import Decode, decode, mae
from latents.device import generator, to_float
from latents.probe import Outcome, accuracy
from latents.subject import Measured, Subject

QUANTILES = 0.001, 0.999  # of each number of the training codes; what lies beyond is clamped
EXACT = 32  # bits of a float: the code as it is

Change = Callable[[Tensor], Tensor]  # codes [n, d] -> changed codes


def ends(codes: Tensor) -> tuple[Tensor, Tensor]:
    """The two quantiles [d] of training codes [n, d], without interpolation."""
    ordered = codes.sort(0)[0]
    places = (round(share * (len(codes) - 1)) for share in QUANTILES)
    low, high = (ordered[place] for place in places)
    return low, high


def quantised(codes: Tensor, low: Tensor, high: Tensor, bits: int) -> Tensor:
    """Codes [n, d], each number the middle of its one of 2^bits equal steps from low to high [d]."""
    steps = 2**bits
    width = ((high - low) / steps).clamp_min(1e-12)
    return low + ((codes - low) / width).floor().clamp(0, steps - 1).add(0.5) * width


def disturbed(codes: Tensor, size: float, random: torch.Generator) -> Tensor:
    """Codes [n, d] with Gaussian noise of standard deviation `size`."""
    return codes + size * torch.randn(codes.shape, generator=random, device=codes.device)


def changes(subject: Subject) -> dict[str, Change]:
    """Each change of the codes by its name in metrics: `4bit`, `noise_0.3`; the noise is every method's.

    The size of the noise is relative to the root mean square of the centred training codes.
    """
    train, settings = subject.codes["train"], subject.study.measurement
    low, high = ends(train)
    size = (train - train.mean(0)).square().mean().sqrt().item()
    found: dict[str, Change] = {f"{EXACT}bit": lambda codes: codes}
    for bits in settings.bits:
        found[f"{bits}bit"] = lambda codes, bits=bits: quantised(codes, low, high, bits)
    for number, level in enumerate(settings.noise):
        found[f"noise_{level:g}"] = lambda codes, number=number, level=level: disturbed(
            codes, level * size, generator(codes.device, settings.seed, 200 + number)
        )
    return found


def measure_bits(subject: Subject, outcomes: dict[str, Outcome], decoder: Decode, found: Measured) -> None:
    """Add, on val and test, the accuracy of each fitted probe and the MAE of a sample, by change.

    The MAE is that of the images whose codes are compared between runs.
    """
    settings = subject.study.measurement
    probes = {name: one.network for name, one in outcomes.items() if one.network is not None}
    for name, change in changes(subject).items():
        for split in (split for split in subject.codes if split != "train"):
            codes, labels = subject.codes[split], subject.labels[split]
            changed = change(codes)
            for probe, network in probes.items():
                with torch.inference_mode():
                    predictions = network(changed).argmax(1)
                found.add(f"accuracy_{probe}_{name}", split, accuracy(predictions, labels))
            found.lap("probe")
            chosen = np.random.default_rng(settings.seed).permutation(len(codes))[: settings.sample]
            pictures = decode(decoder, changed[chosen], subject.precision)
            error = mae(pictures, to_float(subject.images[split][chosen])).double().mean().item()
            found.add(f"mae_{name}", split, error)
            found.lap("decode")
