"""What the networks of all methods have in common, and their weights file."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from safetensors.torch import load_file, save
from torch import Generator, Tensor, nn

from latents import methods, record
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.datasets.spec import Shape
from latents.device import to_float
from latents.methods.settings import MethodSettings
from latents.plain import differing
from latents.settings import Widths
from latents.study import REFERENCE_CLASSIFIER, Run, Study

# keys of a run's settings that say how and where it is trained, not what its networks are
ELSEWHERE = (
    r"seed|source|device|precision|threads|split|start|"
    r"method\.(optimisation|augmentation|corruption|early|label|start)"
)
FITTED_ON = 5000  # training images that standardisation and whitening are fitted on


class Sizes(NamedTuple):
    """What networks are built for: shape and classes of a data set, and sizes that methods share."""

    shape: Shape
    classes: int
    widths: Widths  # of the encoder
    decoder_channels: int
    plain_channels: Widths | None  # of the plain decoder, if the method uses it


class Model(nn.Module):
    """The networks of one method. A subclass defines the networks, their views and their objective.

    A subclass is built from (settings, sizes). It sets `encoder` (images [n, c, h, w] in [0, 1] -> codes
    [n, d]) and, where it has them, `decoder` (codes -> images), `head` (codes -> logits) and `projector`
    (codes -> z).
    """

    encoder: nn.Module
    has_prior = False  # whether decoded standard normal codes are samples of images

    def __init__(self) -> None:
        super().__init__()
        self.early = False  # whether the views are those of a training's first epochs
        self.decoder: nn.Module | None = None
        self.head: nn.Module | None = None
        self.projector: nn.Module | None = None

    def fit(self, images: Tensor) -> None:
        """Fit what is not learnt by gradient descent, on training images uint8 [n, c, h, w]."""
        self.encoder.fit(to_float(images[:FITTED_ON]))

    def finish(self, images: Tensor) -> None:
        """Fit what follows from the trained networks, on all training images uint8 [n, c, h, w]."""

    def views(self, images: Tensor, random: Generator) -> tuple[Tensor, ...]:
        """The views of images float [n, c, h, w] in [0, 1] that a training step uses."""
        raise TypeError(f"{type(self).__name__} is not trained")

    def objective(self, views: tuple[Tensor, ...], labels: Tensor) -> Tensor:
        """The loss of a batch, a scalar, from its views and labels int64 [n]."""
        raise TypeError(f"{type(self).__name__} is not trained")

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [n, d] -> images [n, c, h, w] in [0, 1], by the method's own decoder."""
        return self.decoder(codes)

    @property
    def decodes(self) -> bool:
        """Whether the method has a decoder of its own."""
        return self.decoder is not None


def build(study: Study, run: Run) -> Model:
    """Newly initialised networks.

    The seed determines their weights, so the layers that methods share start with the same weights.
    """
    name = "guided" if run.method == REFERENCE_CLASSIFIER else run.base
    settings: MethodSettings = study.settings(run.dataset, run.method)
    data = DATASETS[run.dataset]
    sizes = Sizes(
        data.shape,
        len(data.classes),
        study.encoder_of(run).widths,
        study.decoder.channels,
        study.plain_channels(run),
    )
    with forked(run.seed):
        return methods.network(name)(settings, sizes)


@contextlib.contextmanager
def forked(seed: int) -> Iterator[None]:
    """Context in which torch's global generators are seeded; on exit they are restored.

    For initialisation and dropout.
    """
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def save_model(path: str | Path, model: Model, training: dict[str, Any]) -> None:
    """Write weights and the configuration that made them, atomically. Raises Problem."""
    tensors = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    # a single key, because safetensors writes several keys in an order that varies
    metadata = {"latents": json.dumps({"format": record.FORMAT, "training": training}, sort_keys=True)}
    record.write_bytes(path, save(tensors, metadata))


def load_model(path: str | Path, study: Study) -> tuple[Model, Run, dict[str, Any]]:
    """Read weights, the run that they belong to, and the configuration that made them.

    The networks are those of the study; that it trains them in another way, or elsewhere, does not matter.
    Raises Problem if the file is missing, broken or of another version, or if the networks differ.
    """
    try:
        with safetensors.safe_open(str(path), "pt") as file:
            made = json.loads((file.metadata() or {}).get("latents", "{}"))
        tensors = load_file(path)
    except FileNotFoundError:
        raise Problem(f"{path}: missing; train it first (snakemake {path})") from None
    except (safetensors.SafetensorError, OSError, ValueError):
        raise Problem(
            f"{path}: not a whole safetensors file; restore it from a copy, or move it away and run again, "
            "then it will be trained again"
        ) from None
    if not isinstance(made, dict) or made.get("format") != record.FORMAT:
        raise Problem(
            f"{path}: not weights of format {record.FORMAT}; use the version of the checkout that made them, "
            "or train again under another name"
        )
    try:
        training = made["training"]
        run = Run.parse("{dataset}/{run}/seed{seed}".format(**training))
    except (KeyError, TypeError, Problem):
        raise Problem(
            f"{path}: does not say which run it is of; give weights that this project made"
        ) from None
    try:
        model = build(study, run)
        model.load_state_dict(tensors)
    except Problem as problem:
        raise Problem(f"{path}: weights of {run}: {problem}; use the configuration that made them") from None
    except RuntimeError:
        found = [key for key in differing(training, study.training(run)) if not re.match(ELSEWHERE, key)]
        keys = ", ".join(found) or "the version of the source"
        raise Problem(
            f"{path}: made for other networks (differing: {keys}); "
            "use the configuration and the version that made them"
        ) from None
    return model, run, training


def load_run(path: str | Path, study: Study, wanted: Run) -> Model:
    """The networks of a run of the study. Raises Problem as `load_model`, and for any other settings."""
    model, found, training = load_model(path, study)
    if found != wanted:
        raise Problem(f"{path}: holds {found}, not {wanted}, which is needed here; give its own file")
    if keys := differing(training, study.training(wanted)):
        raise Problem(
            f"{path}: made with another configuration ({', '.join(keys)}); use the one that made it, "
            "or move it away and run again, then it will be trained again"
        )
    return model
