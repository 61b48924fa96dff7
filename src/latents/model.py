"""What every method's networks have in common, and their file of weights."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from safetensors.torch import load_file, save
from torch import Generator, Tensor, nn

from latents import methods, record
from latents.cli import Problem
from latents.config import REFERENCE_CLASSIFIER, Run, Study
from latents.datasets import DATASETS
from latents.datasets.spec import Shape
from latents.device import to_float
from latents.methods import MethodSettings
from latents.settings import Widths

FITTED_ON = 5000  # training images for standardisation and whitening


class Setting(NamedTuple):
    """What networks are built for: images and classes of a data set, and the sizes that a study's methods share."""

    shape: Shape
    classes: int
    widths: Widths  # of the encoder
    decoder_channels: int
    plain_channels: Widths | None  # of the plain decoder, where a method borrows it from `autoencoder`


class Model(nn.Module):
    """The networks of one method; a subclass says what they are, what they see, and what they are trained for.

    A subclass is built from (settings, setting). It sets what it has of `encoder` (images [n, c, h, w] in [0, 1] ->
    codes [n, d]), `decoder` (codes -> images), `head` (codes -> logits) and `projector` (codes -> z).
    """

    encoder: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self.decoder: nn.Module | None = None
        self.head: nn.Module | None = None
        self.projector: nn.Module | None = None

    def fit(self, images: Tensor) -> None:
        """Fit what is fitted, not learnt, on the training images uint8 [n, c, h, w]."""
        self.encoder.fit(to_float(images[:FITTED_ON]))

    def views(self, images: Tensor, random: Generator) -> tuple[Tensor, ...]:
        """What a training step sees of images float [n, c, h, w] in [0, 1]."""
        raise TypeError(f"{type(self).__name__} is not trained")

    def objective(self, views: tuple[Tensor, ...], labels: Tensor) -> Tensor:
        """The loss of a batch, a scalar: its views, and labels int64 [n]."""
        raise TypeError(f"{type(self).__name__} is not trained")

    def decode(self, codes: Tensor) -> Tensor:
        """codes [n, d] -> images [n, c, h, w] in [0, 1], by the method's own decoder."""
        return self.decoder(codes)

    @property
    def decodes(self) -> bool:
        """Whether the method has a decoder of its own."""
        return self.decoder is not None


def build(study: Study, run: Run) -> Model:
    """Freshly initialised networks; the seed decides their weights, so methods that share one start alike."""
    name = "guided" if run.method == REFERENCE_CLASSIFIER else run.base
    settings: MethodSettings = study.settings(run.dataset, run.method)
    data = DATASETS[run.dataset]
    setting = Setting(
        data.shape, len(data.classes), study.encoder.widths, study.decoder.channels, study.plain_channels(run)
    )
    with forked(run.seed):
        return methods.network(name)(settings, setting)


@contextlib.contextmanager
def forked(seed: int) -> Iterator[None]:
    """Inside, torch's global generators are seeded; outside they are as they were. For initialisation and dropout."""
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def save_model(path: str | Path, model: Model, training: dict[str, Any]) -> None:
    """Write weights with the configuration that made them, whole or not at all."""
    tensors = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    # one key: safetensors writes several in an order that changes from run to run
    metadata = {"latents": json.dumps({"format": record.FORMAT, "training": training}, sort_keys=True)}
    record.write_bytes(path, save(tensors, metadata))


def load_model(path: str | Path, study: Study) -> tuple[Model, Run]:
    """Read weights, and of which run they are; raises Problem when they are missing, broken or of another study."""
    try:
        with safetensors.safe_open(str(path), "pt") as file:
            made = json.loads((file.metadata() or {}).get("latents", "{}"))
        tensors = load_file(path)
    except FileNotFoundError:
        raise Problem(f"{path}: missing; train it first (snakemake {path})") from None
    except (safetensors.SafetensorError, OSError, ValueError):
        raise Problem(
            f"{path}: not a whole safetensors file; delete it and run again, it will be trained again"
        ) from None
    if not isinstance(made, dict) or made.get("format") != record.FORMAT:
        raise Problem(
            f"{path}: weights of another version; delete the file and run again, it will be trained again"
        )
    try:
        training = made["training"]
        run = Run(training["dataset"], training["run"], training["seed"])
        expected = json.loads(json.dumps(study.training(run)))
    except (KeyError, TypeError, Problem):
        expected = None  # a run that this study does not have
    if expected is None or expected != training:
        raise Problem(
            f"{path}: made with another configuration; delete the file and run again, "
            "or use the configuration that made it"
        )
    model = build(study, run)
    try:
        model.load_state_dict(tensors)
    except RuntimeError:
        raise Problem(
            f"{path}: its tensors do not fit this version's networks; delete the file and run again"
        ) from None
    return model, run
