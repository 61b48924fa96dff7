"""The model of a cell: the networks that its method trains, and its file of weights."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from latents import record
from latents.config import DATASETS, ROWS_WITH_LABELS, Problem, Study
from latents.networks import PCA, Decoder, Encoder, Float32, GradientDecoder, PlainDecoder, PlainEncoder
from latents.settings import CLASSES, CODE_SIZE, Autoencoder, AutoencoderPlus, Contrastive, Guided


class Model(nn.Module):
    """All parts of one cell; those that its method does not train are None."""

    def __init__(self, study: Study, dataset: str, run: str) -> None:
        super().__init__()
        shape = DATASETS[dataset]
        settings = study.method(dataset, run)
        size = getattr(settings, "code_size", CODE_SIZE)
        self.decoder: nn.Module | None = None
        self.head: nn.Module | None = None
        self.projector: nn.Module | None = None
        self.gradients: nn.Module | None = None
        self.uses_labels = run.partition(".")[0] in ROWS_WITH_LABELS
        if run == "pca":
            self.encoder: nn.Module = PCA(shape)
        elif isinstance(settings, Autoencoder):
            self.encoder = PlainEncoder(shape, settings.channels)
            self.decoder = PlainDecoder(shape, settings.channels, linear_path=False)
        else:
            self.encoder = Encoder(shape, study.encoder.widths, size, linear_path=getattr(settings, "linear_path", False))
        if isinstance(settings, AutoencoderPlus):
            plain = study.dataset(dataset).methods.autoencoder.channels
            residual = settings.residual_decoder
            linear = settings.linear_path
            self.decoder = Decoder(shape, study.decoder.channels, linear, size) if residual else PlainDecoder(shape, plain, linear, size)
            if settings.gradient_weight:  # built last: with and without it the rest starts alike
                self.gradients = GradientDecoder(shape, study.decoder.channels, size)
        if isinstance(settings, Guided) or self.uses_labels:
            self.head = nn.Sequential(nn.BatchNorm1d(size), nn.Linear(size, CLASSES))
        if isinstance(settings, Contrastive):
            hidden, width = settings.projection
            self.projector = nn.Sequential(
                nn.Linear(size, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), Float32(nn.Linear(hidden, width, bias=False))
            )

    def decode(self, codes: Tensor) -> Tensor:
        """codes [n, d] -> images [n, c, h, w] in [0, 1], by the method's own decoder."""
        return self.encoder.decode(codes) if isinstance(self.encoder, PCA) else self.decoder(codes)

    @torch.no_grad()
    def start_from_pca(self, images: Tensor) -> None:
        """Make the linear paths of encoder and decoder the PCA of images uint8 [n, c, h, w]; the convolutions add nothing yet.

        The code is brought to unit scale by one number, so it reconstructs as PCA does and its geometry is PCA's.
        """
        pca = PCA((*images.shape[2:], images.shape[1]), len(self.encoder.linear.layer.bias))
        pca.fit(images)
        scale = torch.cat([pca(part.float().div(255)) for part in images.split(5000)]).std(0).square().mean().sqrt()
        into, out = self.encoder.linear.layer, self.decoder.linear[0].layer
        into.weight.copy_(pca.components / scale)
        into.bias.copy_(-pca.components @ pca.mean / scale)
        out.weight.copy_(pca.components.T * scale)
        out.bias.copy_(pca.mean)
        for layer in (self.encoder.to_code.layer, self.decoder.to_pixels.layer):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @property
    def decodes(self) -> bool:
        return self.decoder is not None or isinstance(self.encoder, PCA)


def build(study: Study, dataset: str, run: str, seed: int) -> Model:
    """A freshly initialised model; the seed decides its weights, so rows that share a network start alike at one seed."""
    with forked(seed):
        return Model(study, dataset, run)


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


def load_model(path: str | Path, study: Study) -> tuple[Model, dict[str, Any]]:
    """Read weights and the configuration that made them; raises Problem when they are missing, broken or of another study."""
    try:
        with safetensors.safe_open(str(path), "pt") as file:
            made = json.loads((file.metadata() or {}).get("latents", "{}"))
        tensors = load_file(path)
    except FileNotFoundError:
        raise Problem(f"{path}: missing; train it first (snakemake {path})") from None
    except (safetensors.SafetensorError, OSError, ValueError):
        raise Problem(f"{path}: not a whole safetensors file; delete it and run again, its cell will be trained again") from None
    if not isinstance(made, dict) or made.get("format") != record.FORMAT:
        raise Problem(f"{path}: weights of another version; delete the file and run again, its cell will be trained again")
    try:
        training = made["training"]
        expected = json.loads(json.dumps(study.training(training["dataset"], training["run"], training["seed"])))
    except (KeyError, TypeError, Problem):
        expected = None  # a cell that this study does not have
    if expected is None or expected != training:
        raise Problem(f"{path}: made with another configuration; delete the file and run again, or use the configuration that made it")
    model = build(study, training["dataset"], training["run"], training["seed"])
    try:
        model.load_state_dict(tensors)
    except RuntimeError:
        raise Problem(f"{path}: its tensors do not fit this version's networks; delete the file and run again") from None
    return model, training
