"""The features before the bottleneck of the shared encoder, probed as the code is with a share of the labels.

They are what the last layer maps to the code: 9 times the width of the last block, 2,304 numbers at most.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from latents import data
from latents.measure import add_probes
from latents.networks import Encoder
from latents.subject import Measured, Subject


@contextmanager
def captured(encoder: Encoder) -> Iterator[list[Tensor]]:
    """Context that lists the features of all images that the encoder sees, batch by batch, float16 [n, f]."""
    seen: list[Tensor] = []
    hook = encoder.to_code.register_forward_pre_hook(lambda _, given: seen.append(given[0].half()))
    try:
        yield seen
    finally:
        hook.remove()


def measure_features(subject: Subject, seen: list[Tensor], found: Measured) -> dict[str, float]:
    """Linear probe and kNN on features `seen` of all splits, in their order; returns the settings by val.

    They are fitted on `features_share` of the labels, the same as the code's probes on few labels.
    """
    share, train = subject.study.measurement.features_share, subject.labels["train"]
    seed = subject.study.dataset(subject.run.dataset).split_seed
    parts = torch.cat(seen).split([len(part) for part in subject.codes.values()])
    features, labels = dict(zip(subject.codes, parts, strict=True)), dict(subject.labels)
    chosen = torch.from_numpy(data.labelled(train.cpu().numpy(), share, seed)).to(train.device)
    features["train"], labels["train"] = features["train"][chosen], train[chosen]
    features = {name: part.float() for name, part in features.items()}
    unseen = [name for name in features if name != "train"]
    return add_probes(subject, features, labels, f"features_{100 * share:g}pct", unseen, found)
