"""Where tensors live: the device, its determinism and its random generators; bytes to floats."""

import os

import numpy as np
import torch
from torch import Generator, Tensor

from latents.config import Problem, Study


def device_of(study: Study) -> torch.device:
    """The configured device; 'auto' is the GPU where there is one. Sets threads and deterministic algorithms."""
    available = torch.cuda.is_available()
    if study.device == "cuda" and not available:
        raise Problem("device: cuda is configured, but torch sees no GPU; set device: cpu or auto")
    torch.set_num_threads(study.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.allow_tf32 = False  # float32 means float32
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs a tenth of a step
    return torch.device("cuda" if available and study.device != "cpu" else "cpu")


def generator(device: torch.device, *key: int) -> Generator:
    """A generator whose stream is decided by a tuple of integers."""
    seed = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return Generator(device).manual_seed(int(seed) >> 1)


def to_float(images: Tensor) -> Tensor:
    """uint8 [n, c, h, w] -> float in [0, 1], channels last."""
    return images.to(memory_format=torch.channels_last).float().div_(255)
