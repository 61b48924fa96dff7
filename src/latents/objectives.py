"""The objectives: L1, cross-entropy (both torch's own), NT-Xent and SupCon.

Two views of n images come as z [2n, d]: rows i and i + n are the two views of image i.
"""

import torch
from torch import Tensor
from torch.nn import functional


def supcon(z: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss, L_out (Khosla et al. 2020, equation 2). z [2n, d] need not be normalised; labels [n].

    Positives of an anchor are all other rows with its label; every other row is in the denominator.
    """
    with torch.autocast(z.device.type, enabled=False):  # similarities over a small temperature need float32
        z = functional.normalize(z.float(), dim=1)
        labels = labels.repeat(2)
        logits = z @ z.T / temperature  # [2n, 2n]
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        log_probability = logits - logits.masked_fill(itself, -torch.inf).logsumexp(1, keepdim=True)
        positive = (labels[:, None] == labels[None, :]) & ~itself
        return -(log_probability.masked_fill(~positive, 0).sum(1) / positive.sum(1)).mean()


def nt_xent(z: Tensor, temperature: float) -> Tensor:
    """NT-Xent (Chen et al. 2020, equation 1): the other view of the image is the one positive. z [2n, d]."""
    n = len(z) // 2
    return supcon(z, torch.arange(n, device=z.device), temperature)
