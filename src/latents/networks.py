"""The networks: encoders, decoders, the projection head and the classifier head.

Every encoder takes images [n, c, h, w] in [0, 1] and returns one vector of 128 numbers for each; every decoder takes
such vectors and returns images in [0, 1]. Nothing passes from encoder to decoder but the code.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors
import scipy.linalg
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from latents import record
from latents.config import CODE_SIZE, DATASETS, ROWS_WITH_LABELS, Autoencoder, AutoencoderPlus, Contrastive, Guided, Problem, Study

CLASSES = 10


class Float32(nn.Module):
    """A layer kept in float32 under autocast: codes and pixels deserve more than bfloat16's eight bits."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self.layer(x.float())


class Standardise(nn.Module):
    """Per-channel standardisation; the statistics are fitted on the training images alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("std", torch.ones(1, channels, 1, 1))

    def fit(self, images: Tensor) -> None:
        """images: float [n, c, h, w] in [0, 1]."""
        self.mean.copy_(images.mean((0, 2, 3), keepdim=True))
        self.std.copy_(images.std((0, 2, 3), keepdim=True))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class Whitening(nn.Conv2d):
    """Frozen first layer: 2x2 patches projected on their principal directions, both signs, at unit variance.

    From airbench (Jordan 2024, arXiv 2404.00498); fitted on the training images, without labels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 8 * channels, kernel_size=2, bias=False)
        self.weight.requires_grad_(False)

    def fit(self, images: Tensor, epsilon: float = 5e-4) -> None:
        """images: float [n, c, h, w], standardised."""
        products, total, n = 0.0, 0.0, 0
        for part in images.split(500):  # all patches at once would take more than a gigabyte
            patches = nn.functional.unfold(part, 2).transpose(1, 2).flatten(0, 1).double()  # [500 * positions, 4c]
            products, total, n = products + patches.T @ patches, total + patches.sum(0), n + len(patches)
        values, vectors = torch.linalg.eigh(products / n - (total / n).outer(total / n))
        # the sign of an eigenvector is arbitrary: make its largest entry positive, so that machines agree
        vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
        filters = (vectors / (values + epsilon).sqrt()).T.reshape(-1, *self.weight.shape[1:])
        self.weight.copy_(torch.cat([filters, -filters]))


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions, the first followed by 2x2 max pooling; halves the resolution."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(outputs), nn.GELU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.GELU(),
    )  # fmt: skip


class Encoder(nn.Module):
    """The encoder that all rows but `pca` and `autoencoder` share: 32x32 (or 28x28) -> 3x3 feature map -> 128.

    A linear path from the pixels is added to the code; it starts at zero unless a PCA is put there.
    """

    def __init__(self, shape: tuple[int, int, int], widths: tuple[int, int, int]) -> None:
        super().__init__()
        channels = shape[2]
        self.standardise = Standardise(channels)
        self.whiten = Whitening(channels)
        steps = [8 * channels, *widths]
        self.blocks = nn.Sequential(nn.GELU(), *(block(a, b) for a, b in zip(steps, steps[1:], strict=False)))
        self.to_code = Float32(nn.Linear(9 * widths[-1], CODE_SIZE))
        self.linear = Float32(nn.Linear(shape[0] * shape[1] * channels, CODE_SIZE))
        nn.init.zeros_(self.linear.layer.weight)
        nn.init.zeros_(self.linear.layer.bias)

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Fit what is fitted, not learnt, on training images: float [n, c, h, w] in [0, 1]."""
        self.standardise.fit(images)
        self.whiten.fit(self.standardise(images))

    def forward(self, x: Tensor) -> Tensor:
        return self.to_code(self.blocks(self.whiten(self.standardise(x))).flatten(1)) + self.linear(x.flatten(1))


class PlainEncoder(nn.Module):
    """Experiment 1, before: three convolutions of stride 2, ReLU, and a linear layer to the code."""

    def __init__(self, shape: tuple[int, int, int], channels: tuple[int, int, int]) -> None:
        super().__init__()
        height, width, colours = shape
        steps = [colours, *channels]
        layers = [nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.ReLU()) for a, b in zip(steps, channels, strict=False)]
        self.standardise = Standardise(colours)
        self.layers = nn.Sequential(*layers)
        self.to_code = Float32(nn.Linear(channels[-1] * -(-height // 8) * -(-width // 8), CODE_SIZE))

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        self.standardise.fit(images)

    def forward(self, x: Tensor) -> Tensor:
        return self.to_code(self.layers(self.standardise(x)).flatten(1))


class PCA(nn.Module):
    """128 principal components of the training pixels: encoder and decoder in one."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = (shape[2], shape[0], shape[1])
        size = shape[0] * shape[1] * shape[2]
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("components", torch.zeros(CODE_SIZE, size))

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """images: uint8 [n, c, h, w]. The covariance is exact: in 256 images every sum of products is a whole number below 2^24."""
        pixels = images.flatten(1)
        total = torch.zeros(pixels.shape[1], dtype=torch.float64)
        products = torch.zeros(len(total), len(total), dtype=torch.float64)
        for part in pixels.split(256):
            part = part.float()
            total += part.sum(0)
            products += part.T @ part
        mean = total / len(pixels)
        covariance = products / len(pixels) - mean.outer(mean)
        last = len(covariance) - 1
        vectors = scipy.linalg.eigh(covariance.numpy(), subset_by_index=[last + 1 - CODE_SIZE, last])[1]
        vectors = torch.from_numpy(vectors).flip(1)
        vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
        self.mean.copy_(mean / 255)
        self.components.copy_(vectors.T)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return (x.flatten(1) - self.mean) @ self.components.T

    def decode(self, codes: Tensor) -> Tensor:
        with torch.autocast(codes.device.type, enabled=False):
            return (codes @ self.components + self.mean).clamp(0, 1).unflatten(1, self.shape)


def linear_to_pixels(shape: tuple[int, int, int]) -> nn.Sequential:
    """A linear map of the code to pixels [c, h, w]."""
    return nn.Sequential(Float32(nn.Linear(CODE_SIZE, shape[0] * shape[1] * shape[2])), nn.Unflatten(1, shape))


def clamp(x: Tensor) -> Tensor:
    """Clamp to the pixels' range [0, 1], with the gradient of the identity, so that no pixel is stuck outside."""
    return x + (x.clamp(0, 1) - x).detach()


class PlainDecoder(nn.Module):
    """The plain encoder in reverse: a linear layer and three transposed convolutions; optionally plus a linear map of the code."""

    def __init__(self, shape: tuple[int, int, int], channels: tuple[int, int, int], linear_path: bool) -> None:
        super().__init__()
        height, width, colours = shape
        self.shape = (colours, height, width)
        a, b, c = channels
        self.start = (c, -(-height // 8), -(-width // 8))
        self.from_code = nn.Linear(CODE_SIZE, c * self.start[1] * self.start[2])
        self.layers = nn.Sequential(
            nn.ReLU(), nn.ConvTranspose2d(c, b, 4, stride=2, padding=1), nn.ReLU(), nn.ConvTranspose2d(b, a, 4, stride=2, padding=1), nn.ReLU()
        )
        self.to_pixels = Float32(nn.ConvTranspose2d(a, colours, 4, stride=2, padding=1))
        self.linear = linear_to_pixels(self.shape) if linear_path else None

    def forward(self, codes: Tensor) -> Tensor:
        drawn = self.to_pixels(self.layers(self.from_code(codes).unflatten(1, self.start)))
        pixels = drawn[:, :, : self.shape[1], : self.shape[2]]
        return clamp(pixels if self.linear is None else pixels + self.linear(codes))


class Residual(nn.Module):
    """Two 3x3 convolutions on a residual branch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.GELU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.gelu(x + self.branch(x))


class Decoder(nn.Module):
    """Residual decoder: quarter resolution -> half -> full by pixel shuffling; optionally plus a linear map of the code."""

    def __init__(self, shape: tuple[int, int, int], channels: int, linear_path: bool) -> None:
        super().__init__()
        height, width, colours = shape
        self.start = (channels, height // 4, width // 4)
        self.from_code = nn.Linear(CODE_SIZE, channels * self.start[1] * self.start[2])
        self.blocks = nn.Sequential(
            Residual(channels), Residual(channels), nn.Conv2d(channels, 2 * channels, 1), nn.PixelShuffle(2), Residual(channels // 2)
        )
        self.to_pixels = Float32(nn.Conv2d(channels // 2, 4 * colours, 3, padding=1))
        self.linear = linear_to_pixels((colours, height, width)) if linear_path else None

    def forward(self, codes: Tensor) -> Tensor:
        features = self.blocks(self.from_code(codes).unflatten(1, self.start))
        pixels = nn.functional.pixel_shuffle(self.to_pixels(features), 2)
        return clamp(pixels if self.linear is None else pixels + self.linear(codes))


class Model(nn.Module):
    """All parts of one cell; those that its method does not train are None."""

    def __init__(self, study: Study, dataset: str, run: str) -> None:
        super().__init__()
        shape = DATASETS[dataset]
        settings = study.method(dataset, run)
        self.decoder: nn.Module | None = None
        self.head: nn.Module | None = None
        self.projector: nn.Module | None = None
        self.uses_labels = run.partition(".")[0] in ROWS_WITH_LABELS
        if run == "pca":
            self.encoder: nn.Module = PCA(shape)
        elif isinstance(settings, Autoencoder):
            self.encoder = PlainEncoder(shape, settings.channels)
            self.decoder = PlainDecoder(shape, settings.channels, linear_path=False)
        else:
            self.encoder = Encoder(shape, study.encoder.widths)
        if isinstance(settings, AutoencoderPlus):
            plain = study.dataset(dataset).methods.autoencoder.channels
            residual = settings.residual_decoder
            linear = settings.linear_path
            self.decoder = Decoder(shape, study.decoder.channels, linear) if residual else PlainDecoder(shape, plain, linear)
        if isinstance(settings, Guided) or self.uses_labels:
            self.head = nn.Sequential(nn.BatchNorm1d(CODE_SIZE), nn.Linear(CODE_SIZE, CLASSES))
        if isinstance(settings, Contrastive):
            hidden, width = settings.projection
            self.projector = nn.Sequential(
                nn.Linear(CODE_SIZE, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), Float32(nn.Linear(hidden, width, bias=False))
            )

    def decode(self, codes: Tensor) -> Tensor:
        """codes [n, 128] -> images [n, c, h, w] in [0, 1], by the method's own decoder."""
        return self.encoder.decode(codes) if isinstance(self.encoder, PCA) else self.decoder(codes)

    @torch.no_grad()
    def start_from_pca(self, images: Tensor) -> None:
        """Make the linear paths of encoder and decoder the PCA of images uint8 [n, c, h, w]; the convolutions add nothing yet.

        The code is brought to unit scale by one number, so it reconstructs as PCA does and its geometry is PCA's.
        """
        pca = PCA((*images.shape[2:], images.shape[1]))
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
