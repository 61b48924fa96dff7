"""The objectives NT-Xent, SupCon and KL, and the gradient histograms that an autoencoder may reconstruct.

The other objectives, L1 and cross-entropy, are torch's own. Two views of n images are given as z [2n, d], in
which rows i and i + n belong to image i.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

DIRECTIONS, CELL = 9, 4  # of gradient histograms: bins over half a turn, pixels a side of a cell


def supcon(z: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss, L_out (Khosla et al. 2020, equation 2), of z [2n, d] with labels [n].

    z need not be normalised. The positives of an anchor are all other rows with its label; all other rows are
    in the denominator.
    """
    with torch.autocast(z.device.type, enabled=False):  # small temperatures need float32 similarities
        z = functional.normalize(z.float(), dim=1)
        labels = labels.repeat(2)
        logits = z @ z.T / temperature  # [2n, 2n]
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        log_probability = logits - logits.masked_fill(itself, -torch.inf).logsumexp(1, keepdim=True)
        positive = (labels[:, None] == labels[None, :]) & ~itself
        return -(log_probability.masked_fill(~positive, 0).sum(1) / positive.sum(1)).mean()


def nt_xent(z: Tensor, temperature: float) -> Tensor:
    """NT-Xent (Chen et al. 2020, equation 1) of z [2n, d]: the only positive is the image's other view."""
    n = len(z) // 2
    return supcon(z, torch.arange(n, device=z.device), temperature)


def kl_to_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of normal densities [n, d] from the standard normal one, summed over d, mean over n.

    Kingma and Welling 2014, appendix B, with the sign of a loss.
    """
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean()


def gradient_histograms(images: Tensor) -> Tensor:
    """Histograms of oriented gradients (Dalal & Triggs 2005).

    Images float [n, c, h, w] in [0, 1] -> [n, 9, h / 4, w / 4]; h and w must be multiples of 4. Each cell of
    4x4 pixels has a histogram of nine unsigned directions. Each pixel's gradient, of the colour where it is
    largest, is shared between the two nearest directions. Histograms are normalised to length 1, weak ones to
    less.
    """
    with torch.autocast(images.device.type, enabled=False):
        padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
        across, down = (
            padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2],
            padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1],
        )
        strength, strongest = (across.square() + down.square()).max(1, keepdim=True)  # [n, 1, h, w]
        across, down = across.gather(1, strongest), down.gather(1, strongest)
        bins = torch.arange(DIRECTIONS, device=images.device).view(1, DIRECTIONS, 1, 1)
        apart = (torch.atan2(down, across) * (DIRECTIONS / math.pi) - bins) % DIRECTIONS
        weight = (1 - torch.minimum(apart, DIRECTIONS - apart)).clamp_min(0)  # [n, 9, h, w]
        histograms = functional.avg_pool2d(weight * strength.sqrt(), CELL)
        return histograms / (histograms.norm(dim=1, keepdim=True) + 0.01)
