"""Yardsticks: median images, mean colours, block means, and probes without a code, by direct formulas."""

import base64
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import call, summarise
from tiny import Runs

from latents import data, objectives, probe, record, yardsticks
from latents.metrics import YARDSTICKS

PROBED = {"pixels", "gradients"}


@cache
def facts(runs: Runs, dataset: str, *, final: bool = True) -> dict:
    """What the record of a data set's yardsticks holds, measured once."""
    return yardsticks.measure(runs.study, dataset, final=final)[0]


def found(runs: Runs, dataset: str, **how: bool) -> dict[tuple[str, str, str], float]:
    metrics = facts(runs, dataset, **how)["metrics"]
    return {(one["variant"], one["metric"], one["split"]): one["value"] for one in metrics}


def error(pictures: np.ndarray, images: np.ndarray) -> float:
    """MAE with pixels in [0, 1], of pictures and images uint8 [n, c, h, w]."""
    return float(np.abs(pictures / 255 - images / 255).mean())


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_every_yardstick_of_reconstruction_is_the_error_by_a_direct_formula(runs: Runs, dataset: str) -> None:
    split, measured = data.load(runs.study, dataset, with_test=True), found(runs, dataset)
    train, test = split.train, split.test

    def median(images: np.ndarray) -> np.ndarray:  # of an even number of images: the upper of the middle two
        return np.sort(images, 0)[len(images) // 2]

    classes = np.stack([median(train.images[train.labels == label]) for label in range(10)])
    expected = {"median-image": median(train.images)[None], "class-median-image": classes[test.labels]}
    for name, side in {"mean-colour": 1, "block-means-2x2": 2, "block-means-4x4": 4}.items():
        n, c, h, w = test.images.shape
        blocks = test.images.reshape(n, c, side, h // side, side, w // side).mean((3, 5))
        expected[name] = blocks.repeat(h // side, 2).repeat(w // side, 3)
    assert expected.keys() == YARDSTICKS.keys()
    for name, pictures in expected.items():
        assert measured[name, "mae", "test"] == pytest.approx(error(pictures, test.images), abs=1e-6), name
    # the median image itself is kept, too
    shown = np.frombuffer(base64.b64decode(facts(runs, dataset)["median_image"]), np.uint8)
    assert np.array_equal(shown, np.moveaxis(median(train.images), 0, -1).ravel())


@pytest.mark.parametrize(
    ("variant", "features", "size"),
    [("pixels", lambda images: images, 784), ("gradients", objectives.gradient_histograms, 9 * 7 * 7)],
)
def test_raw_pixels_and_gradients_are_probed_as_codes_are(
    runs: Runs, variant: str, features: Callable[[torch.Tensor], torch.Tensor], size: int
) -> None:
    split, measured = data.load(runs.study, "mnist", with_test=True), found(runs, "mnist")
    parts = {"train": split.train, "val": split.val, "test": split.test}
    inputs = {
        name: features(torch.from_numpy(part.images).float() / 255).flatten(1) for name, part in parts.items()
    }
    assert inputs["train"].shape[1] == size
    labels = {name: torch.from_numpy(part.labels) for name, part in parts.items()}
    outcomes = probe.fit_probes(probe.FUNCTIONS, inputs, labels, runs.study.probe, 10, list(parts))
    for name, outcome in outcomes.items():
        for part in parts:
            right = (outcome.predictions[part] == labels[part]).double().mean().item()
            assert measured[variant, f"accuracy_{name}", part] == pytest.approx(100 * right), (name, part)


def test_without_final_no_yardstick_reads_the_test_split(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, load = [], data.load

    def spy(*place: object, with_test: bool) -> data.Split:
        asked.append(with_test)
        return load(*place, with_test=with_test)

    monkeypatch.setattr(data, "load", spy)
    assert {split for _, _, split in found(runs, "mnist", final=False)} == {"train", "val"}
    assert asked == [False]


def test_the_command_writes_a_sealed_record_the_same_each_time(runs: Runs, tmp_path: Path) -> None:
    for name in "ab":
        out = ("--out", tmp_path / f"{name}.json", "--timing", tmp_path / "timing.json")
        call(yardsticks, "--config", runs.config, "--dataset", "mnist", "--final", *out)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    made = record.read_json(tmp_path / "a.json")
    assert (made["dataset"], made["test_read"]) == ("mnist", True)
    codecs = {f"{codec}-{size}-bytes" for codec in ("jpeg", "webp") for size in (16, 64)}
    assert {one["variant"] for one in made["metrics"]} == YARDSTICKS.keys() | PROBED | codecs
    assert {"load", "reconstruct", "codecs", "probe"} == record.read_json(tmp_path / "timing.json")[
        "parts"
    ].keys()


def test_the_summary_has_the_yardsticks_without_seeds_and_an_interval(whole: Path) -> None:
    lines = (whole / "results/runs.csv").read_text().splitlines()
    assert "mnist,yardsticks,median-image,0,mae,test,0.2,pixel range" in lines
    lines = (whole / "results/summary.csv").read_text().splitlines()
    assert "mnist,yardsticks.median-image,mae,test,0.2,,,1,pixel range" in lines


def test_yardsticks_of_another_split_than_the_runs_are_refused_by_name(spoilt: Path) -> None:
    path = spoilt / "results/yardsticks/cifar10.json"
    record.write_json(path, record.read_json(path) | {"split_sha256": "f" * 64})
    message = "yardsticks/cifar10.json: its split_sha256 is not that of the cifar10 records"
    with pytest.raises(SystemExit, match=re.escape(message)):
        summarise(spoilt)


def test_the_settings_that_decide_yardsticks_are_the_split_and_the_probes(runs: Runs) -> None:
    settings = runs.study.yardsticks("mnist")
    assert settings["split"][:3] == [60, 20, 20]
    assert settings["probe"]["knn-k"] == runs.study.probe.knn_k
