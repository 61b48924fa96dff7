"""Fault trials: a few faults here, as `make fault-trials` injects many; and a difference would be found."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from made_up import call

from latents import record
from latents.faults import __main__ as fault_trials
from latents.faults.__main__ import GRACE, ODD, held, holds
from latents.faults.copies import environment
from latents.faults.disturb import PATIENCE, elsewhere, refuses
from latents.faults.short import WorkflowRun, outputs, prepare, unlike, unlock

TARGETS = (
    "demo/results/records/mnist/guided/seed1.json",
    "demo/results/tsne/mnist/guided.csv",
    "demo/figures/speed.pdf",
)


def wait_until(happened: Callable[[], object]) -> None:
    """Wait for what takes seconds, however much else the machine does."""
    started = time.monotonic()
    while not happened():
        assert time.monotonic() - started < PATIENCE
        time.sleep(0.05)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bool]:
    """A run of a few targets of the shortened demo on two cores that nothing disturbed.

    And whether a second run in its folder was refused.
    """
    folder = prepare(tmp_path_factory.mktemp("trials") / "whole")
    with WorkflowRun(folder, *TARGETS) as run:
        refused = refuses(folder, run)
        run.end()
    return folder, refused


def test_killed_and_stopped_on_one_core_in_an_odd_folder_a_run_ends_with_the_bytes_of_an_undisturbed_one(
    undisturbed: tuple[Path, bool], tmp_path: Path
) -> None:
    expected = outputs(undisturbed[0])
    odd = prepare(tmp_path / ODD)
    stopped = []
    for kind, step in ((signal.SIGKILL, "train"), (signal.SIGTERM, "evaluate")):
        with WorkflowRun(odd, *TARGETS, cores=1, **elsewhere(odd)) as run:
            wait_until(lambda: run.step() == step or run.process.poll() is not None)
            if run.process.poll() is None:
                run.stop(kind)
                stopped.append(kind)
                unlock(odd)
    with WorkflowRun(odd, *TARGETS, cores=1, **elsewhere(odd)) as run:
        run.end()
    assert stopped
    assert unlike(odd, expected) == []
    assert len(expected) >= 20


def test_a_second_run_in_the_same_folder_is_refused(undisturbed: tuple[Path, bool]) -> None:
    assert undisturbed[1]


def test_no_user_not_even_root_can_make_the_home_folder_of_a_run_without_one(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        Path(elsewhere(tmp_path)["HOME"]).mkdir(parents=True, exist_ok=True)


def members(session: int) -> list[psutil.Process]:
    """The processes of a session that have not ended."""
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            if process.info["status"] != psutil.STATUS_ZOMBIE and os.getsid(process.pid) == session:
                found.append(process)
        except ProcessLookupError:
            continue
    return found


def in_a_job(process: psutil.Process) -> int:
    """The session of the run that fault trials have started, once it is at a job; 0 before."""
    try:
        below = process.children(recursive=True)
        jobs = [one for one in below if "latents.train" in one.cmdline()]
        return os.getsid(jobs[0].pid) if jobs else 0
    except (psutil.Error, ProcessLookupError):
        return 0


def test_fault_trials_that_are_stopped_leave_no_process_and_no_copy(tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    command = [sys.executable, "-m", "latents.faults", "--out", tmp_path / "t.json"]
    process = subprocess.Popen(
        [*command, "--folder", tmp_path / "copies"],
        env=environment(record.ROOT),
        stderr=subprocess.PIPE,
        text=True,
    )
    sessions: list[int] = []
    try:
        started = psutil.Process(process.pid)
        wait_until(lambda: sessions.append(in_a_job(started)) or sessions[-1] or process.poll() is not None)
        session = sessions[-1]
        assert session and members(session) and session != os.getsid(process.pid)
        process.terminate()
        _, printed = process.communicate(timeout=PATIENCE)
        assert members(session) == [] and [*(tmp_path / "copies").iterdir()] == []
        assert process.returncode == 128 + signal.SIGTERM
        assert printed == "stopped by SIGTERM; the same command goes on\n"
    finally:
        process.kill()
        for left in members(sessions[-1]) if sessions and sessions[-1] else ():
            left.kill()


def test_ctrl_c_ends_fault_trials_as_sigterm_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fault_trials, "run_trials", lambda _: os.kill(os.getpid(), signal.SIGINT))
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background may ignore it
    try:
        with pytest.raises(SystemExit, match="130"):
            call(fault_trials, "--out", tmp_path / "t.json")
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
    assert capsys.readouterr().err == "stopped by SIGINT; the same command goes on\n"


def test_a_changed_and_a_missing_output_are_found_and_times_and_logs_are_not_compared(
    undisturbed: tuple[Path, bool], tmp_path: Path
) -> None:
    expected, folder = outputs(undisturbed[0]), tmp_path / "copy"
    shutil.copytree(undisturbed[0] / "demo", folder / "demo")
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


def test_trials_that_held_are_not_repeated_while_code_and_processor_are_the_same(tmp_path: Path) -> None:
    made = {"format": record.FORMAT, "outputs": 3, "source_sha256": "a", "workflow_sha256": "w"}
    made["processor"] = "b"
    trials = {"odd": {"holds": True}, "stop": {"holds": False}}
    path = tmp_path / "fault_trials.json"
    assert held(path, made) == {}
    record.write_json(path, made | {"trials": trials})
    assert held(path, made) == {"odd": {"holds": True}}
    for change in ({"source_sha256": "c"}, {"workflow_sha256": "c"}, {"processor": "c"}, {"outputs": 4}):
        assert held(path, made | change) == {}
    record.write_json(path, {"format": record.FORMAT})  # not a record of trials
    assert held(path, made) == {}
