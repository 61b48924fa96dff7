"""Experiment 2, classification-guided encoding: encoder and classifier trained jointly, no decoder."""

from torch import Generator, Tensor
from torch.nn import functional

from latents import augment
from latents.methods.baselines import fit_linear_path
from latents.methods.settings import Guided
from latents.model import Model, Sizes
from latents.networks import Encoder, classification_head


class GuidedEncoder(Model):
    """`guided` and the reference classifier: cross-entropy of a classification head on the code of a view."""

    def __init__(self, settings: Guided, sizes: Sizes) -> None:
        super().__init__()
        self.settings = settings
        linear = bool(settings.linear_path)
        self.encoder = Encoder(sizes.shape, sizes.widths, settings.code_size, linear_path=linear)
        self.head = classification_head(settings.code_size, sizes.classes)

    def fit(self, images: Tensor) -> None:
        super().fit(images)
        fit_linear_path(self.encoder, images)

    def views(self, images: Tensor, random: Generator) -> tuple[Tensor]:
        """One augmented view of each image."""
        return (augment.view(images, self.settings.augmentation_of(self.early), random),)

    def objective(self, views: tuple[Tensor], labels: Tensor) -> Tensor:
        (view,) = views
        logits = self.head(self.encoder(view)).float()
        return functional.cross_entropy(logits, labels, label_smoothing=self.settings.label_smoothing)
