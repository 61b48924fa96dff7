"""The ordinary loop: plain PyTorch, as tutorials and comparable projects write it, for the same method.

The network, the objective, the batch size, the views and the optimiser are those of the study. All else is what a
careful author writes first: torchvision's data set with its transforms image by image, a `DataLoader`, float32, the
default memory format. It is what `latents.bench` compares with; nothing else uses it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Sampler, Subset
from torchvision import datasets
from torchvision import transforms as tv

from latents import objectives
from latents.config import DATASETS
from latents.model import Model
from latents.optimise import optimizers_for
from latents.settings import Augmentation, Autoencoder, AutoencoderPlus, Contrastive, Guided, Optimisation, Strict

Transform = Callable[[object], object]


def transforms(settings: Augmentation, dataset: str) -> list[Transform]:
    """One random view of an image, as torchvision's own transforms: the counterpart of `augment.view`, its noise left out.

    Those of `torchvision.transforms`: its newer `v2` is slower on images as small as these (docs/lab-log.md).
    """
    height, width, channels = DATASETS[dataset]
    size = (settings.size, settings.size) if settings.size else (height, width)
    steps: list[Transform] = []
    if settings.resized_crop:
        steps.append(tv.RandomResizedCrop(size, scale=settings.resized_crop))
    if settings.rotate:
        shift = (settings.pad_crop / width, settings.pad_crop / height) if settings.pad_crop else None
        steps.append(tv.RandomAffine(settings.rotate, translate=shift, interpolation=tv.InterpolationMode.BILINEAR))
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


class Noise:
    """Gaussian noise on float images in [0, 1]."""

    def __init__(self, deviation: float) -> None:
        self.deviation = deviation

    def __call__(self, image: Tensor) -> Tensor:
        return (image + self.deviation * torch.randn_like(image)).clamp(0, 1) if self.deviation else image


class Views:
    """What a method's data set returns for one PIL image: its view, or two of them, or (seen, target); float [c, h, w] in [0, 1]."""

    def __init__(self, settings: Strict, dataset: str) -> None:
        self.settings = settings
        augmentation = getattr(settings, "augmentation", Augmentation())
        self.view = tv.Compose([*transforms(augmentation, dataset), tv.ToTensor(), Noise(augmentation.noise)])
        if isinstance(settings, AutoencoderPlus):
            self.corrupt = tv.Compose([*transforms(settings.corruption, dataset), Noise(settings.corruption.noise)])

    def __call__(self, image: object) -> Tensor | tuple[Tensor, Tensor]:
        match self.settings:
            case Contrastive():
                return self.view(image), self.view(image)
            case AutoencoderPlus():
                target = self.view(image)
                return target if torch.rand(()) < self.settings.clean_fraction else self.corrupt(target), target
        return self.view(image)


def published(root: Path, dataset: str, transform: Transform) -> datasets.VisionDataset:
    """torchvision's own data set over the published files, with its own per-image transform."""
    kind = {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10}[dataset]
    return kind(root, train=True, transform=transform)


def batches(images: datasets.VisionDataset, indices: list[int], batch: int, workers: int, order: Sampler | None = None) -> DataLoader:
    """The loader over the training part; `order` replaces the shuffling, for comparisons step by step."""
    context = "fork" if workers else None  # Linux's default, also where the process itself was spawned
    part = Subset(images, indices)
    return DataLoader(part, batch, shuffle=order is None, sampler=order, num_workers=workers, drop_last=True, multiprocessing_context=context)


def loss_of(model: Model, settings: Strict, batch: Tensor | list[Tensor], labels: Tensor) -> Tensor:
    """The objective on a loaded batch."""
    match settings:
        case Autoencoder():
            return functional.l1_loss(model.decoder(model.encoder(batch)), batch)
        case AutoencoderPlus():
            seen, target = batch
            codes = model.encoder(seen)
            loss = functional.l1_loss(model.decoder(codes), target)
            if settings.gradient_weight:
                loss = loss + settings.gradient_weight * functional.l1_loss(model.gradients(codes), objectives.gradient_histograms(target))
            return loss
        case Guided():
            return functional.cross_entropy(model.head(model.encoder(batch)), labels, label_smoothing=settings.label_smoothing)
        case Contrastive():
            return objectives.nt_xent(model.projector(model.encoder(torch.cat(batch))), settings.temperature)
    raise TypeError(settings)


def optimizers_of(module: nn.Module, settings: Strict) -> list[torch.optim.Optimizer]:
    """The optimizer as torch builds it by default; a linear path has its own rate. Muon, which torch does not have for filters, is ours."""
    optimisation: Optimisation = settings.optimisation
    rate, decay = optimisation.learning_rate, optimisation.weight_decay
    if optimisation.optimizer == "muon":
        return optimizers_for(module, optimisation, getattr(settings, "linear_rate", 1.0))
    parameters = dict(module.named_parameters())
    paths = [value for name, value in parameters.items() if ".linear." in name]
    others = [value for name, value in parameters.items() if ".linear." not in name]
    groups = [{"params": others}, {"params": paths, "lr": rate * getattr(settings, "linear_rate", 1.0)}]
    if optimisation.optimizer == "sgd":
        return [torch.optim.SGD(groups, rate, momentum=0.9, nesterov=True, weight_decay=decay)]
    return [torch.optim.AdamW(groups, rate, weight_decay=decay)]


def steps(model: Model, settings: Strict, loader: DataLoader, rates: Callable[[int], float]) -> Iterator[float]:
    """Train on the loader's batches, one epoch after the other, and yield each step's loss; `rates`: step -> learning rate."""
    optimizers = optimizers_of(model, settings)
    whole = settings.optimisation.learning_rate
    schedulers = [torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rates(step) / whole) for optimizer in optimizers]
    model.train()
    while True:
        for batch, labels in loader:
            model.zero_grad()
            loss = loss_of(model, settings, batch, labels)
            loss.backward()
            for optimizer, scheduler in zip(optimizers, schedulers, strict=True):
                optimizer.step()
                scheduler.step()
            yield loss.item()
