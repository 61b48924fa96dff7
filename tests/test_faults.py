"""Fault trials: a few faults here, as `make fault-trials` injects many; and a difference would be found."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from latents import record
from latents.faults.__main__ import GRACE, ODD, held, holds
from latents.faults.copies import environment
from latents.faults.short import WorkflowRun, outputs, prepare, unlike, unlock

TARGETS = (
    "demo/results/records/mnist/guided/seed1.json",
    "demo/results/tsne/mnist/pca.csv",
    "demo/figures/speed.pdf",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few targets of the shortened demo that nothing disturbed, on two cores."""
    folder = prepare(tmp_path_factory.mktemp("trials") / "whole")
    WorkflowRun(folder, *TARGETS).end(300)
    return folder


def test_killed_and_stopped_on_one_core_in_an_odd_folder_a_run_ends_with_the_bytes_of_an_undisturbed_one(
    whole: Path, tmp_path: Path
) -> None:
    odd = prepare(tmp_path / ODD)
    surroundings = {"TZ": "Asia/Kathmandu", "HOME": "/nowhere", "LANG": "", "LC_ALL": ""}
    stopped = []
    for kind, seconds in ((signal.SIGKILL, 6.0), (signal.SIGTERM, 10.0)):
        run = WorkflowRun(odd, *TARGETS, cores=1, **surroundings)
        try:
            run.process.wait(seconds)
            break  # it ended before the fault
        except subprocess.TimeoutExpired:
            stopped.append(run.step())
            assert run.stop(kind) <= GRACE, (kind, stopped)
            unlock(odd)
    WorkflowRun(odd, *TARGETS, cores=1, **surroundings).end(300)
    assert stopped
    assert unlike(odd, outputs(whole)) == []
    assert len(outputs(whole)) > 20


def test_a_second_run_in_the_same_folder_is_refused(whole: Path, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "twice")
    first = WorkflowRun(folder, *TARGETS)
    for _ in range(200):  # until the first has its lock
        if list(folder.glob(".snakemake/locks/*")):
            break
        time.sleep(0.1)
    done = subprocess.run(
        first.process.args,
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0 and "cannot be locked" in done.stdout + done.stderr
    first.stop(signal.SIGKILL)


def test_a_changed_and_a_missing_output_are_found_and_times_and_logs_are_not_compared(
    whole: Path, tmp_path: Path
) -> None:
    expected, folder = outputs(whole), tmp_path / "copy"
    shutil.copytree(whole / "demo", folder / "demo")
    (folder / "demo/results/timing/mnist/guided/seed1.train.json").write_text("other times")
    assert unlike(folder, expected) == []
    curve = folder / "demo/results/curves/mnist/guided/seed1.csv"
    curve.write_text(curve.read_text().replace("epoch", "Epoch"))
    (folder / "demo/figures/speed.pdf").unlink()
    assert unlike(folder, expected) == ["figures/speed.pdf", "results/curves/mnist/guided/seed1.csv"]
    (folder / "demo/checkpoints/mnist").mkdir(parents=True, exist_ok=True)
    (folder / "demo/checkpoints/mnist/on-its-way.checkpoint").write_text("whole, but not an output")
    assert unlike(folder, expected, whole=False) == ["results/curves/mnist/guided/seed1.csv"]
    assert "checkpoints/mnist/on-its-way.checkpoint" in unlike(folder, expected)


def test_a_trial_holds_when_no_output_differs_all_messages_were_printed_and_the_run_ended_in_time() -> None:
    assert holds({"count": 3, "unlike": []})
    assert holds({"count": 3, "said": 3, "unlike": [], "slowest": GRACE})
    assert not holds({"count": 3, "unlike": ["x"]})
    assert not holds({"count": 3, "said": 2, "unlike": []})
    assert not holds({"count": 3, "unlike": [], "slowest": GRACE + 0.1})


def test_trials_that_held_are_not_repeated_while_source_and_processor_are_the_same(tmp_path: Path) -> None:
    made = {"format": record.FORMAT, "outputs": 3, "source_sha256": "a", "processor": "b"}
    trials = {"odd": {"holds": True}, "stop": {"holds": False}}
    path = tmp_path / "fault_trials.json"
    assert held(path, made) == {}
    record.write_json(path, made | {"trials": trials})
    assert held(path, made) == {"odd": {"holds": True}}
    for change in ({"source_sha256": "c"}, {"processor": "c"}, {"outputs": 4}):
        assert held(path, made | change) == {}
