"""The ordinary loop: plain PyTorch, as tutorials and comparable projects write it, for the same method.

The network, the objective, the batch size, the views and the optimiser are those of the study. The rest is
what a careful author writes first: torchvision's data set with its transforms image by image, a
`DataLoader`, float32, the default memory format. `latents.bench` compares with it; nothing else uses it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, Subset
from torchvision import datasets
from torchvision import transforms as tv

from latents.datasets import DATASETS
from latents.methods.settings import Autoencoder, AutoencoderPlus, Contrastive, Guided, MethodSettings
from latents.model import Model
from latents.optimise import ADAMW, LINEAR_PATH, MUON, optimizers_for, parameters_by_group
from latents.settings import Augmentation

Transform = Callable[[Image.Image], Tensor]
Views = Callable[[Image.Image], tuple[Tensor, ...]]  # one image -> its views, float [c, h, w] in [0, 1]

PUBLISHED = {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10}


class Noise:
    """Gaussian noise on a float image in [0, 1]."""

    def __init__(self, deviation: float) -> None:
        self.deviation = deviation

    def __call__(self, image: Tensor) -> Tensor:
        if not self.deviation:
            return image
        return (image + self.deviation * torch.randn_like(image)).clamp(0, 1)


def transforms(settings: Augmentation, dataset: str) -> list[Callable]:
    """A random view by torchvision's transforms: the counterpart of `augment.view`, but for its noise.

    Those of `torchvision.transforms`: its newer `v2` is slower on images as small as these (docs/lab-log.md).
    """
    height, width, channels = DATASETS[dataset].shape
    size = (settings.size, settings.size) if settings.size else (height, width)
    steps: list[Callable] = []
    if settings.resized_crop:
        steps.append(tv.RandomResizedCrop(size, scale=settings.resized_crop))
    if settings.rotate:
        shift = (settings.pad_crop / width, settings.pad_crop / height) if settings.pad_crop else None
        bilinear = tv.InterpolationMode.BILINEAR
        steps.append(tv.RandomAffine(settings.rotate, translate=shift, interpolation=bilinear))
    elif settings.pad_crop:
        steps.append(tv.RandomCrop((height, width), padding=settings.pad_crop, padding_mode="reflect"))
    if settings.flip:
        steps.append(tv.RandomHorizontalFlip())
    if settings.brightness or settings.contrast or settings.saturation or settings.hue:
        jitter = tv.ColorJitter(settings.brightness, settings.contrast, settings.saturation, settings.hue)
        steps.append(tv.RandomApply([jitter], p=settings.jitter_probability))
    if settings.grayscale and channels == 3:
        steps.append(tv.RandomGrayscale(settings.grayscale))
    return steps


def view(settings: Augmentation, dataset: str) -> Transform:
    """From a PIL image to one random view of it, float [c, h, w] in [0, 1]."""
    return tv.Compose([*transforms(settings, dataset), tv.ToTensor(), Noise(settings.noise)])


def original(_: Autoencoder, dataset: str) -> Views:
    """The image as it is."""
    image_of = view(Augmentation(), dataset)
    return lambda image: (image_of(image),)


def corrupted_and_target(settings: AutoencoderPlus, dataset: str) -> Views:
    """What the encoder sees, corrupted or not, and the view that is reconstructed."""
    target_of = view(settings.augmentation, dataset)
    corrupted = tv.Compose([*transforms(settings.corruption, dataset), Noise(settings.corruption.noise)])

    def item(image: Image.Image) -> tuple[Tensor, Tensor]:
        target = target_of(image)
        return target if torch.rand(()) < settings.clean_fraction else corrupted(target), target

    return item


def one_view(settings: Guided, dataset: str) -> Views:
    """One view of the image."""
    view_of = view(settings.augmentation, dataset)
    return lambda image: (view_of(image),)


def two_views(settings: Contrastive, dataset: str) -> Views:
    """Two views of the same image."""
    view_of = view(settings.augmentation, dataset)
    return lambda image: (view_of(image), view_of(image))


class Loaded(NamedTuple):
    """How the views of a method are made: of one image, and of a batch that the loader has stacked."""

    views: Callable[[Any, str], Views]  # from settings and data set
    batch: Callable[[list[Tensor]], tuple[Tensor, ...]] = tuple  # what the model's objective takes


LOADED = {
    Autoencoder: Loaded(original),
    AutoencoderPlus: Loaded(corrupted_and_target),
    Guided: Loaded(one_view),
    Contrastive: Loaded(two_views, lambda both: (torch.cat(both),)),
}


def views(settings: MethodSettings, dataset: str) -> Views:
    """What a method's data set returns for one PIL image."""
    return LOADED[type(settings)].views(settings, dataset)


def published(root: Path, dataset: str, transform: Views) -> datasets.VisionDataset:
    """torchvision's own data set over the published files, with its transform image by image."""
    return PUBLISHED[dataset](root, train=True, transform=transform)


def batches(
    images: datasets.VisionDataset, indices: list[int], batch: int, workers: int, order: Sampler | None = None
) -> DataLoader:
    """The loader of the images at these indices; `order` replaces shuffling, to compare step by step."""
    return DataLoader(
        Subset(images, indices),
        batch,
        shuffle=order is None,
        sampler=order,
        num_workers=workers,
        drop_last=True,
        multiprocessing_context="fork" if workers else None,  # Linux's default, also in a spawned process
    )


def optimizers_of(model: Model, settings: MethodSettings) -> list[torch.optim.Optimizer]:
    """The optimiser as torch builds it by default; linear paths have a learning rate of their own.

    Muon is ours: torch does not have it for filters.
    """
    optimisation = settings.optimisation
    rate, decay = optimisation.learning_rate, optimisation.weight_decay
    if optimisation.optimizer == "muon":
        return optimizers_for(model, optimisation, settings.linear_rate)
    found = parameters_by_group(model)
    groups = [
        {"params": found[ADAMW] + found[MUON]},
        {"params": found[LINEAR_PATH], "lr": rate * settings.linear_rate},
    ]
    if optimisation.optimizer == "sgd":
        return [torch.optim.SGD(groups, rate, momentum=0.9, nesterov=True, weight_decay=decay)]
    return [torch.optim.AdamW(groups, rate, weight_decay=decay)]


def steps(
    model: Model, settings: MethodSettings, loader: DataLoader, rates: Callable[[int], float]
) -> Iterator[float]:
    """Train on the loader's batches, one epoch after the other, and yield each step's loss.

    rates: step -> learning rate.
    """
    optimizers = optimizers_of(model, settings)
    whole, batch_of = settings.optimisation.learning_rate, LOADED[type(settings)].batch
    schedulers = [
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rates(step) / whole)
        for optimizer in optimizers
    ]
    model.train()
    while True:
        for loaded, labels in loader:
            model.zero_grad()
            loss = model.objective(batch_of(loaded), labels)
            loss.backward()
            for optimizer, scheduler in zip(optimizers, schedulers, strict=True):
                optimizer.step()
                scheduler.step()
            yield loss.item()
