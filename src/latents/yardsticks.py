"""Yardsticks of a data set: what can be reconstructed and classified without any code.

    python -m latents.yardsticks --config config/study.yaml --dataset cifar10 --final \
        --out yardsticks.json --timing timing.json

writes one record. The mean absolute error of the median image, of the true class's median image, of each
image's mean colour and of its block means gives the errors of the codes a scale, as do JPEG and WebP at the
bytes of a code (of a sample of val and test); the probes on raw pixels do so for the accuracies. The median
image itself is in the record too, for the figures. The probes on gradient histograms tell what the second
target of `autoencoder-plus` says of the class by itself. Nothing is trained but the probes. Without --final
the test split is not read. Takes some ten minutes, nearly all of them for the probes on 3,072 pixel values.
"""

import base64
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from latents import cli, codecs, config, data, probe, record
from latents.datasets import DATASETS
from latents.decode import mae
from latents.device import device_of, to_float
from latents.encode import BATCH
from latents.measure import to_uint8
from latents.metrics import YARDSTICKS
from latents.objectives import gradient_histograms
from latents.probe import Parts
from latents.study import Study
from latents.subject import Measured
from latents.train import timing

Pictures = Callable[[Tensor, Tensor], Tensor]  # images float [n, c, h, w], labels [n] -> what stands for them

# what the probes read: name -> from images float [n, c, h, w] in [0, 1]
INPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "pixels": lambda images: images,
    "gradients": gradient_histograms,
}


def median(images: Tensor) -> Tensor:
    """The median of each pixel, float [c, h, w] in [0, 1], over images uint8 [n, c, h, w]."""
    rows = images.flatten(1).T.split(256)  # in parts: sorting takes eight bytes for each pixel
    return torch.cat([part.sort(1)[0][:, len(images) // 2] for part in rows]).view(images.shape[1:]) / 255


def block_means(images: Tensor, side: int) -> Tensor:
    """The mean colour of each of side x side blocks, in the place of the block's pixels [n, c, h, w]."""
    means = functional.adaptive_avg_pool2d(images, side)
    return functional.interpolate(means, size=images.shape[2:], mode="nearest")


def pictures(images: Tensor, labels: Tensor, classes: int) -> dict[str, Pictures]:
    """The yardsticks of reconstruction, from training images uint8 [n, c, h, w] with labels [n]."""
    whole = median(images)
    by_class = torch.stack([median(images[labels == label]) for label in range(classes)])
    found: dict[str, Pictures] = {
        "median-image": lambda seen, _: whole.expand_as(seen),
        "class-median-image": lambda _, classed: by_class[classed],
    }
    for name, look in YARDSTICKS.items():
        if look.blocks:
            found[name] = partial(lambda seen, _, side: block_means(seen, side), side=look.blocks)
    return found


def errors(images: Tensor, labels: Tensor, stand_in: Pictures) -> float:
    """MAE of what stands for images uint8 [n, c, h, w], a mean over images."""
    batches = zip(images.split(4 * BATCH), labels.split(4 * BATCH), strict=True)
    found = [mae(stand_in(seen, classed), seen) for seen, classed in ((to_float(a), b) for a, b in batches)]
    return torch.cat(found).double().mean().item()


def measure(study: Study, dataset: str, *, final: bool) -> tuple[dict[str, Any], dict[str, float]]:
    """All yardsticks of a data set: facts for the record, and the seconds of each part."""
    seconds, split = Measured(), data.load(study, dataset, with_test=final)
    device, classes = device_of(study), len(DATASETS[dataset].classes)
    parts = {"train": split.train, "val": split.val} | ({"test": split.test} if final else {})
    images = {name: torch.from_numpy(part.images).to(device) for name, part in parts.items()}
    labels = {name: torch.from_numpy(part.labels).to(device) for name, part in parts.items()}
    seconds.lap("load")
    found: dict[str, Measured] = {}
    stand_ins = pictures(images["train"], labels["train"], classes)
    for variant, stand_in in stand_ins.items():
        found[variant] = Measured()
        for name in parts:
            found[variant].add("mae", name, errors(images[name], labels[name], stand_in))
    seconds.lap("reconstruct")
    for name in (name for name in parts if name != "train" and study.measurement.bits):
        sample = np.random.default_rng(study.measurement.seed).permutation(len(parts[name].labels))
        of_sample = parts[name].images[sample[: study.measurement.sample]]
        for codec in codecs.CODECS:
            budgets = [codecs.code_bytes(bits) for bits in study.measurement.bits]
            for size, error in codecs.errors(of_sample, codec, budgets).items():
                found.setdefault(f"{codec}-{size}-bytes", Measured()).add("mae", name, error)
    seconds.lap("codecs")
    chosen = {}
    for name, features in INPUTS.items():
        found[name], chosen[name] = probed(study, features, images, labels, classes)
    seconds.lap("probe")
    shown = to_uint8(stand_ins["median-image"](images["train"][:1], labels["train"][:1]))
    facts = {
        "dataset": dataset,
        "median_image": base64.b64encode(shown.tobytes()).decode(),  # uint8 [h, w, c]
        "split_sha256": split.split_sha256,
        "data_sha256": split.data_sha256,
        "probe_settings_chosen_on_val": chosen,
        "test_read": final,
        "metrics": [{"variant": name} | one for name, each in found.items() for one in each.metrics],
    }
    return facts, seconds.seconds


def probed(
    study: Study, features: Callable[[Tensor], Tensor], images: Parts, labels: Parts, classes: int
) -> tuple[Measured, dict[str, float]]:
    """The accuracy of every probe on features of images, as on codes; the settings chosen on val.

    `features` maps images float [n, c, h, w] in [0, 1] to [n, ...].
    """
    inputs = {
        name: torch.cat([features(to_float(batch)).flatten(1) for batch in part.split(4 * BATCH)])
        for name, part in images.items()
    }
    outcomes = probe.fit_probes(probe.FUNCTIONS, inputs, labels, study.probe, classes, list(inputs))
    found = Measured()
    for name, outcome in outcomes.items():
        for split, predictions in outcome.predictions.items():
            found.add(f"accuracy_{name}", split, probe.accuracy(predictions, labels[split]))
    return found, {name: one.chosen for name, one in outcomes.items() if one.chosen is not None}


@cli.command
def main() -> None:
    parser = cli.parser(__doc__, "config", "dataset", paths=("out", "timing"))
    parser.add_argument(
        "--final", action="store_true", help="read the test split; set by the study's own rule alone"
    )
    options = parser.parse_args()
    study = config.read(options.config)
    facts, seconds = measure(study, options.dataset, final=options.final)
    record.write_json(options.timing, timing(seconds))
    record.write_json(options.out, record.header(study.yardsticks(options.dataset)) | facts)


if __name__ == "__main__":
    main()
