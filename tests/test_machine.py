"""The precision that is chosen for a machine, and that a study keeps to."""

from pathlib import Path

import pytest
import torch
from made_up import call
from msgspec.structs import replace
from tiny import Runs, study, write_config

from latents import config, machine, record, train
from latents.cli import Problem
from latents.study import Run


def written(path: Path, precision: str, **facts: object) -> Path:
    """A file of latents.machine with a choice."""
    record.write_json(path, {"format": record.FORMAT, "processor": "A CPU", "precision": precision} | facts)
    return path


def test_every_kind_of_training_is_timed_in_each_precision_the_longest_first(tmp_path: Path) -> None:
    tiny = study(tmp_path)
    rates = machine.measure(tiny, torch.device("cpu"))
    assert set(rates) == {f"{name}/{method}" for name in tiny.datasets for method in tiny.trained_methods}
    assert all(set(one) == set(machine.PRECISIONS) and min(one.values()) > 0 for one in rates.values())
    lengths = [machine.images(tiny, run) for run in machine.kinds(tiny)]
    assert lengths == sorted(lengths, reverse=True)


def test_with_several_jobs_at_once_the_rate_is_the_mean_of_as_many_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = study(tmp_path)
    mnist = tiny.datasets["mnist"]
    methods = {name: mnist.methods[name] for name in ("pca", "guided", "vae")}
    few = replace(tiny, datasets={"mnist": replace(mnist, methods=methods)})
    found = machine.measure_together(few, 2)
    assert found.keys() == {f"{run.dataset}/{run.method}" for run in machine.kinds(few)} and len(found) == 2
    assert all(set(one) == set(machine.PRECISIONS) and min(one.values()) > 0 for one in found.values())
    rates = iter(
        [{"a": {"float32": 1.0, "bfloat16": 4.0}, "b": {}}, {"a": {"float32": 3.0, "bfloat16": 8.0}}]
    )
    monkeypatch.setattr("concurrent.futures.ProcessPoolExecutor.map", lambda *_: rates)
    assert machine.measure_together(tiny, 2) == {"a": {"float32": 2.0, "bfloat16": 6.0}}
    made = iter([{"x": {}}])
    monkeypatch.setattr(machine, "measure_together", lambda *_: next(made))
    described = machine.describe(tiny, 2)
    assert described["rates"] == {"x": {}} and described["at_once"] == 2


def test_without_time_the_longest_training_alone_is_timed(tmp_path: Path) -> None:
    tiny = study(tmp_path)
    first = machine.kinds(tiny)[0]
    assert list(machine.measure(tiny, torch.device("cpu"), limit=0.0)) == [f"{first.dataset}/{first.method}"]


def test_the_precision_is_that_in_which_all_trainings_together_take_less_time(tmp_path: Path) -> None:
    tiny = study(tmp_path, precision="auto")
    kinds = [f"{run.dataset}/{run.method}" for run in machine.kinds(tiny)]
    equal = {kind: {"float32": 100.0, "bfloat16": 100.0} for kind in kinds}
    for faster, slower in (("float32", "bfloat16"), ("bfloat16", "float32")):
        assert machine.choice(tiny, equal | {kinds[0]: {faster: 101.0, slower: 100.0}}) == faster
        # a training that is slow in one precision outweighs two that are a little faster
        mixed = {kinds[0]: {faster: 100.0, slower: 10.0}, kinds[1]: {faster: 100.0, slower: 101.0}}
        assert machine.choice(tiny, mixed) == faster


def test_a_data_set_with_a_precision_of_its_own_has_no_say_in_the_choice(tmp_path: Path) -> None:
    tiny = study(tmp_path, precision="auto")
    cifar10 = replace(tiny.dataset("cifar10"), precision="bfloat16")
    tiny = replace(tiny, datasets=tiny.datasets | {"cifar10": cifar10})
    rates = {
        f"{run.dataset}/{run.method}": {"float32": 1.0, "bfloat16": 1.1 if run.dataset == "mnist" else 0.01}
        for run in machine.kinds(tiny)
    }
    assert machine.choice(tiny, rates) == "bfloat16"
    found = config.settled(tiny, written(tmp_path / "machine.json", "float32"))
    assert (found.precision_of("mnist"), found.precision_of("cifar10")) == ("float32", "bfloat16")
    training = found.training(Run("cifar10", "guided", 1))
    assert training["precision"] == "bfloat16"


def test_operations_and_images_of_a_training_are_those_of_its_record(runs: Runs) -> None:
    work = machine.work(runs.study)
    for method in ("guided", "contrastive", "autoencoder", "pca"):
        run = Run("mnist", method, 1)
        made = runs.trained(method).facts["train_flops"]
        assert work["operations"][f"mnist/{method}"] == pytest.approx(made, rel=0.02)
        optimisation = runs.study.settings("mnist", method).optimisation
        seen = 0 if optimisation is None else optimisation.epochs * 60
        assert machine.images(runs.study, run) == seen
        # the smaller views of the first epoch of `contrastive` count as parts of the later ones
        low, high = (seen - 20, seen - 2) if method == "contrastive" else (seen, seen)
        assert low <= work["images"][f"mnist/{method}"] <= high


def test_the_command_writes_what_the_machine_is_and_its_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(machine.measure, "__defaults__", (0.0,))
    call(machine, "--config", write_config(tmp_path), "--out", tmp_path / "machine.json")
    made = record.read_json(tmp_path / "machine.json")
    assert made["processor"] == record.processor() and made["device"] == "cpu" and made["threads"] == 1
    assert made["precision"] in machine.PRECISIONS and made["rates"] and made["seconds"] > 0
    assert f"precision: {made['precision']}, the faster one on" in capsys.readouterr().err


def test_a_study_that_was_begun_goes_on_in_its_precision_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(machine.measure, "__defaults__", (0.0,))
    monkeypatch.setattr(machine, "choice", lambda *_: "float32")
    begun, out = written(tmp_path / "begun.json", "bfloat16"), tmp_path / "machine.json"
    for first in (begun, out):  # also where it moves on once more
        call(machine, "--config", write_config(tmp_path), "--begun", first, "--out", out)
        made = record.read_json(out)
        assert (made["precision"], made["begun_on"]) == ("bfloat16", "A CPU")
        said = "precision: bfloat16, in which the study was begun on A CPU; on"
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("chosen", machine.PRECISIONS)
def test_a_training_with_precision_auto_is_that_in_the_chosen_one_and_its_record_says_which(
    runs: Runs, tmp_path: Path, chosen: str
) -> None:
    path = tmp_path / "auto.yaml"
    path.write_text(runs.config.read_text().replace("precision: float32", "precision: auto"))
    assert config.read(path).precision == "auto"
    options = ["--config", path, "--dataset", "mnist", "--method", "pca", "--seed", 1]
    places = {name: tmp_path / f"{chosen}.{name}" for name in ("out", "record", "curve", "timing")}
    options += [one for name, place in places.items() for one in (f"--{name}", place)]
    call(train, *options, "--machine", written(tmp_path / "machine.json", chosen))
    made = record.read_json(places["record"])
    assert made["precision"] == made["config"]["precision"] == chosen


def test_precision_auto_without_a_choice_is_refused_in_one_sentence(tmp_path: Path) -> None:
    auto = study(tmp_path, precision="auto")
    with pytest.raises(Problem, match=r"^precision: auto needs --machine"):
        config.settled(auto, None)
    with pytest.raises(Problem, match=r"machine\.json: missing; run snakemake again"):
        config.settled(auto, tmp_path / "machine.json")
    with pytest.raises(Problem, match=r"machine\.json: names no precision; delete it"):
        config.settled(auto, written(tmp_path / "machine.json", "auto"))
    fixed = study(tmp_path, precision="bfloat16")
    assert config.settled(fixed, None) is fixed
