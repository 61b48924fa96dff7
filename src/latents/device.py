"""The device: determinism, random generators, precision, and conversion of bytes to floats."""

import os

import numpy as np
import torch
from torch import Generator, Tensor

from latents.cli import Problem
from latents.study import Study


def device_of(study: Study) -> torch.device:
    """The configured device; 'auto' is the GPU if there is one. Raises Problem if 'cuda' is not available.

    Also sets the number of threads, deterministic algorithms, and on a GPU a stream of this process's own: on
    the default one, no step could be captured (latents.loop).
    """
    available = torch.cuda.is_available()
    if study.device == "cuda" and not available:
        raise Problem("device: cuda is configured, but torch sees no GPU; set device: cpu or auto")
    torch.set_num_threads(study.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # as use_deterministic_algorithms(True), which imports the compiler first: seconds of every job
    torch.set_deterministic_debug_mode("error")
    torch.backends.cudnn.allow_tf32 = False  # full float32, not TF32
    # a debugging aid that takes a tenth of the time of a step
    torch.utils.deterministic.fill_uninitialized_memory = False
    if not available or study.device == "cpu":
        return torch.device("cpu")
    if torch.cuda.current_stream() == torch.cuda.default_stream():
        torch.cuda.set_stream(torch.cuda.Stream())
    return torch.device("cuda")


def seed_of(*key: int) -> int:
    """A generator's seed, determined by a tuple of integers."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) >> 1


def generator(device: torch.device, *key: int) -> Generator:
    """A generator whose stream is determined by a tuple of integers."""
    return Generator(device).manual_seed(seed_of(*key))


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Context in which layers run in the study's precision: float32 or bfloat16."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def to_float(images: Tensor, memory_format: torch.memory_format = torch.channels_last) -> Tensor:
    """uint8 [n, c, h, w] -> float in [0, 1]."""
    return images.to(memory_format=memory_format).float().div_(255)
