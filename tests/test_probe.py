"""Probes: kNN as scikit-learn's, grids chosen on val, and settings that come from the configuration alone."""

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from sklearn.neighbors import KNeighborsClassifier
from tiny import Runs
from torch import Tensor

from latents import probe
from latents.metrics import ProbeSettings
from latents.probe import Outcome, Parts

SIZES = {"train": 120, "val": 50, "test": 60}
CLASSES = 10


def made(spread: float = 3.0, classes: int = CLASSES) -> tuple[Parts, Parts]:
    """Codes of overlapping classes, away from the origin, and their labels."""
    draw = np.random.default_rng(7)
    centres = draw.normal(size=(classes, 128))
    codes, labels = {}, {}
    for name, n in SIZES.items():
        classed = np.arange(n) % classes
        codes[name] = torch.from_numpy(centres[classed] + spread * draw.normal(size=(n, 128)) + 2).float()
        labels[name] = torch.from_numpy(classed)
    return codes, labels


def fitted(name: str, codes: Parts, labels: Parts, settings: ProbeSettings) -> Outcome:
    return probe.FUNCTIONS[name](codes, labels, settings, CLASSES, list(codes))


@pytest.mark.parametrize("name", probe.FUNCTIONS)
def test_a_probe_predicts_for_the_splits_asked_for_alone_and_the_same_as_for_all(
    name: str, settings: ProbeSettings
) -> None:
    codes, labels = made()
    all_splits = fitted(name, codes, labels, settings)
    some = probe.FUNCTIONS[name](codes, labels, settings, CLASSES, ["val", "test"])
    assert list(some.predictions) == ["val", "test"] and some.chosen == all_splits.chosen
    assert all(torch.equal(part, all_splits.predictions[key]) for key, part in some.predictions.items())


@pytest.fixture
def settings(runs: Runs) -> ProbeSettings:
    return runs.study.probe


# kNN


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.1), (5, 0.1), (20, 0.07), (20, 0.5)])
def test_knn_is_scikit_learns_with_weights_that_grow_exponentially_with_the_cosine(
    settings: ProbeSettings, k: int, temperature: float
) -> None:
    codes, labels = made()
    mean = codes["train"].double().numpy().mean(0)
    arrays = {name: part.double().numpy() - mean for name, part in codes.items()}
    truth = labels["train"].numpy()
    reference = KNeighborsClassifier(
        k,
        metric="cosine",
        algorithm="brute",
        weights=lambda distance: np.exp((1 - distance) / temperature),
    )
    found = fitted("knn", codes, labels, replace(settings, knn_k=k, knn_temperature=temperature)).predictions
    for name in ("val", "test"):
        assert found[name].tolist() == reference.fit(arrays["train"], truth).predict(arrays[name]).tolist()
    alone = []  # on train: each image against all others
    for i in range(SIZES["train"]):
        others = np.arange(SIZES["train"]) != i
        reference.fit(arrays["train"][others], truth[others])
        alone += reference.predict(arrays["train"][[i]]).tolist()
    assert found["train"].tolist() == alone


def test_knn_on_train_is_the_same_over_more_than_one_block_of_queries(settings: ProbeSettings) -> None:
    draw = torch.Generator().manual_seed(1)
    codes = torch.randn(1105, 128, generator=draw)
    codes[1000:] = codes[:105] + 1e-3
    labels = torch.randint(10, (1105,), generator=draw)
    outcome = fitted("knn", {"train": codes}, {"train": labels}, replace(settings, knn_k=1))
    found = outcome.predictions["train"]
    assert torch.equal(found[1000:], labels[:105]) and torch.equal(found[:105], labels[1000:])


def test_a_low_temperature_gives_the_nearest_neighbour_and_does_not_overflow(settings: ProbeSettings) -> None:
    codes, labels = made()
    cold = [
        fitted("knn", codes, labels, replace(settings, knn_k=k, knn_temperature=1e-5)).predictions["test"]
        for k in (1, 20)
    ]
    assert torch.equal(*cold)


def test_the_neighbours_and_the_temperature_come_from_the_configuration_and_matter(
    settings: ProbeSettings,
) -> None:
    codes, labels = made()

    def found(k: int, temperature: float) -> float:
        outcome = fitted("knn", codes, labels, replace(settings, knn_k=k, knn_temperature=temperature))
        return probe.accuracy(outcome.predictions["test"], labels["test"])

    assert len({found(1, 0.1), found(20, 0.1), found(60, 0.1)}) == 3
    assert found(60, 0.02) != found(60, 1.0)


def test_no_probe_setting_has_a_default() -> None:
    assert ProbeSettings.__struct_defaults__ == ()


# linear and MLP


@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_a_probe_reads_classes_that_are_there_and_none_that_are_not(
    settings: ProbeSettings, name: str
) -> None:
    settings = replace(settings, mlp_epochs=10, mlp_learning_rate=0.02)
    codes, labels = made(0.5)
    predicted = fitted(name, codes, labels, settings).predictions["test"]
    assert probe.accuracy(predicted, labels["test"]) > 90
    shuffled = {
        part: classes[torch.randperm(len(classes), generator=torch.Generator().manual_seed(1))]
        for part, classes in labels.items()
    }
    predicted = fitted(name, codes, shuffled, settings).predictions["test"]
    assert probe.accuracy(predicted, shuffled["test"]) < 35


@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_scale_and_place_of_the_codes_do_not_change_a_probe(settings: ProbeSettings, name: str) -> None:
    codes, labels = made(2.0)
    moved = {part: 1000 * values - 300 for part, values in codes.items()}
    first, other = (fitted(name, each, labels, settings).predictions["val"] for each in (codes, moved))
    assert (first == other).double().mean() > 0.9


def test_codes_are_scaled_by_one_number_of_the_training_codes_alone() -> None:
    codes, _ = made()
    codes["test"] = 5 * codes["test"] + 9
    parts = probe.scaled(codes)
    assert parts["train"].mean(0).abs().max() < 1e-5
    assert parts["train"].square().mean() == pytest.approx(1)
    assert parts["test"].mean() > 3
    deviations, before = parts["train"].std(0), codes["train"].std(0)
    assert torch.allclose(deviations / deviations[0], before / before[0])
    constant = probe.scaled({"train": torch.ones(4, 128)})["train"]
    assert constant.isfinite().all()


@pytest.mark.parametrize("name", ["linear", "knn"])
def test_a_rotation_of_the_codes_does_not_change_what_is_read(settings: ProbeSettings, name: str) -> None:
    """A method is not read better or worse for the axes that its code happens to have."""
    codes, labels = made(2.0)
    # uncorrelated, of unlike sizes: as principal components are
    codes = {part: values * torch.logspace(0, -2, 128) for part, values in codes.items()}
    turn = torch.linalg.qr(torch.randn(128, 128, generator=torch.Generator().manual_seed(4)))[0]
    turned = {part: values @ turn for part, values in codes.items()}
    first, other = (fitted(name, each, labels, settings).predictions["val"] for each in (codes, turned))
    assert (first == other).double().mean() > 0.97


@pytest.mark.parametrize("name", ["linear", "mlp", "knn"])
def test_a_probe_gives_the_same_predictions_again_and_leaves_its_codes_and_torchs_state_alone(
    settings: ProbeSettings, name: str
) -> None:
    codes, labels = made()
    before = {part: values.clone() for part, values in codes.items()}
    state = torch.random.get_rng_state()
    first = fitted(name, codes, labels, settings)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(99)
    again = fitted(name, codes, labels, settings)
    torch.random.set_rng_state(state)
    assert first.chosen == again.chosen
    assert all(torch.equal(first.predictions[part], again.predictions[part]) for part in SIZES)
    assert all(torch.equal(codes[part], before[part]) for part in SIZES)


@pytest.mark.parametrize("name", ["linear", "mlp", "knn"])
def test_a_probe_neither_learns_from_test_nor_chooses_on_it(settings: ProbeSettings, name: str) -> None:
    codes, labels = made()
    spoilt = codes | {"test": torch.zeros(60, 128)}, labels | {"test": labels["test"].flip(0)}
    shortened = [{part: parts[part] for part in ("train", "val")} for parts in (codes, labels)]
    first, other = fitted(name, codes, labels, settings), fitted(name, *spoilt, settings)
    without = fitted(name, *shortened, settings)
    assert first.chosen == other.chosen == without.chosen
    for part in ("train", "val"):
        assert torch.equal(first.predictions[part], other.predictions[part])
        assert torch.equal(first.predictions[part], without.predictions[part])


def outcome(labels: Parts, val: int, test: int, chosen: float) -> Outcome:
    """An outcome with so many mistakes."""
    wrong = {name: labels[name].clone() for name in labels}
    wrong["val"][:val] += 1
    wrong["test"][:test] += 1
    return Outcome(wrong, chosen)


def test_the_setting_is_the_best_on_val_and_the_first_of_equals() -> None:
    _, labels = made()
    mistakes = [(20, 0, 0.1), (10, 30, 1.0), (10, 5, 10.0)]
    assert probe.best_on_val([outcome(labels, *one) for one in mistakes], labels).chosen == 1.0


def test_the_grids_come_from_the_configuration(settings: ProbeSettings) -> None:
    codes, labels = made()
    assert fitted("linear", codes, labels, replace(settings, linear_c=[0.37])).chosen == 0.37
    assert fitted("mlp", codes, labels, replace(settings, mlp_weight_decay=[0.21])).chosen == 0.21


def test_accuracy_is_in_percent() -> None:
    assert probe.accuracy(torch.tensor([1, 2, 3, 4]), torch.tensor([1, 2, 3, 0])) == 75.0


@pytest.mark.parametrize("n", [8, 13])
def test_packed_bits_come_back(n: int) -> None:
    correct: Tensor = torch.rand(n, generator=torch.Generator().manual_seed(1)) < 0.5
    assert np.unpackbits(probe.packed(correct))[:n].tolist() == correct.int().tolist()
