"""Bits: rounding and noise by direct formulas, and fitted probes that classify changed codes."""

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from tiny import Runs

from latents import bits, probe
from latents.evaluate import evaluate
from latents.study import REFERENCE_CLASSIFIER, Run


def test_a_number_becomes_the_middle_of_its_step_and_what_lies_beyond_is_clamped() -> None:
    low, high = torch.tensor([0.0, -1]), torch.tensor([1.0, 1])
    codes = torch.tensor([[0.1, -0.9], [0.6, 0.1], [7.0, -7]])
    assert bits.quantised(codes, low, high, 1).tolist() == [[0.25, -0.5], [0.75, 0.5], [0.75, -0.5]]
    fine = bits.quantised(codes[:2], low, high, 8)
    assert (fine - codes[:2]).abs().max() <= 1 / 256
    assert len(bits.quantised(torch.linspace(0, 1, 1000)[:, None], low[:1], high[:1], 2).unique()) == 4


def test_the_ends_are_quantiles_of_each_number_of_the_training_codes() -> None:
    codes = torch.randn(2001, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 5, 0.1])
    low, high = bits.ends(codes)
    expected = np.quantile(codes.numpy(), bits.QUANTILES, axis=0, method="nearest")
    assert np.array_equal(torch.stack([low, high]).numpy(), expected.astype(np.float32))


def test_noise_has_the_size_that_it_says_and_is_the_same_again() -> None:
    codes = torch.zeros(4000, 4)
    one, other = (bits.disturbed(codes, 0.3, torch.Generator().manual_seed(2)) for _ in range(2))
    assert torch.equal(one, other)
    assert one.std(0).tolist() == pytest.approx([0.3] * 4, rel=0.05)


@pytest.mark.parametrize("classes", [2, 10])
def test_a_fitted_probe_classifies_the_codes_that_it_was_measured_on_alike(runs: Runs, classes: int) -> None:
    draw = np.random.default_rng(4)
    centres = 2 * draw.normal(size=(classes, 128))
    labels = {name: torch.arange(n) % classes for name, n in {"train": 200, "val": 100, "test": 100}.items()}
    codes = {
        name: torch.from_numpy(centres[part] + 4 * draw.normal(size=(len(part), 128)) + 5).float()
        for name, part in labels.items()
    }
    before = torch.random.get_rng_state()
    for name in ("linear", "mlp"):
        outcome = probe.FUNCTIONS[name](codes, labels, runs.study.probe, classes, list(codes))
        for split, part in codes.items():
            assert torch.equal(outcome.network(part).argmax(1), outcome.predictions[split]), (name, split)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_only_first_seeds_have_accuracies_by_features_bits_and_noise_and_exact_codes_change_nothing(
    runs: Runs,
) -> None:
    classifier = runs.trained(REFERENCE_CLASSIFIER, 8001).model
    study = replace(runs.study, measurement=replace(runs.study.measurement, sample=20))

    def values(seed: int) -> dict[tuple[str, str], float]:
        model = runs.trained("random", seed).model
        facts = evaluate(study, Run("mnist", "random", seed), model, classifier, final=True)[0]
        return {(one["metric"], one["split"]): one["value"] for one in facts["metrics"]}

    found = values(1)
    names = {"32bit", "1bit", "4bit", "noise_0.5"}
    changed = {key for key in found if key[0].rpartition("_")[2] in names or "noise" in key[0]}
    metrics = {f"{metric}_{name}" for metric in ("accuracy_linear", "accuracy_mlp", "mae") for name in names}
    assert changed == {(metric, split) for metric in metrics for split in ("val", "test")}
    for split in ("val", "test"):
        for metric in ("accuracy_linear", "accuracy_mlp", "mae"):
            exact = found[f"{metric}_32bit", split]
            assert exact == pytest.approx(found[metric, split], rel=1e-6), metric
        assert found["mae_1bit", split] != found["mae_32bit", split]
    later = values(2)
    assert not changed & later.keys() and not [name for name, _ in later if "features" in name]
