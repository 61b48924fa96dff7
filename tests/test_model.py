"""The file of weights: decided by the seed, whole or refused, and the same bytes each time."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import Runs, plain, same, state

from latents import config, record
from latents.cli import Problem
from latents.model import Model, build, load_model, save_model
from latents.plain import merge
from latents.study import Run


def test_the_seed_decides_the_weights_and_no_global_state_is_changed(runs: Runs) -> None:
    before = torch.random.get_rng_state()
    first, again, other = (state(build(runs.study, Run("mnist", "guided", seed))) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert same(first, again) and not same(first, other)


@pytest.mark.parametrize("method", ["pca", "autoencoder-plus", "supcon"])
def test_saved_weights_come_back_bit_for_bit_with_what_made_them(runs: Runs, method: str) -> None:
    model, run, training = load_model(runs.weights(method), runs.study)
    assert same(state(model), state(runs.trained(method).model))
    assert run == Run("mnist", method, 1)
    assert training == json.loads(json.dumps(runs.study.training(run)))


def test_the_same_weights_are_the_same_bytes_each_time(runs: Runs, tmp_path: Path) -> None:
    training = runs.study.training(Run("mnist", "random", 1))
    for number in range(24):
        save_model(tmp_path / str(number), runs.trained("random").model, training)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def changed(runs: Runs, path: Path, model: Model, **changes: object) -> Path:
    """The weights of a model under other metadata."""
    training = runs.study.training(Run("mnist", "random", 1))
    made = {"format": record.FORMAT, "training": training} | changes
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, path, {"latents": json.dumps(made)})
    return path


def refusal(path: Path, runs: Runs) -> str:
    with pytest.raises(Problem) as caught:
        load_model(path, runs.study)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_truncated_weights_are_refused(runs: Runs, tmp_path: Path, length: int) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(runs.weights("random").read_bytes()[:length])
    assert "not a whole safetensors file; restore it from a copy" in refusal(path, runs)


def test_missing_weights_are_refused_with_the_step_that_makes_them(runs: Runs, tmp_path: Path) -> None:
    message = refusal(tmp_path / "absent.safetensors", runs)
    assert "missing; train it first (snakemake " in message


@pytest.mark.parametrize("version", [record.FORMAT - 1, record.FORMAT + 1, None])
def test_weights_of_another_version_are_refused(runs: Runs, tmp_path: Path, version: int | None) -> None:
    path = changed(runs, tmp_path / "old.safetensors", runs.trained("random").model, format=version)
    assert f"not weights of format {record.FORMAT}" in refusal(path, runs)


def test_weights_without_metadata_are_refused(runs: Runs, tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    save_file(load_file(runs.weights("random")), path)
    assert f"not weights of format {record.FORMAT}" in refusal(path, runs)


@pytest.mark.parametrize(
    "changes",
    [
        {"device": "auto"},
        {"threads": 2},
        {"precision": "bfloat16"},
        {"source": "download"},
        {"datasets": {"mnist": {"train": 60, "validation": 30, "split-seed": 5}}},
        {"datasets": {"mnist": {"methods": {"guided": {"label-smoothing": 0.3}}}}},
    ],
)
def test_weights_are_read_whatever_the_study_says_of_where_and_how_they_are_trained(
    runs: Runs, tmp_path: Path, changes: dict
) -> None:
    study = config.from_plain("changed.yaml", merge(plain(runs.folder), changes))
    model, run, training = load_model(runs.weights("guided"), study)
    assert training != json.loads(json.dumps(study.training(run)))
    assert same(state(model), state(runs.trained("guided").model))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"encoder": {"widths": [4, 4, 12]}}, "encoder.widths: [4, 4, 8], here [4, 4, 12]"),
        (
            {"datasets": {"mnist": {"methods": {"autoencoder-plus": {"linear-path": False}}}}},
            "method.linear-path: True, here False",
        ),
    ],
)
def test_weights_of_other_networks_are_refused_by_key_and_nobody_is_told_to_delete_them(
    runs: Runs, changes: dict, named: str
) -> None:
    study = config.from_plain("changed.yaml", merge(plain(runs.folder), changes))
    with pytest.raises(Problem) as caught:
        load_model(runs.weights("autoencoder-plus"), study)
    assert named in str(caught.value) and "delete" not in str(caught.value)


@pytest.mark.parametrize("training", [None, {}, {"dataset": "mnist"}, []])
def test_weights_with_foreign_metadata_are_refused(runs: Runs, tmp_path: Path, training: object) -> None:
    path = changed(runs, tmp_path / "foreign.safetensors", runs.trained("random").model, training=training)
    assert "does not say which run it is of; give weights" in refusal(path, runs)


@pytest.mark.parametrize("run", [{"dataset": "svhn"}, {"run": "autoencoder-plus.gone"}])
def test_weights_of_a_run_that_is_not_in_the_study_are_refused_by_file(
    runs: Runs, tmp_path: Path, run: dict[str, str]
) -> None:
    training = runs.study.training(Run("mnist", "random", 1)) | run
    path = changed(runs, tmp_path / "gone.safetensors", runs.trained("random").model, training=training)
    refusal(path, runs)


def test_tensors_that_do_not_fit_the_networks_are_refused(runs: Runs, tmp_path: Path) -> None:
    path = changed(runs, tmp_path / "misfit.safetensors", runs.trained("pca").model)
    assert "made for other networks (differing: the version of the source)" in refusal(path, runs)
