"""Features before the bottleneck: what the last layer gets, probed with a share of the labels."""

import pytest
import torch
from msgspec.structs import replace
from tiny import Runs

from latents import data, probe
from latents.encode import encode
from latents.evaluate import evaluate
from latents.features import captured
from latents.study import REFERENCE_CLASSIFIER, Run


def test_the_last_layer_maps_the_captured_features_to_the_codes(runs: Runs) -> None:
    encoder = runs.trained("guided").model.eval().encoder
    images = torch.randint(
        256, (700, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    with captured(encoder) as seen:
        codes = encode(encoder, images, "float32")
    features = torch.cat(seen).float()
    assert features.shape == (700, 9 * runs.study.encoder.widths[-1])
    assert torch.allclose(encoder.to_code(features), codes, atol=1e-2)
    encode(encoder, images[:10], "float32")
    assert sum(map(len, seen)) == 700  # nothing is captured any more


def values(runs: Runs, share: float) -> dict[tuple[str, str], float]:
    study = replace(runs.study, measurement=replace(runs.study.measurement, features_share=share))
    models = runs.trained("random").model, runs.trained(REFERENCE_CLASSIFIER, 8001).model
    facts = evaluate(study, Run("mnist", "random", 1), *models, final=True)[0]
    found = {(one["metric"], one["split"]): one["value"] for one in facts["metrics"]}
    return {key: value for key, value in found.items() if "features" in key[0]}


def test_probes_on_features_see_a_share_of_the_labels_as_those_on_codes_do(runs: Runs) -> None:
    found = values(runs, share=0.5)
    split, encoder = data.load(runs.study, "mnist", with_test=True), runs.trained("random").model.encoder
    few = split.train.at(data.labelled(split.train.labels, 0.5, runs.study.datasets["mnist"].split_seed))
    features, labels = {}, {}
    for name, part in {"train": few, "val": split.val, "test": split.test}.items():
        with captured(encoder) as seen:
            encode(encoder, torch.from_numpy(part.images), "float32")
        features[name], labels[name] = torch.cat(seen).float(), torch.from_numpy(part.labels)
    for name in ("linear", "knn"):
        outcome = probe.FUNCTIONS[name](features, labels, runs.study.probe, 10, ["val", "test"])
        for part in ("val", "test"):
            expected = probe.accuracy(outcome.predictions[part], labels[part])
            assert found[f"accuracy_{name}_features_50pct", part] == pytest.approx(expected), (name, part)
    assert len(found) == 4


def test_with_a_share_of_0_no_features_are_probed(runs: Runs) -> None:
    assert not values(runs, share=0.0)
