"""Training: the same seed gives the same weights, wherever it was stopped; the rate follows the step; test is not read."""

import io
import itertools
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from made_up import call
from msgspec.structs import replace
from tiny import TRAIN, TRAINED, Cells, floats, same, state, write_config
from torch import Tensor, nn

from latents import loop, record, train
from latents.config import DATASETS, JUDGE, Problem
from latents.device import device_of
from latents.loop import fit, rate_at
from latents.model import Model, build, load_model
from latents.optimise import optimizers_for
from latents.report import plan
from latents.settings import Optimisation

SGD = Optimisation(epochs=3, batch_size=5, optimizer="sgd", learning_rate=0.4, weight_decay=0.0, warmup=0.25)
STEPS = 12  # of SGD over 20 items
CPU = torch.device("cpu")


def again(cells: Cells, run: str, checkpoint: Path, *, seed: int = 1, dataset: str = "mnist") -> tuple[Model, list[tuple]]:
    return train.train(cells.study, dataset, run, seed, checkpoint)[:2]


def equal(cells: Cells, run: str, model: Model, curve: list[tuple], dataset: str = "mnist") -> bool:
    """Whether model and curve are those of the cell that was trained in one go."""
    whole, expected, _ = cells.trained(run, 1, dataset)
    return same(state(model), state(whole)) and curve == expected


# the same seed, the same weights


@pytest.mark.parametrize(("dataset", "run"), [*(("mnist", run) for run in (*TRAINED, JUDGE)), ("cifar10", "guided")])
def test_the_same_seed_gives_the_same_weights_and_curve_bit_for_bit_and_another_seed_others(
    cells: Cells, tmp_path: Path, dataset: str, run: str
) -> None:
    torch.manual_seed(77)  # whatever the global state
    model, curve = again(cells, run, tmp_path / "checkpoint", dataset=dataset)
    assert equal(cells, run, model, curve, dataset)
    other, other_curve = again(cells, run, tmp_path / "other", seed=2, dataset=dataset)
    assert not same(state(other), state(model)) and other_curve != curve


def test_training_lowers_the_loss_and_says_so_in_the_curve(cells: Cells) -> None:
    for run in TRAINED:
        curve = cells.trained(run)[1]
        assert [row[:2] for row in curve] == [(1, 3), (2, 6), (3, 9)]
        if run != "autoencoder-plus":  # it starts as PCA, which nine steps do not improve on
            assert curve[-1][2] < curve[0][2]


def test_what_is_fitted_on_the_pixels_stays_as_it_was_fitted(cells: Cells) -> None:
    fitted = build(cells.study, "mnist", "guided", 1)
    images = train.data.load(cells.study, "mnist", with_test=False).train.images
    train.fit_to_pixels(fitted, None, torch.from_numpy(images))
    trained = cells.trained("guided")[0]
    for part in ("standardise", "whiten"):
        assert same(state(getattr(trained.encoder, part)), state(getattr(fitted.encoder, part)))
    assert not torch.equal(trained.encoder.to_code.layer.weight, fitted.encoder.to_code.layer.weight)


# resume


class Interruption(BaseException):
    """As a KeyboardInterrupt, and nobody else's."""


def stop_at(monkeypatch: pytest.MonkeyPatch, call_number: int) -> None:
    """Stop at this computation of the loss: the first is of the FLOP count, then come three steps and one validation an epoch."""
    calls, loss_of = iter(range(1, 1000)), train.loss_of

    def stopping(*arguments: object) -> Tensor:
        if next(calls) == call_number:
            raise Interruption
        return loss_of(*arguments)

    monkeypatch.setattr(train, "loss_of", stopping)


STOPS = {1: 0, 4: 0, 5: 0, 6: 1, 8: 1, 9: 1, 10: 2, 12: 2, 13: 2}  # computation -> epochs that are kept


@pytest.mark.parametrize(("run", "stop"), [*(("guided", stop) for stop in STOPS), *((run, stop) for run in TRAINED if run != "guided" for stop in (6, 12))])
def test_stopped_anywhere_and_resumed_a_cell_has_the_same_weights_and_curve(cells: Cells, tmp_path: Path, run: str, stop: int) -> None:
    cells.trained(run)  # what it is held against, before anything is counted
    checkpoint = tmp_path / "cell.checkpoint"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interruption):
        stop_at(patch, stop)
        again(cells, run, checkpoint)
    assert checkpoint.exists() == (STOPS[stop] > 0)
    computed = []
    with pytest.MonkeyPatch.context() as patch:
        loss_of = train.loss_of
        patch.setattr(train, "loss_of", lambda *arguments: computed.append(1) or loss_of(*arguments))
        assert equal(cells, run, *again(cells, run, checkpoint))
    assert len(computed) == 1 + 4 * (3 - STOPS[stop])  # what was done was not done again


@pytest.mark.parametrize("run", ["autoencoder-plus", "guided", "contrastive"])
def test_in_bfloat16_on_two_threads_the_same_seed_gives_the_same_weights_also_when_resumed(cells: Cells, tmp_path: Path, run: str) -> None:
    study = replace(cells.study, precision="bfloat16", threads=2)
    once, again = (train.train(study, "cifar10", run, 1, tmp_path / name)[:2] for name in ("once", "again"))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interruption):
        stop_at(patch, 8)
        train.train(study, "cifar10", run, 1, tmp_path / "resumed")
    resumed = train.train(study, "cifar10", run, 1, tmp_path / "resumed")[:2]
    for model, curve in (again, resumed):
        assert same(state(model), state(once[0])) and curve == once[1]
    assert not same(state(once[0]), state(cells.trained(run, 1, "cifar10")[0]))  # it is not float32 under another name


def test_a_resumed_training_counts_its_seconds_in_all_processes_and_the_preparation_of_the_last(
    cells: Cells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss_of = train.loss_of
    with monkeypatch.context() as patch, pytest.raises(Interruption):
        patch.setattr(train, "loss_of", lambda *arguments: time.sleep(0.5) or loss_of(*arguments))
        stop_at(patch, 8)
        again(cells, "guided", tmp_path / "checkpoint")
    started = time.perf_counter()
    parts = train.train(cells.study, "mnist", "guided", 1, tmp_path / "checkpoint")[3]
    last = time.perf_counter() - started
    assert parts["training"] > 4 * 0.5 and 0 < parts["preparing"] < last  # three steps and a validation were kept


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("stop", [1, 3, 4, 7, 12])  # computations: one for the count of FLOPs, then three steps and one validation an epoch
def test_at_a_signal_the_step_is_finished_kept_and_gone_on_from(
    cells: Cells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: signal.Signals, stop: int
) -> None:
    loss_of, computed, checkpoint = train.loss_of, [], tmp_path / "cell.checkpoint"
    cells.trained("contrastive")  # what it is held against, before anything is counted
    before = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]

    def signalled(*arguments: object) -> Tensor:
        computed.append(1)
        if len(computed) == stop + 1:
            os.kill(os.getpid(), kind)
        return loss_of(*arguments)

    monkeypatch.setattr(train, "loss_of", signalled)
    if stop < 12:
        with pytest.raises(SystemExit) as caught:
            again(cells, "contrastive", checkpoint)
        steps = stop - stop // 4
        assert caught.value.code == 128 + kind
        assert f"stopped by {kind.name} after step {steps} of 9; the same command goes on from there" in capsys.readouterr().err
    else:  # nothing is left to do: it ends as if there had been no signal
        assert equal(cells, "contrastive", *again(cells, "contrastive", checkpoint))
    assert equal(cells, "contrastive", *again(cells, "contrastive", checkpoint))
    assert len(computed) == 2 + 12  # FLOPs are counted in both processes, no step is computed twice
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == before


def test_stopped_while_a_checkpoint_is_written_the_one_before_is_used(cells: Cells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_file, replaced = os.replace, []

    def stopping(source: str, target: Path) -> None:
        replaced.append(target)
        if len(replaced) == 2:
            raise Interruption
        replace_file(source, target)

    checkpoint = tmp_path / "cell.checkpoint"
    monkeypatch.setattr(os, "replace", stopping)
    with pytest.raises(Interruption):
        again(cells, "guided", checkpoint)
    assert len(torch.load(io.BytesIO(checkpoint.read_bytes()[32:]), weights_only=True)["curve"]) == 1
    assert equal(cells, "guided", *again(cells, "guided", checkpoint))


def test_a_finished_cell_is_taken_from_its_checkpoint(cells: Cells, tmp_path: Path) -> None:
    again(cells, "guided", tmp_path / "checkpoint")
    assert equal(cells, "guided", *again(cells, "guided", tmp_path / "checkpoint"))


@pytest.mark.parametrize("content", [b"", b"broken", pickle.dumps({"identity": print}), "half", "one bit", "other seed", "other configuration"])
def test_a_broken_or_foreign_checkpoint_is_not_used_and_said_so(
    cells: Cells, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | str
) -> None:
    checkpoint = tmp_path / "cell.checkpoint"
    if isinstance(content, bytes):
        checkpoint.write_bytes(content)
    elif content == "other configuration":
        train.train(replace(cells.study, decoder=replace(cells.study.decoder, channels=6)), "mnist", "guided", 1, checkpoint)
    else:
        again(cells, "guided", checkpoint, seed=2 if content == "other seed" else 1)
    if content == "half":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-400])
    if content == "one bit":
        changed = bytearray(checkpoint.read_bytes())
        changed[len(changed) // 2] ^= 1
        checkpoint.write_bytes(changed)
    assert equal(cells, "guided", *again(cells, "guided", checkpoint))
    reason = "is of another configuration or source" if str(content).startswith("other") else "is damaged"
    assert capsys.readouterr().err == f"{checkpoint}: {reason}; training starts from the beginning\n"


def test_a_checkpoint_of_other_source_code_is_not_used(
    cells: Cells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    again(cells, "guided", tmp_path / "checkpoint", seed=1)
    monkeypatch.setattr(record, "source_sha256", lambda: "another")
    again(cells, "guided", tmp_path / "checkpoint", seed=1)
    assert "another configuration or source" in capsys.readouterr().err


# the schedule


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.25, 1.0])
@pytest.mark.parametrize("steps", [1, 12, 100])
def test_the_rate_rises_and_falls_in_straight_lines_and_ends_at_zero(steps: int, warmup: float) -> None:
    settings = replace(SGD, warmup=warmup)
    rates = torch.tensor([rate_at(step, steps, settings) for step in range(steps)])
    assert rates.min() > 0
    assert rate_at(steps, steps, settings) == 0
    peak = int(rates.argmax())
    assert abs(peak - warmup * steps) <= 1 and rates[peak] > 0.4 * (1 - 2 / steps)
    for part in (rates[: peak + 1], rates[peak + 1 :]):
        assert (part.diff().diff().abs() < 1e-6).all()


def test_the_rate_is_never_higher_than_the_configured_one() -> None:
    for warmup in (0.0, 0.1, 0.25, 0.3, 1.0):
        for steps in (1, 12, 37, 100):
            assert max(rate_at(step, steps, replace(SGD, warmup=warmup)) for step in range(steps)) <= 0.4 + 1e-12


@pytest.mark.parametrize("slope", [1.0, -1.0, 0.0])
def test_the_rate_depends_on_the_step_alone_whatever_the_loss_does(monkeypatch: pytest.MonkeyPatch, slope: float) -> None:
    module, made, rates = nn.Linear(1, 1), [], []
    monkeypatch.setattr(loop, "optimizers_for", lambda *arguments: made.extend(optimizers_for(*arguments)) or made)

    def loss(index: Tensor, _: torch.Generator) -> Tensor:
        rates.append(made[0].param_groups[0]["lr"])
        return 0 * module.weight.sum() + 100 + slope * len(rates)

    curve, _ = fit(loss, lambda _: slope * len(rates), module, SGD, 20, 1, CPU, name="test")
    assert rates == [rate_at(step, STEPS, SGD) for step in range(STEPS)]
    assert [row[4] for row in curve] == [rates[3], rates[7], rates[11]]


def test_a_linear_path_learns_at_its_share_of_the_rate(cells: Cells) -> None:
    model = build(cells.study, "mnist", "autoencoder-plus", 1)
    (optimizer,) = optimizers_for(model, SGD, 0.1)
    linear = {id(p) for part in (model.encoder, model.decoder) for p in part.linear.parameters()}
    shares = {id(p): group["share"] for group in optimizer.param_groups for p in group["params"]}
    assert {shares[place] for place in linear} == {0.1} and {share for place, share in shares.items() if place not in linear} == {1.0}
    assert len(shares) == sum(p.requires_grad for p in model.parameters())


def test_every_item_is_seen_once_an_epoch_in_an_order_of_its_own() -> None:
    module, seen = nn.Linear(1, 1), []

    def loss(index: Tensor, _: torch.Generator) -> Tensor:
        seen.append(index)
        return module.weight.sum()

    fit(loss, lambda _: 0.0, module, SGD, 20, 1, CPU, name="test")
    epochs = torch.cat(seen).view(3, 20)
    assert (epochs.sort(1).values == torch.arange(20)).all() and not torch.equal(epochs[0], epochs[1])


def test_a_curve_has_at_most_25_rows_each_the_mean_of_the_steps_since_the_one_before(tmp_path: Path) -> None:
    module, values, validated = nn.Linear(1, 1), iter(range(1000)), []

    def fitted(epochs: int) -> list[tuple]:
        settings = replace(SGD, epochs=epochs)
        return fit(lambda *_: module.weight.sum() * 0 + next(values), lambda _: validated.append(1) or 0.0, module, settings, 20, 1, CPU, name="test")[0]

    per_epoch = 20 // SGD.batch_size
    curve = fitted(52)  # a row every three epochs, and one at the end
    assert [row[0] for row in curve] == [*range(3, 52, 3), 52] and len(validated) == len(curve) == 18
    assert [row[1] for row in curve] == [row[0] * per_epoch for row in curve]
    ends = [0, *(row[1] for row in curve)]
    assert [row[2] for row in curve] == pytest.approx([(a + b - 1) / 2 for a, b in itertools.pairwise(ends)])
    assert [row[0] for row in fitted(25)] == list(range(1, 26))


def test_a_loss_that_is_not_finite_ends_the_training_in_one_sentence() -> None:
    module = nn.Linear(1, 1)
    with pytest.raises(Problem, match="mnist/x: the loss is not finite in epoch 1; lower its learning-rate"):
        fit(lambda *_: module.weight.sum() * torch.inf, lambda _: 0.0, module, SGD, 20, 1, CPU, name="mnist/x")


# what a cell is made of


def test_neither_training_nor_its_curve_reads_the_test_files_and_no_seed_moves_the_split(cells: Cells, tmp_path: Path) -> None:
    shutil.copytree(cells.folder / "data", tmp_path / "data")
    for name in ("MNIST/raw/t10k-images-idx3-ubyte", "MNIST/raw/t10k-labels-idx1-ubyte", "cifar-10-batches-py/test_batch"):
        (tmp_path / "data" / name).unlink()
    study = replace(cells.study, folder=f"{tmp_path}/")
    for dataset in DATASETS:
        facts = [train.train(study, dataset, "guided", seed, tmp_path / f"{dataset}{seed}")[2] for seed in (1, 2)]
        assert facts[0]["split_sha256"] == facts[1]["split_sha256"] and facts[0]["data_sha256"] == facts[1]["data_sha256"]


def test_the_flops_of_a_training_are_counted_and_leave_the_model_as_it_was(cells: Cells) -> None:
    model = build(cells.study, "mnist", "guided", 1)
    settings, images, before = cells.study.method("mnist", "guided"), floats("mnist", TRAIN), state(model)

    def loss(index: Tensor, random: torch.Generator) -> Tensor:
        return train.loss_of(model, settings, images[index], torch.zeros(len(index), dtype=torch.long), random)

    steps = settings.optimisation.epochs * TRAIN // settings.optimisation.batch_size
    assert steps * train.flops_of_step(model, loss, settings.optimisation, CPU, TRAIN) == cells.trained("guided")[2]["train_flops"] > 0
    assert same(state(model), before) and all(parameter.grad is None for parameter in model.parameters())
    assert [cells.trained(run)[2]["train_flops"] for run in ("pca", "random")] == [0, 0]


def test_the_plan_counts_the_operations_of_the_trainings_beforehand(cells: Cells) -> None:
    chosen = cells.study.datasets["cifar10"]
    study = replace(cells.study, datasets={"cifar10": replace(chosen, seeds=[1], sweeps={row: chosen.sweeps[row] for row in ("guided", "contrastive")})})
    trained = {run: cells.trained(run, seed, "cifar10")[2]["train_flops"] for _, run, seed in [*study.cells(), *study.judges()]}
    assert {"guided.labels.10pct", "contrastive.ablation.code-size-16"} < trained.keys()
    assert plan.operations(study) == pytest.approx(sum(trained.values()), rel=0.001)


# the command


def arguments(path: Path, out: Path, run: str = "guided", dataset: str = "mnist") -> list[object]:
    files = ("--out", out / "w.safetensors", "--record", out / "r.json", "--curve", out / "c.csv", "--timing", out / "t.json")
    return ["--config", path, "--dataset", dataset, "--run", run, "--seed", 1, *files]


def test_the_command_writes_weights_record_curve_and_timing_the_same_bytes_each_time(cells: Cells, tmp_path: Path) -> None:
    for name in ("a", "b"):
        call(train, *arguments(cells.config, tmp_path / name))
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["c.csv", "r.json", "t.json", "w.safetensors"]
    for name in ("c.csv", "r.json", "w.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    kept = record.read_json(tmp_path / "a/r.json")
    assert kept["weights_sha256"] == record.sha256(tmp_path / "a/w.safetensors")
    assert kept["config"] == json.loads(json.dumps(cells.study.training("mnist", "guided", 1)))
    assert {"split_sha256", "data_sha256", "source_sha256", "versions", "device", "threads", "parameters", "train_flops"} <= kept.keys()
    assert (tmp_path / "a/c.csv").read_text().splitlines()[0] == "epoch,step,loss,val_loss,lr"
    assert same(state(load_model(tmp_path / "a/w.safetensors", cells.study)[0]), state(cells.trained("guided")[0]))


@pytest.mark.parametrize(
    ("changes", "wrong", "message"),
    [({"probe": {"knn-kk": 3}}, {}, "unknown field `knn-kk`"), ({}, {"dataset": "svhn"}, "data set 'svhn' is not in this study"),
     ({}, {"run": "simclr"}, "run 'simclr' is not in this study"), ({}, {}, r"mnist\.json: missing"), ({"threads": "many"}, {}, r"\$\.threads")],
)  # fmt: skip
def test_bad_input_ends_the_command_in_one_sentence_and_nothing_is_written(tmp_path: Path, changes: dict, wrong: dict, message: str) -> None:
    path = write_config(tmp_path, **changes)  # there are no data beside it
    with pytest.raises(SystemExit, match=f"^error: .*{message}.*; ") as caught:
        call(train, *arguments(path, tmp_path / "out", **wrong))
    assert "\n" not in caught.value.code
    assert not (tmp_path / "out").exists()


def test_from_the_shell_bad_input_is_one_line_on_stderr_and_exit_status_1(tmp_path: Path) -> None:
    path = write_config(tmp_path, colour="blue")
    done = subprocess.run(
        [sys.executable, "-m", "latents.train", *map(str, arguments(path, tmp_path / "out"))], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"error: {path}: ") and "unknown field `colour`" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_gpu_that_is_not_there_is_refused_by_key(cells: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(Problem, match="device: cuda is configured, but torch sees no GPU; set device: cpu or auto"):
        device_of(replace(cells.study, device="cuda"))
