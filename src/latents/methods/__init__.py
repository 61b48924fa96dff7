"""The study's methods: how each is printed, its settings, and where its networks are.

A method consists of settings (`settings.py`), a line in METHODS (in this file), a class in another file of
this folder, and values in the studies that have it (`config/*.yaml`).
"""

import pkgutil
from typing import TYPE_CHECKING, NamedTuple

from latents.methods import settings
from latents.methods.settings import MethodSettings

if TYPE_CHECKING:
    from latents.model import Model


class Method(NamedTuple):
    """A line of METHODS.

    Colours are those of Okabe and Ito, and two of Tol; marker and hatch distinguish methods in greyscale.
    """

    label: str  # as printed
    color: str
    marker: str
    hatch: str
    about: str  # what produces the code, for the lists in the paper and the README
    settings: type[MethodSettings]
    network: str  # module:class of its networks
    sees_labels: bool = False
    seeded: bool = True  # if not, nothing is random, and each data set has one run


METHODS = {
    "pca": Method(
        label="PCA",
        color="#7f7f7f",
        marker="s",
        hatch="....",
        about="baseline: the first 128 principal components of the training pixels",
        settings=settings.Untrained,
        network="latents.methods.baselines:PrincipalComponents",
        seeded=False,
    ),
    "random": Method(
        label="Random",
        color="#000000",
        marker="X",
        hatch="xxxx",
        about="baseline: the shared encoder without training",
        settings=settings.Untrained,
        network="latents.methods.baselines:RandomEncoder",
    ),
    "autoencoder": Method(
        label="Autoencoder",
        color="#56b4e9",
        marker="v",
        hatch="////",
        about="experiment 1, before: a plain convolutional autoencoder",
        settings=settings.Autoencoder,
        network="latents.methods.exp1_autoencoder:PlainAutoencoder",
    ),
    "autoencoder-plus": Method(
        label="Autoencoder+",
        color="#0072b2",
        marker="^",
        hatch="\\\\\\\\",
        about="experiment 1, after: shared encoder, residual decoder, linear paths that start at PCA",
        settings=settings.AutoencoderPlus,
        network="latents.methods.exp1_autoencoder:ImprovedAutoencoder",
    ),
    "vae": Method(
        label="VAE",
        color="#999933",
        marker="<",
        hatch="++",
        about="experiment 1, with a prior: a variational autoencoder, shared encoder, residual decoder",
        settings=settings.VAE,
        network="latents.methods.exp1_autoencoder:VariationalAutoencoder",
    ),
    "guided": Method(
        label="Guided",
        color="#d55e00",
        marker="D",
        hatch="----",
        about="experiment 2: encoder and classifier trained jointly, no decoder",
        settings=settings.Guided,
        network="latents.methods.exp2_guided:GuidedEncoder",
        sees_labels=True,
    ),
    "contrastive": Method(
        label="Contrastive",
        color="#009e73",
        marker="o",
        hatch="||||",
        about="experiment 3: SimCLR, which brings two views of an image together",
        settings=settings.Contrastive,
        network="latents.methods.exp3_contrastive:SimCLR",
    ),
    "supcon": Method(
        label="SupCon",
        color="#cc79a7",
        marker="P",
        hatch="oo",
        about="experiment 3 with labels: brings all views of a class together",
        settings=settings.Contrastive,
        network="latents.methods.exp3_contrastive:SupCon",
        sees_labels=True,
    ),
    "split": Method(
        label="Split",
        color="#e69f00",
        marker="*",
        hatch="**",
        about="both: principal components of the contrastive code, and numbers for the pixels beside them",
        settings=settings.Split,
        network="latents.methods.exp4_both:SplitCode",
    ),
    "joint": Method(
        label="Joint",
        color="#882255",
        marker="p",
        hatch="OO",
        about="both: the split code, trained further as a whole to bring views together and to reconstruct",
        settings=settings.Joint,
        network="latents.methods.exp4_both:JointCode",
    ),
}


def network(name: str) -> "type[Model]":
    """The class of a method's networks; imports torch."""
    return pkgutil.resolve_name(METHODS[name].network)
