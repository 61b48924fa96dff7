"""Baselines: principal components, and the shared encoder without training."""

import scipy.linalg
import torch
from torch import Tensor, nn

from latents.datasets.spec import Shape
from latents.methods.settings import Untrained
from latents.model import Model, Sizes
from latents.networks import Encoder
from latents.settings import CODE_SIZE


def moments(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [p] and covariance [p, p] of the p pixel values of images uint8 [n, c, h, w], in float64.

    The sums of products are exact: over 256 images each is an integer below 2^24.
    """
    pixels = images.flatten(1)
    total = torch.zeros(pixels.shape[1], dtype=torch.float64, device=pixels.device)
    products = total.new_zeros(len(total), len(total))
    for part in pixels.split(256):
        part = part.float()
        total += part.sum(0)
        products += part.T @ part
    mean = total / len(pixels)
    return mean, products / len(pixels) - mean.outer(mean)


def principal(covariance: Tensor, size: int) -> Tensor:
    """The first principal directions [size, p] of a covariance [p, p], on the CPU; of each, the largest entry
    is positive."""
    last = len(covariance) - 1
    vectors = scipy.linalg.eigh(covariance.cpu().numpy(), subset_by_index=[last + 1 - size, last])[1]
    vectors = torch.from_numpy(vectors).flip(1)
    vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    return vectors.T


class PCA(nn.Module):
    """Principal components of the training pixels, as encoder and decoder."""

    def __init__(self, shape: Shape, code_size: int = CODE_SIZE) -> None:
        super().__init__()
        self.shape = (shape[2], shape[0], shape[1])
        size = shape[0] * shape[1] * shape[2]
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("components", torch.zeros(code_size, size))

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Fit mean and components on images: uint8 [n, c, h, w]."""
        mean, covariance = moments(images)
        self.mean.copy_(mean / 255)
        self.components.copy_(principal(covariance, len(self.components)))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return (x.flatten(1) - self.mean) @ self.components.T

    def decode(self, codes: Tensor) -> Tensor:
        with torch.autocast(codes.device.type, enabled=False):
            return (codes @ self.components + self.mean).clamp(0, 1).unflatten(1, self.shape)


@torch.no_grad()
def start_from_pca(images: Tensor, into: nn.Linear, out: nn.Linear | None = None) -> None:
    """Set the linear paths into the code and out of it to the PCA of images uint8 [n, c, h, w].

    The code is divided by one number, so that its mean variance is 1; its reconstructions and its geometry
    are those of PCA.
    """
    pca = PCA((*images.shape[2:], images.shape[1]), into.out_features)
    pca.to(images.device).fit(images)
    scale = torch.cat([pca(part.float().div(255)) for part in images.split(5000)])
    scale = scale.std(0).square().mean().sqrt()
    into.weight.copy_(pca.components / scale)
    into.bias.copy_(-pca.components @ pca.mean / scale)
    if out is not None:
        out.weight.copy_(pca.components.T * scale)
        out.bias.copy_(pca.mean)


def fit_linear_path(encoder: Encoder, images: Tensor) -> None:
    """Start an encoder's linear path, if it has one, at the PCA of images uint8 [n, c, h, w].

    Its other layers add nothing to the code at first.
    """
    if encoder.linear is not None:
        start_from_pca(images, encoder.linear.layer)
        nn.init.zeros_(encoder.to_code.layer.weight)
        nn.init.zeros_(encoder.to_code.layer.bias)


class PrincipalComponents(Model):
    """`pca`: the first principal components of the training pixels, and their transpose as decoder."""

    def __init__(self, _: Untrained, sizes: Sizes) -> None:
        super().__init__()
        self.encoder = PCA(sizes.shape)

    def fit(self, images: Tensor) -> None:
        self.encoder.fit(images)

    def decode(self, codes: Tensor) -> Tensor:
        return self.encoder.decode(codes)

    @property
    def decodes(self) -> bool:
        return True


class RandomEncoder(Model):
    """`random`: the shared encoder with its initial weights."""

    def __init__(self, settings: Untrained, sizes: Sizes) -> None:
        super().__init__()
        self.encoder = Encoder(sizes.shape, sizes.widths, settings.code_size)
