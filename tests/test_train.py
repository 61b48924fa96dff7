"""Training: the same seed gives the same weights, test is not read, the command writes all files or none."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from made_up import call
from msgspec import UNSET
from msgspec.structs import replace
from tiny import TRAIN, TRAINED, Runs, floats, same, state, write_config
from torch import Tensor

from latents import augment, data, record, train
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.device import device_of
from latents.loop import Task
from latents.methods.settings import MethodSettings
from latents.model import build, load_model
from latents.study import Run

CPU = torch.device("cpu")


# the same seed, the same weights


@pytest.mark.parametrize(
    ("dataset", "method"),
    [*(("mnist", method) for method in TRAINED), ("cifar10", "guided")],
)
def test_the_same_seed_gives_the_same_weights_and_curve_bit_for_bit_and_another_seed_others(
    runs: Runs, tmp_path: Path, dataset: str, method: str
) -> None:
    torch.manual_seed(77)  # whatever the global state
    again = runs.again(method, tmp_path / "checkpoint", dataset=dataset)
    assert runs.has(method, again, dataset)
    other = runs.again(method, tmp_path / "other", seed=2, dataset=dataset)
    assert not same(state(other.model), state(again.model)) and other.curve != again.curve


def test_training_lowers_the_loss_which_the_curve_shows(runs: Runs) -> None:
    for method in TRAINED:
        curve = runs.trained(method).curve
        assert [line[:2] for line in curve] == [(1, 3), (2, 6), (3, 9)]
        # these start as PCA, as a regression and as `split`, which nine steps do not improve on
        if method not in ("autoencoder-plus", "split", "joint"):
            assert curve[-1][2] < curve[0][2]


def test_what_is_fitted_on_the_pixels_stays_as_it_was_fitted(runs: Runs) -> None:
    fitted = build(runs.study, Run("mnist", "guided", 1))
    fitted.fit(torch.from_numpy(data.load(runs.study, "mnist", with_test=False).train.images))
    fitted, trained = fitted.encoder, runs.trained("guided").model.encoder
    for part in ("standardise", "whiten"):
        assert same(state(getattr(trained, part)), state(getattr(fitted, part)))
    assert not torch.equal(trained.to_code.layer.weight, fitted.to_code.layer.weight)


# what a run is made of


def test_neither_training_nor_its_curve_reads_the_test_files_and_no_seed_moves_the_split(
    runs: Runs, tmp_path: Path
) -> None:
    shutil.copytree(runs.folder / "data", tmp_path / "data")
    for name in (
        "MNIST/raw/t10k-images-idx3-ubyte",
        "MNIST/raw/t10k-labels-idx1-ubyte",
        "cifar-10-batches-py/test_batch",
    ):
        (tmp_path / "data" / name).unlink()
    study = replace(runs.study, folder=f"{tmp_path}/")
    for dataset in DATASETS:
        one, other = (
            train.train(study, Run(dataset, "guided", seed), tmp_path / f"{dataset}{seed}").facts
            for seed in (1, 2)
        )
        assert one["split_sha256"] == other["split_sha256"] and one["data_sha256"] == other["data_sha256"]


def test_the_flops_of_a_training_are_counted_and_leave_the_model_as_it_was(runs: Runs) -> None:
    model, images = build(runs.study, Run("mnist", "guided", 1)), floats("mnist", TRAIN)
    optimisation, before = runs.study.settings("mnist", "guided").optimisation, state(model)

    def loss(index: Tensor, random: torch.Generator) -> Tensor:
        return model.objective(model.views(images[index], random), torch.zeros(len(index), dtype=torch.long))

    steps = optimisation.epochs * TRAIN // optimisation.batch_size
    flops = steps * train.flops_of_step(Task("test", model, loss, TRAIN, optimisation, 1, CPU))
    assert flops == runs.trained("guided").facts["train_flops"] > 0
    assert same(state(model), before) and all(parameter.grad is None for parameter in model.parameters())
    assert [runs.trained(method).facts["train_flops"] for method in ("pca", "random")] == [0, 0]


def test_the_first_epochs_have_their_own_views_and_their_own_flops(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sides, view = [], augment.view
    monkeypatch.setattr(
        augment, "view", lambda *given: (sides.append((seen := view(*given)).shape[-1]), seen)[1]
    )
    facts = train.train(runs.study, Run("mnist", "contrastive", 1), tmp_path / "checkpoint").facts
    steps = TRAIN // runs.study.settings("mnist", "contrastive").optimisation.batch_size
    trained = sides[4:]  # two steps on which operations are counted, of two views each
    assert trained[: 2 * steps] == 2 * steps * [26] and set(trained[-4 * steps :]) == {28}
    settings = runs.study.settings("mnist", "contrastive")
    assert settings.early_epochs == 1

    def whole(settings: MethodSettings) -> int:
        study = copy.deepcopy(runs.study)
        study.datasets["mnist"].methods["contrastive"] = settings
        return train.train(study, Run("mnist", "contrastive", 1), tmp_path / "other").facts["train_flops"]

    later = whole(replace(settings, early=UNSET))
    first = whole(replace(settings, early=UNSET, augmentation=settings.augmentation_of(True)))
    assert 3 * facts["train_flops"] == first + 2 * later and first < 0.95 * later


TUNED = Run("cifar10", "guided.finetuned.10pct", 1)


def test_fine_tuning_starts_from_the_encoder_of_the_other_run_with_a_new_head_and_sees_the_same_few_labels(
    runs: Runs, tmp_path: Path
) -> None:
    start, anew = runs.weights("contrastive", dataset="cifar10"), Run("cifar10", "guided.labels.10pct", 1)
    begun, fresh = train.prepare(runs.study, TUNED, CPU, start), train.prepare(runs.study, anew, CPU)
    encoder = state(runs.trained("contrastive", dataset="cifar10").model.encoder)
    assert same(state(begun.model.encoder), encoder)
    assert same(state(begun.model.head), state(build(runs.study, TUNED).head))
    assert begun.split.train.indices.tolist() == fresh.split.train.indices.tolist()
    assert len(begun.split.train.labels) == TRAIN // 6  # at least one in each of ten classes
    tuned = train.train(runs.study, TUNED, tmp_path / "checkpoint", start)
    assert not same(state(tuned.model.encoder), encoder)
    assert tuned.facts["start_sha256"] == record.sha256(start)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("method", "start"), [("split", "contrastive"), ("joint", "split")])
def test_on_a_gpu_a_training_starts_from_another_runs_networks_as_on_a_cpu(
    runs: Runs, method: str, start: str
) -> None:
    run, weights = Run("mnist", method, 1), runs.weights(start)
    here, there = (train.prepare(runs.study, run, torch.device(name), weights) for name in ("cpu", "cuda"))
    for name, value in here.model.state_dict().items():
        # principal components may come with the other sign
        one, other = value.float().abs(), there.model.state_dict()[name].float().abs().cpu()
        assert torch.allclose(one, other, rtol=1e-2, atol=1e-3), name


# the command


def arguments(path: Path, out: Path, method: str = "guided", dataset: str = "mnist") -> list[object]:
    run = ("--config", path, "--dataset", dataset, "--method", method, "--seed", 1)
    names = {"out": "w.safetensors", "record": "r.json", "curve": "c.csv", "timing": "t.json"}
    return [*run, *(part for option, name in names.items() for part in (f"--{option}", out / name))]


def test_the_command_writes_weights_record_curve_and_timing_the_same_bytes_each_time(
    runs: Runs, tmp_path: Path
) -> None:
    one, other = tmp_path / "a", tmp_path / "b"
    for folder in (one, other):
        call(train, *arguments(runs.config, folder))
        names = sorted(path.name for path in folder.iterdir())
        assert names == ["c.csv", "r.json", "t.json", "w.safetensors"]
    for name in ("c.csv", "r.json", "w.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    written = record.read_json(one / "r.json")
    assert written["weights_sha256"] == record.sha256(one / "w.safetensors")
    assert written["config"] == json.loads(json.dumps(runs.study.training(Run("mnist", "guided", 1))))
    facts = {"split_sha256", "data_sha256", "source_sha256", "versions", "device", "threads", "parameters"}
    assert facts | {"train_flops"} <= written.keys()
    assert (one / "c.csv").read_text().splitlines()[0] == "epoch,step,loss,val_loss,lr"
    model, *_ = load_model(one / "w.safetensors", runs.study)
    assert same(state(model), state(runs.trained("guided").model))


def test_the_command_fine_tunes_the_weights_that_it_is_given_and_those_of_no_other_run(
    runs: Runs, tmp_path: Path
) -> None:
    given = arguments(runs.config, tmp_path, TUNED.method, TUNED.dataset)
    start = runs.weights("contrastive", dataset="cifar10")
    for wrong, message in (
        ((), "starts from cifar10/contrastive/seed1, and --start names nothing; give the weights of"),
        (("--start", runs.weights("contrastive")), "holds mnist/contrastive/seed1, not cifar10/contrastive"),
    ):
        with pytest.raises(SystemExit, match=f"^error: .*{message}"):
            call(train, *given, *wrong)
    anew = arguments(runs.config, tmp_path)
    with pytest.raises(SystemExit, match=r"starts from no other run, and --start names .*safetensors; "):
        call(train, *anew, "--start", start)
    assert not [*tmp_path.iterdir()]
    call(train, *given, "--start", start)
    written = record.read_json(tmp_path / "r.json")
    assert written["start_sha256"] == record.sha256(start)
    begun = runs.study.training(Run("cifar10", "contrastive", 1))
    assert written["config"]["start"] == json.loads(json.dumps(begun))
    call(train, *anew, "--start")  # as the workflow does for a run that starts anew
    assert "start_sha256" not in record.read_json(tmp_path / "r.json")


@pytest.mark.parametrize(
    ("changes", "wrong", "message"),
    [
        ({"probe": {"knn-kk": 3}}, {}, "unknown field `knn-kk`"),
        ({}, {"dataset": "svhn"}, "data set 'svhn' is not in this study"),
        ({}, {"method": "simclr"}, "method 'simclr' is not in this study"),
        ({}, {}, r"mnist\.json: missing"),
        ({"threads": "many"}, {}, r"\$\.threads"),
    ],
)
def test_bad_input_ends_the_command_in_one_sentence_and_nothing_is_written(
    tmp_path: Path, changes: dict, wrong: dict, message: str
) -> None:
    path = write_config(tmp_path, **changes)  # there are no data beside it
    with pytest.raises(SystemExit, match=f"^error: .*{message}.*; ") as caught:
        call(train, *arguments(path, tmp_path / "out", **wrong))
    assert "\n" not in caught.value.code
    assert not (tmp_path / "out").exists()


def test_a_gpu_that_is_not_there_is_refused_by_key(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = "device: cuda is configured, but torch sees no GPU; set device: cpu or auto"
    with pytest.raises(Problem, match=message):
        device_of(replace(runs.study, device="cuda"))
