"""Checkpoints: stopped anywhere and resumed, a run ends the same; a broken or foreign one is not used."""

import io
import itertools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from tiny import TRAINED, Runs, same, state
from torch import Tensor

from latents import methods, record, train
from latents.checkpoint import Checkpoint
from latents.study import Run

# computations of the loss: one for the count of FLOPs, then three steps and one validation an epoch
STOPS = {5: 0, 6: 1, 12: 2}  # computation -> epochs that are saved
FLOP_COUNTS = {"contrastive": 2}  # losses for the count of FLOPs: its first epoch has other views


class Interruption(BaseException):
    """As a KeyboardInterrupt, and nobody else's."""


def before_each_loss(patch: pytest.MonkeyPatch, method: str, action: Callable[[], object]) -> None:
    """Call `action` before every computation of a method's loss."""
    network = methods.network(method)
    objective = network.objective

    def acting(*arguments: object) -> Tensor:
        action()
        return objective(*arguments)

    patch.setattr(network, "objective", acting)


def stop_at(patch: pytest.MonkeyPatch, method: str, computation: int) -> None:
    """Stop at this computation of the loss, counted from 1."""
    computations = itertools.count(1)

    def stop() -> None:
        if next(computations) == computation:
            raise Interruption

    before_each_loss(patch, method, stop)


# stopped and resumed


@pytest.mark.parametrize(
    ("method", "stop"),
    [
        *(("guided", stop) for stop in STOPS),
        *((method, 6) for method in TRAINED if method != "guided"),
    ],
)
def test_stopped_anywhere_and_resumed_a_run_has_the_same_weights_and_curve(
    runs: Runs, tmp_path: Path, method: str, stop: int
) -> None:
    runs.trained(method)  # what it is compared with, before anything is counted
    checkpoint = tmp_path / "run.checkpoint"
    counted = FLOP_COUNTS.get(method, 1)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interruption):
        stop_at(patch, method, stop + counted - 1)
        runs.again(method, checkpoint)
    assert checkpoint.exists() == (STOPS[stop] > 0)
    computed = []
    with pytest.MonkeyPatch.context() as patch:
        before_each_loss(patch, method, lambda: computed.append(1))
        assert runs.has(method, runs.again(method, checkpoint))
    assert len(computed) == counted + 4 * (3 - STOPS[stop])  # what was done was not done again


@pytest.mark.parametrize("method", ["autoencoder-plus", "guided", "contrastive"])
def test_in_bfloat16_on_two_threads_the_same_seed_gives_the_same_weights_also_when_resumed(
    runs: Runs, tmp_path: Path, method: str
) -> None:
    study, run = replace(runs.study, precision="bfloat16", threads=2), Run("cifar10", method, 1)
    once, again = (train.train(study, run, tmp_path / name) for name in ("once", "again"))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interruption):
        stop_at(patch, method, 8)
        train.train(study, run, tmp_path / "resumed")
    resumed = train.train(study, run, tmp_path / "resumed")
    for other in (again, resumed):
        assert same(state(other.model), state(once.model)) and other.curve == once.curve
    # it is not float32 under another name
    assert not same(state(once.model), state(runs.trained(method, 1, "cifar10").model))


def test_a_resumed_training_counts_its_seconds_in_all_processes_and_the_preparation_of_the_last(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(Interruption):
        before_each_loss(patch, "guided", lambda: time.sleep(0.5))
        stop_at(patch, "guided", 8)
        runs.again("guided", tmp_path / "checkpoint")
    started = time.perf_counter()
    seconds = runs.again("guided", tmp_path / "checkpoint").seconds
    last = time.perf_counter() - started
    # three steps and a validation were saved
    assert seconds["training"] > 4 * 0.5 and 0 < seconds["preparing"] < last


@pytest.mark.parametrize(
    ("kind", "stop"), [*((signal.SIGTERM, stop) for stop in (1, 3, 4, 7, 12)), (signal.SIGINT, 4)]
)
def test_at_a_signal_the_step_is_finished_saved_and_gone_on_from(
    runs: Runs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: signal.Signals,
    stop: int,
) -> None:
    computed, checkpoint = [], tmp_path / "run.checkpoint"
    runs.trained("contrastive")  # what it is compared with, before anything is counted
    before = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]

    def signalled() -> None:
        computed.append(1)
        if len(computed) == stop + FLOP_COUNTS["contrastive"]:
            os.kill(os.getpid(), kind)

    before_each_loss(monkeypatch, "contrastive", signalled)
    if stop < 12:
        with pytest.raises(SystemExit) as caught:
            runs.again("contrastive", checkpoint)
        assert caught.value.code == 128 + kind
        steps = stop - stop // 4
        message = f"stopped by {kind.name} after step {steps} of 9; the same command goes on from there"
        assert message in capsys.readouterr().err
    else:  # nothing is left to do: it ends as if there had been no signal
        assert runs.has("contrastive", runs.again("contrastive", checkpoint))
    assert runs.has("contrastive", runs.again("contrastive", checkpoint))
    # FLOPs are counted in both processes, no step is computed twice
    assert len(computed) == 2 * FLOP_COUNTS["contrastive"] + 12
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == before


def test_stopped_while_a_checkpoint_is_written_the_one_before_is_used(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_file, replaced = os.replace, []

    def stopping(source: str, target: Path) -> None:
        replaced.append(target)
        if len(replaced) == 2:
            raise Interruption
        replace_file(source, target)

    checkpoint = tmp_path / "run.checkpoint"
    monkeypatch.setattr(os, "replace", stopping)
    with pytest.raises(Interruption):
        runs.again("guided", checkpoint)
    content = io.BytesIO(checkpoint.read_bytes()[32:])
    assert len(torch.load(content, weights_only=True)["curve"]) == 1
    assert runs.has("guided", runs.again("guided", checkpoint))


# broken or foreign


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda _: b"", "is damaged"),
        (lambda _: b"broken", "is damaged"),
        (lambda content: content[:-400], "is damaged"),
        (lambda content: content[:-400] + bytes([content[-400] ^ 1]) + content[-399:], "is damaged"),
        (lambda content: content, "is of another configuration or source"),
    ],
    ids=["empty", "broken", "cut", "one bit", "another"],
)
def test_a_broken_or_foreign_checkpoint_is_not_read_and_the_reason_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[bytes], bytes], reason: str
) -> None:
    path, cpu = tmp_path / "run.checkpoint", torch.device("cpu")
    Checkpoint(path, "one").write({"weights": torch.ones(500)})
    assert torch.equal(Checkpoint(path, "one").read(cpu)["weights"], torch.ones(500))
    path.write_bytes(damage(path.read_bytes()))
    assert Checkpoint(path, "another").read(cpu) is None
    assert capsys.readouterr().err == f"{path}: {reason}; training starts from the beginning\n"


@pytest.mark.parametrize("other", ["seed", "configuration"])
def test_the_checkpoint_of_another_seed_or_configuration_is_not_used(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str], other: str
) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    if other == "seed":
        runs.again("guided", checkpoint, seed=2)
    else:
        study = replace(runs.study, decoder=replace(runs.study.decoder, channels=6))
        train.train(study, Run("mnist", "guided", 1), checkpoint)
    assert runs.has("guided", runs.again("guided", checkpoint))
    assert "is of another configuration or source" in capsys.readouterr().err


def test_a_checkpoint_of_other_source_code_is_not_used(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.again("guided", tmp_path / "checkpoint")
    monkeypatch.setattr(record, "source_sha256", lambda: "another")
    runs.again("guided", tmp_path / "checkpoint")
    assert "another configuration or source" in capsys.readouterr().err
