"""The data sets: what each is, where it comes from, and how its files are read. Does not import torch.

A data set consists of a file in this folder, a line in DATASETS, and its split and settings in the studies
that have it (`config/*.yaml`). Images have 25 to 32 pixels a side, a multiple of 4.
"""

from latents.datasets.cifar10 import CIFAR10
from latents.datasets.mnist import MNIST
from latents.datasets.spec import DatasetSpec

DATASETS: dict[str, DatasetSpec] = {"mnist": MNIST, "cifar10": CIFAR10}
