"""What the measurements of a run get, and where they put what they find."""

import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from latents import data
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.device import device_of
from latents.encode import encode
from latents.metrics import metric
from latents.model import Model
from latents.probe import Parts
from latents.study import Run, Study


@dataclass
class Measured:
    """The metrics of a record, in the order of measurement, and the seconds of each part of the job."""

    metrics: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    last: float = field(default_factory=time.perf_counter)

    def add(self, name: str, split: str, value: float | None) -> None:
        """Add a value, unless it is None (undefined). Raises Problem if it is not finite."""
        if value is None:
            return
        if not np.isfinite(value):
            raise Problem(
                f"{name} on {split} is not finite: the trained weights are broken; "
                "train the run again at a lower learning-rate"
            )
        self.metrics.append({"metric": name, "split": split, "value": value, "unit": metric(name).unit})

    def lap(self, part: str) -> None:
        """Add the seconds since the last call to those of a part of the job."""
        now = time.perf_counter()
        self.seconds[part], self.last = self.seconds.get(part, 0.0) + now - self.last, now


class Subject(NamedTuple):
    """What is measured: a model; and by split images uint8 [n, c, h, w], labels [n] and codes [n, d]."""

    study: Study
    run: Run
    model: Model
    split: data.Split
    parts: dict[str, data.Part]
    images: Parts
    labels: Parts
    codes: Parts

    @property
    def splits(self) -> list[str]:
        """The splits that are measured: all, but of a variant not train, on which nothing shows it."""
        return [name for name in self.labels if name != "train" or self.run.variant == "main"]

    @property
    def precision(self) -> str:
        return self.study.precision_of(self.run.dataset)

    @property
    def classes(self) -> int:
        return len(DATASETS[self.run.dataset].classes)


def subject_of(study: Study, run: Run, model: Model, found: Measured, *, final: bool) -> Subject:
    """Load and encode the data; without `final` the test split is not read."""
    device, precision = device_of(study), study.precision_of(run.dataset)
    model.to(device, memory_format=torch.channels_last).eval()
    split = data.load(study, run.dataset, with_test=final)
    parts = {"train": split.train, "val": split.val} | ({"test": split.test} if final else {})
    images = {name: torch.from_numpy(part.images).to(device) for name, part in parts.items()}
    labels = {name: torch.from_numpy(part.labels).to(device) for name, part in parts.items()}
    found.lap("load")
    codes = {name: encode(model.encoder, part, precision) for name, part in images.items()}
    found.lap("encode")
    return Subject(study, run, model, split, parts, images, labels, codes)
