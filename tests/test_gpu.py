"""The check of a GPU, in the form that a CPU can run: what it measures, and that it notices what is wrong."""

import concurrent.futures
import contextlib
import os
import signal
import time
import timeit
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up import call
from msgspec.structs import replace
from tiny import Runs

from latents import augment, config, machine, record, train
from latents.bench import agreement, gpu, gpu_parts
from latents.checkpoint import stop_signals
from latents.cli import Problem
from latents.study import Run, Study

CPU = torch.device("cpu")
GUIDED = Run("mnist", "guided", 1)


@pytest.fixture
def small(runs: Runs) -> Study:
    """A study of MNIST alone."""
    return replace(runs.study, datasets={"mnist": runs.study.datasets["mnist"]})


@pytest.fixture
def check(runs: Runs, small: Study, tmp_path: Path) -> gpu_parts.Check:
    return gpu_parts.Check(runs.study, runs.study, small, CPU, tmp_path / "reference", tmp_path)


def test_a_training_is_the_same_again_and_after_a_signal_that_stopped_it(
    small: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, steps = train.prepare, []

    @contextlib.contextmanager
    def at_a_step(_: float) -> Iterator[None]:
        """The signal comes in the fourth step from now."""
        steps[:] = range(4)
        with signalled(60.0):
            yield

    def stopping(*arguments: Any) -> train.Prepared:
        prepared = prepare(*arguments)

        def objective(views: train.Views, labels: torch.Tensor) -> torch.Tensor:
            if steps and steps.pop() == 0:
                os.kill(os.getpid(), signal.SIGTERM)
            return prepared.objective(views, labels)

        return prepared._replace(objective=objective)

    signalled = agreement.signalled
    monkeypatch.setattr(agreement, "signalled", at_a_step)
    monkeypatch.setattr(train, "prepare", stopping)
    for name in ("guided", "autoencoder-plus"):
        found = agreement.same_bytes_of(small, Run("mnist", name, 1), CPU, tmp_path)
        assert found["again"] and found["stopped"] and found["resumed"] and found["differing"] == []
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_is_not_the_same_again_is_noticed_and_the_tensors_named(
    small: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = train.prepare

    def noisy(*arguments: Any) -> train.Prepared:
        prepared = prepare(*arguments)
        return prepared._replace(
            objective=lambda views, labels: prepared.objective(views, labels) * (1 + torch.rand(()))
        )

    monkeypatch.setattr(train, "prepare", noisy)
    found = agreement.same_bytes_of(small, GUIDED, CPU, tmp_path)
    assert not found["again"] and not found["resumed"]
    assert "encoder.blocks.1.0.weight" in found["differing"]


def test_the_signal_comes_in_its_time_and_is_taken_back_afterwards() -> None:
    with agreement.signalled(0.05), stop_signals() as caught:
        time.sleep(0.5)
    assert caught == [signal.SIGTERM]
    before = signal.getsignal(signal.SIGTERM)
    with agreement.signalled(0.3):
        os.kill(os.getpid(), signal.SIGTERM)  # ends nothing
    assert signal.getsignal(signal.SIGTERM) == before
    time.sleep(0.4)  # the one that was to come does not


def test_first_losses_are_those_of_the_cpu_and_other_weights_are_noticed(
    small: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = agreement.first_losses_of(small, GUIDED, CPU)
    assert found["cpu"] == found["gpu"] and len(found["cpu"]) == agreement.STEPS
    assert found["first"] == found["largest"] == 0 and found["within"]
    prepare, calls = train.prepare, []

    def scaled(*arguments: Any) -> train.Prepared:
        prepared = prepare(*arguments)
        calls.append(prepared)
        if len(calls) == 2:
            with torch.no_grad():
                prepared.model.head[1].weight.mul_(1.01)
        return prepared

    monkeypatch.setattr(train, "prepare", scaled)
    found = agreement.first_losses_of(small, GUIDED, CPU)
    assert found["first"] > agreement.FIRST and not found["within"]


def test_small_trainings_are_compared_with_seeds_on_the_cpu(
    small: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "kinds", lambda _: [GUIDED])
    monkeypatch.setattr(agreement, "SEEDS", (1, 2))
    numbers, kept = agreement.numbers, []

    def keep(values: list[tuple[Run, dict[str, float]]]) -> dict[tuple, dict[int, float]]:
        kept.append(numbers(values))
        return kept[-1]

    monkeypatch.setattr(agreement, "numbers", keep)
    found = agreement.seeds_explain(small)
    # the same processor and precision: the first seed's own numbers are among those of the CPU
    assert found["compared"] > 10 and found["off"] == []
    assert {one["metric"] for one in found["numbers"]} == {"accuracy_linear", "accuracy_head", "mae"}
    own, cpu = kept
    worse = {key: {seed: value + 1000 for seed, value in seeds.items()} for key, seeds in own.items()}
    threads, made = concurrent.futures.ThreadPoolExecutor, iter([worse, cpu])
    monkeypatch.setattr(concurrent.futures, "ProcessPoolExecutor", lambda cores, _: threads(cores))
    monkeypatch.setattr(agreement, "measured", lambda *_: {})  # nothing is trained again
    monkeypatch.setattr(agreement, "numbers", lambda _: next(made))
    assert len(agreement.seeds_explain(small)["off"]) > 10


def test_small_trainings_are_those_of_the_study_with_fewer_images_and_epochs(runs: Runs) -> None:
    many = replace(
        runs.study, datasets={name: replace(one, train=70) for name, one in runs.study.datasets.items()}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agreement, "IMAGES", 50)
        made = agreement.shrunk(many)
    for dataset in made.datasets.values():
        assert dataset.train == 50 and dataset.sweeps == {}
        assert dataset.methods["guided"].optimisation.epochs == agreement.EPOCHS
        assert dataset.reference_classifier.optimisation.epochs == agreement.EPOCHS
    anew = [method for method in runs.study.trained_methods if not runs.study.start(Run("mnist", method, 1))]
    assert len(agreement.kinds(made)) == 2 * len(anew)


def test_a_whole_training_is_measured_on_val_beside_the_committed_runs(check: gpu_parts.Check) -> None:
    metrics = [
        {"metric": "mae", "split": split, "value": value} for split, value in (("val", 0.5), ("test", 0.9))
    ]
    path = check.reference / f"records/{GUIDED}.json"
    record.write_json(path, {"format": record.FORMAT, "metrics": metrics})
    found = gpu_parts.whole(check, check.study, GUIDED)
    assert found["val_of_committed_runs"]["mae"] == [0.5]
    assert 0 < found["val"]["mae"] < 1 and 0 <= found["val"]["accuracy_head"] <= 100
    assert found["seconds"]["training"] > 0 and found["seconds"]["evaluation, probe"] > 0
    assert found["peak_gpu_bytes"] is None and found["train_flops"] > 0


def test_slower_views_lengthen_the_data_of_a_step_and_no_other_part(
    check: gpu_parts.Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_parts, "seconds_of", lambda call, _: timeit.timeit(call, number=3) / 3)
    before, view = gpu_parts.speed_of(check, check.study, GUIDED), augment.view

    def slow(*arguments: Any) -> torch.Tensor:
        time.sleep(0.2)
        return view(*arguments)

    monkeypatch.setattr(augment, "view", slow)
    after = gpu_parts.speed_of(check, check.study, GUIDED)
    grown = {name: after["parts"][name] - before["parts"][name] for name in before["parts"]}
    assert grown["data"] > 0.1
    assert all(abs(grown[name]) < 0.1 for name in ("forward", "backward", "optimizer", "host")), grown
    assert after["images_per_second"] < before["batch"] / 0.2


def test_the_seconds_of_a_call_are_a_median_after_a_warm_up() -> None:
    calls = []

    def call() -> None:
        calls.append(time.sleep(0.3 if not calls else 0.02))

    assert 0.015 < gpu_parts.seconds_of(call, CPU, least=0.04) < 0.1
    assert len(calls) >= 2 + 3


def test_the_peaks_are_of_every_convolution_in_both_precisions_and_of_copying(
    check: gpu_parts.Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_parts, "CONVOLUTIONS", [(4, 8, 8, 64)])

    def half_a_second(call: Callable[[], Any], _: torch.device) -> float:
        call()
        return 0.5

    monkeypatch.setattr(gpu_parts, "seconds_of", half_a_second)
    found = gpu_parts.peaks(check)
    expected = 3 * 2 * 9 * 4 * 8 * 64 * 2 / 0.5  # of two images, on a CPU
    assert found["convolutions"] == {"float32 4 8 8 2": expected, "bfloat16 4 8 8 2": expected}
    assert found["bytes_per_second"] == 2 * gpu_parts.COPY / 64 / 0.5


def test_training_jobs_run_alone_and_at_once_and_a_failed_one_is_told(
    check: gpu_parts.Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    class Process:
        def __init__(self, path: Path, seed: int, files: dict[str, str]) -> None:
            assert config.read(path) == check.study
            started.append(seed)
            self.seed = seed
            record.write_json(files["timing"], train.timing({"training": float(seed)}))

        def wait(self) -> int:
            started.append(-self.seed)
            return int(self.seed == failing)

    failing = None
    monkeypatch.setattr(gpu_parts, "train_job", Process)
    found = gpu_parts.jobs(check)
    assert started == [1, -1, 1, 2, 3, -1, -2, -3]
    assert [one["training"] for one in found[str(gpu_parts.JOBS)]["parts"]] == [1.0, 2.0, 3.0]
    failing, started[:] = 2, []
    with pytest.raises(Problem, match="a training job failed"):
        gpu_parts.jobs(check)
    assert started[-3:] == [-1, -2, -3]  # all were waited for


def test_the_check_goes_on_after_a_part_that_failed_and_is_whole_the_next_time(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    whole = {"seconds": {"training": 8.5}, "val": {"accuracy_best": 93.0}, "val_of_committed_runs": {}}
    fine = {
        "contrastive": whole,
        "large_guided": whole,
        "same_bytes": {
            "a": {"again": True, "stopped": True, "resumed": True},
            "b": {"again": True, "stopped": False, "resumed": True},
        },
        "first_losses": {"a": {"within": True}},
        "seeds_explain": {"off": [], "compared": 7},
        "peaks": {"convolutions": {"x": 2e12}},
        "speed": {
            "tiny": {"a": {"images_per_second": 9.0, "flops_per_second": 1e12, "peak_gpu_bytes": None}}
        },
        "jobs": {"1": {"seconds": 20.0}, str(gpu_parts.JOBS): {"seconds": 35.0}},
    }
    asked = []

    def part(name: str) -> Any:
        return lambda _: asked.append(name) or fine[name]

    def broken(_: gpu_parts.Check) -> dict:
        raise RuntimeError("no deterministic implementation")

    monkeypatch.setattr(machine.measure, "__defaults__", (0.0,))
    monkeypatch.setattr(gpu, "PARTS", {"guided": broken} | {name: part(name) for name in fine})
    options = [f"--{name}={runs.config}" for name in ("config", "large", "small")]
    options += ["--reference", tmp_path, "--device", "cpu", "--out", tmp_path / "gpu.json"]
    with pytest.raises(SystemExit) as stopped:
        call(gpu, *options)
    assert stopped.value.code == "error: guided: failed, see above; the same command tries again"
    assert "no deterministic implementation" in capsys.readouterr().err
    assert asked == list(fine)
    monkeypatch.setattr(gpu, "PARTS", {"guided": lambda _: whole} | {name: part(name) for name in fine})
    call(gpu, *options)
    assert asked == list(fine)  # only what was missing was measured
    printed = capsys.readouterr().out
    assert "guided: trained in 8.5 s; better probe on val 93.0 %" in printed
    assert "same bytes again, and after a stop: 2 of 2 kinds of training" in printed
    assert "ended before they could be stopped: b" in printed
    assert "tiny a: 9 images/s, 50 % of the fastest convolution" in printed
    made = record.read_json(tmp_path / "gpu.json")
    assert made["guided"] == whole and made["device"] == "cpu" and made["rates"]
    bad = {
        "same_bytes": {"a": {"again": False, "stopped": True, "resumed": True}},
        "first_losses": {"b": {"within": False}},
        "seeds_explain": {"off": ["x"], "compared": 7},
    }
    record.write_json(tmp_path / "gpu.json", made | bad)
    with pytest.raises(SystemExit) as stopped:
        call(gpu, *options)
    said = (
        "other bytes: a; other first losses than on the CPU: b; 1 numbers are off by more than seeds explain"
    )
    assert stopped.value.code == f"error: {said}"


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_without_a_gpu_the_check_says_so_in_one_sentence(runs: Runs, tmp_path: Path) -> None:
    options = [f"--{name}={runs.config}" for name in ("config", "large", "small")]
    with pytest.raises(SystemExit) as stopped:
        call(gpu, *options, "--reference", tmp_path, "--out", tmp_path / "gpu.json")
    assert str(stopped.value.code).startswith("error: device: cuda is configured, but torch sees no GPU")
    assert not (tmp_path / "gpu.json").exists()
