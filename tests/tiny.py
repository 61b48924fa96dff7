"""A study for unit tests: small networks, 60 made-up pictures of each data set, runs trained in moments."""

import functools
import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from msgspec.structs import replace
from torch import Tensor, nn

from latents import config, record, standin, train
from latents.datasets import DATASETS
from latents.model import Model, save_model
from latents.plain import merge
from latents.study import Run, Study

torch.set_num_threads(1)

TRAINED = (
    *("autoencoder", "autoencoder-plus", "vae", "guided"),
    *("contrastive", "supcon", "split", "joint"),
)
TRAIN, VAL, TEST = 60, 20, 20
BUDGET = {"optimisation": {"epochs": 3, "batch-size": 20}}  # nine steps
EARLY = {"share": 0.34, "augmentation": {"size": 26}}  # one epoch of three
SMALL = {
    "encoder": {"widths": [4, 4, 8]},
    "probe": {
        "linear-iterations": 20,
        "mlp-hidden": [16, 8],
        "mlp-weight-decay": [0.01, 0.3],
        "mlp-epochs": 3,
        "mlp-batch-size": 20,
        "knn-k": 5,
    },
    "decoder": {"optimisation": {"epochs": 1, "batch-size": 20}, "channels": 4},
    "measurement": {
        "silhouette-points": 20,
        "pairs": 5,
        "fewest-pairs": 1,
        "tsne-neighbours": 5,
        "nuisance-copies": 20,
        "neighbours": 3,
        "features-share": 0.5,
        "bits": [1, 4],
        "noise": [0.5],
    },
}
SMALL_DATASET = {
    "train": TRAIN,
    "validation": VAL,
    "test": TEST,
    "seeds": [1, 2],
    "reference-classifier": {"optimisation": {"epochs": 60, "batch-size": 20}},
    "methods": dict.fromkeys(TRAINED, BUDGET)
    | {
        "autoencoder": {
            "optimisation": BUDGET["optimisation"] | {"learning-rate": 0.03},
            "channels": [4, 4, 4],
        },
        "contrastive": BUDGET | {"projection": [16, 8], "early": EARLY},
        "supcon": BUDGET | {"projection": [16, 8]},
        "split": BUDGET | {"projection": [16, 8]},
        # the contrastive code is hardly trained: larger steps would leave it at once
        "joint": {"optimisation": BUDGET["optimisation"] | {"learning-rate": 0.0003}, "projection": [16, 8]},
    },
}


def plain(folder: Path, **changes: object) -> dict:
    """The demo as plain data, shrunk, below folder; `changes` are keys of the top level (`_` for `-`)."""
    demo = yaml.safe_load((record.ROOT / "config/demo.yaml").read_text())
    small = SMALL | {"folder": f"{folder}/", "datasets": dict.fromkeys(DATASETS, SMALL_DATASET)}
    return merge(merge(demo, small), {key.replace("_", "-"): value for key, value in changes.items()})


def study(folder: Path, **changes: object) -> Study:
    return config.from_plain("tiny.yaml", plain(folder, **changes))


def write_config(folder: Path, **changes: object) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(plain(folder, **changes)))
    return path


def pictures(dataset: str, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [n, c, h, w] and labels [n]: one coarse pattern for each class, under noise."""
    height, width, channels = DATASETS[dataset].shape
    patterns = np.random.default_rng(0).integers(0, 2, (10, channels, height // 4, width // 4))
    labels = np.arange(n) % 10
    noise = np.random.default_rng(seed).uniform(0, 1, (n, channels, height, width))
    return (255 * (0.7 * patterns.repeat(4, 2).repeat(4, 3)[labels] + 0.3 * noise)).astype(np.uint8), labels


def floats(dataset: str, n: int = 8, seed: int = 5) -> Tensor:
    """Pictures as float [n, c, h, w] in [0, 1]."""
    return torch.from_numpy(pictures(dataset, n, seed)[0]).float().div(255)


def write_data(folder: Path) -> None:
    """100 training and 20 test pictures of both data sets, with their manifests, below folder/data."""
    root = folder / "data"
    for stem, n, seed in (("train", 100, 1), ("t10k", 20, 2)):
        images, labels = pictures("mnist", n, seed)
        record.write_bytes(root / f"MNIST/raw/{stem}-images-idx3-ubyte", standin.idx(images[:, 0]))
        record.write_bytes(root / f"MNIST/raw/{stem}-labels-idx1-ubyte", standin.idx(labels))
    for seed, name in enumerate(DATASETS["cifar10"].files):
        images, labels = pictures("cifar10", 20, seed)
        content = {b"data": images.reshape(20, -1), b"labels": labels.tolist()}
        record.write_bytes(root / name, standin.python2_pickle(content))
    for dataset in ("mnist", "cifar10"):
        files = {name: record.sha256(root / name) for name in DATASETS[dataset].files}
        record.write_json(root / f"{dataset}.json", {"format": record.FORMAT, "files": files})


class Runs:
    """A folder with the data of a tiny study, and its runs, each trained once; tests must not change them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_data(folder)
        self.config = write_config(folder)
        self.study = config.read(self.config)

    def trained(self, method: str, seed: int = 1, dataset: str = "mnist") -> train.Trained:
        """Model, curve, facts and seconds of a run, trained in one go."""
        return self.once(Run(dataset, method, seed))

    @functools.cache  # noqa: B019
    def once(self, run: Run) -> train.Trained:
        """The same, of the one training of a run that all tests share."""
        return train.train(self.study, run, self.folder / f"{run}.checkpoint", self.start(run))

    def start(self, run: Run) -> Path | None:
        """The weights that a run starts from, if it does."""
        other = self.study.start(run)
        return self.weights(other.method, other.seed, other.dataset) if other else None

    def again(self, method: str, checkpoint: Path, *, seed: int = 1, dataset: str = "mnist") -> train.Trained:
        """The same, trained anew, or from a checkpoint where there is one."""
        run = Run(dataset, method, seed)
        return train.train(self.study, run, checkpoint, self.start(run))

    def has(self, method: str, trained: train.Trained, dataset: str = "mnist") -> bool:
        """Whether model and curve are those of the run with seed 1 that was trained in one go."""
        whole = self.trained(method, 1, dataset)
        return same(state(trained.model), state(whole.model)) and trained.curve == whole.curve

    @functools.cache  # noqa: B019
    def weights(self, method: str, seed: int = 1, dataset: str = "mnist") -> Path:
        """A file with the weights of a trained run."""
        path = self.folder / dataset / f"{method}-{seed}.safetensors"
        model: Model = self.trained(method, seed, dataset).model
        save_model(path, model, self.study.training(Run(dataset, method, seed)))
        return path


def state(module: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights and buffers."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two states are equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def with_settings(study: Study, dataset: str, method: str, **changes: object) -> Study:
    """A study in which some of a method's settings on one data set have other values."""
    chosen = study.datasets[dataset]
    methods = chosen.methods | {method: replace(chosen.methods[method], **changes)}
    return replace(study, datasets=study.datasets | {dataset: replace(chosen, methods=methods)})


class Function(nn.Module):
    """A function in the place of a network."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def without_networks(model: Model, **parts: Callable[[Tensor], Tensor]) -> Model:
    """A model whose encoder flattens and whose projector does nothing, or with other `parts`."""
    for name, part in ({"encoder": nn.Flatten(1), "projector": nn.Identity()} | parts).items():
        setattr(model, name, part if isinstance(part, nn.Module) else Function(part))
    return model


def literal_supcon(z: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    """Khosla et al. 2020, equation 2, loop by loop, over 2n for a mean: z [2n, d]; labels [2n]."""
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    total = 0.0
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        positives = [p for p in others if labels[p] == labels[i]]
        below = sum(math.exp(z[i] @ z[a] / temperature) for a in others)
        total += (
            -1
            / len(positives)
            * sum(math.log(math.exp(z[i] @ z[p] / temperature) / below) for p in positives)
        )
    return total / len(z)


def literal_nt_xent(z: np.ndarray, pairs: list[tuple[int, int]], temperature: float) -> float:
    """Chen et al. 2020, equation 1, averaged over both orders of every positive pair: z [2n, d]."""

    def similarity(i: int, j: int) -> float:
        return z[i] @ z[j] / (np.linalg.norm(z[i]) * np.linalg.norm(z[j]))

    def one(i: int, j: int) -> float:
        below = sum(math.exp(similarity(i, k) / temperature) for k in range(len(z)) if k != i)
        return -math.log(math.exp(similarity(i, j) / temperature) / below)

    return sum(one(i, j) + one(j, i) for i, j in pairs) / (2 * len(pairs))


def png(array: np.ndarray) -> bytes:
    """uint8 [h, w] or [h, w, 3] as a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()
