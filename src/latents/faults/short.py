"""A run of a shortened demo in a folder of its own: prepare, start and stop it, and compare its outputs."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import psutil
import yaml

from latents import record
from latents.cli import Problem
from latents.faults.copies import SNAKEMAKE, copy_checkout, environment

CONFIG = "config/short.yaml"
OUT = "demo"  # the folder of its outputs
NOT_COMPARED = ("logs", "results/timing", "paper/build")  # outputs that hold times or paths
PATIENCE = 30.0  # seconds after which the processes of a stopped run are killed


def shortened(plain: dict[str, Any]) -> dict[str, Any]:
    """The demo with one epoch for everything that is trained, and few points and pairs.

    Most of such a run's time goes to starting processes.
    """
    for dataset in plain["datasets"].values():
        settings = [dataset["reference-classifier"], *dataset["methods"].values()]
        for sweeps in dataset.get("sweeps", {}).values():
            for sweep in sweeps.values():
                settings += [sweep["base"], *sweep["variants"].values()]
        for one in settings:
            if "optimisation" in one:
                one["optimisation"] = one["optimisation"] | {"epochs": 1}
    plain["decoder"]["optimisation"]["epochs"] = plain["probe"]["mlp-epochs"] = 1
    plain["measurement"] |= {"pairs": 20, "tsne-points": 200, "silhouette-points": 200}
    return plain


def prepare(folder: Path) -> Path:
    """Copy the checkout to a new folder, with the configuration of the shortened demo; returns the folder."""
    copy_checkout(folder)
    plain = yaml.safe_load((folder / "config/demo.yaml").read_text(encoding="utf-8"))
    (folder / CONFIG).write_text(yaml.safe_dump(shortened(plain)), encoding="utf-8")
    return folder


class WorkflowRun:
    """A run of the workflow in a session of its own, so that a signal reaches all its processes at once.

    A signal to the process that started it therefore does not reach it: `with` it, which kills what is left.
    """

    def __init__(self, folder: Path, *targets: str, cores: int = 2, **changes: str) -> None:
        """Start Snakemake in the folder; `changes` are environment variables."""
        command = [SNAKEMAKE, "--cores", str(cores), *targets, "--config", f"study={CONFIG}"]
        self.log = folder / "run.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment(folder, **changes),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.send(0):
            self.stop(signal.SIGKILL)

    def locked(self) -> bool:
        """Whether the run goes on and has its lock, which no second run in the folder can have."""
        return self.process.poll() is None and any(self.log.parent.glob(".snakemake/locks/*"))

    def step(self) -> str:
        """The step that runs: train, evaluate, tsne, figures, paper and others; 'workflow' between two."""
        try:
            children = psutil.Process(self.process.pid).children(recursive=True)
            commands = [" ".join(process.cmdline()) for process in children]
        except psutil.Error:
            return "workflow"
        for command in commands:
            if "-m latents." in command:
                name = command.partition("-m latents.")[2].split()[0]
                return "figures" if ".figures." in name else name.rpartition(".")[2]
            if "latexmk" in command or "pdflatex" in command:
                return "paper"
        return "workflow"

    def stop(self, kind: signal.Signals) -> float:
        """Send a signal to all processes of the run; returns the seconds until none is left.

        Those that are left after PATIENCE seconds are killed.
        """
        started = time.perf_counter()
        self.send(kind)
        while self.send(0) and time.perf_counter() - started < PATIENCE:
            self.process.poll()
            time.sleep(0.02)
        seconds = time.perf_counter() - started
        self.send(signal.SIGKILL)
        self.process.wait()
        return seconds

    def send(self, kind: int) -> bool:
        """Send a signal, 0 for none; returns whether there was a process to receive it."""
        try:
            os.killpg(self.process.pid, kind)
        except ProcessLookupError:
            return False
        return True

    def end(self, timeout: float = 1800) -> str:
        """Wait for the end of the run; returns what it printed. Raises Problem when it failed."""
        if self.process.wait(timeout):
            folder, tail = self.log.parent, self.printed()[-1500:]
            raise Problem(f"the run of {folder} failed ({tail}); correct that and run again")
        return self.printed()

    def printed(self) -> str:
        """What the run has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def unlock(folder: Path) -> None:
    """Remove the lock that a killed Snakemake left in the folder."""
    command = [SNAKEMAKE, "--unlock", "--config", f"study={CONFIG}"]
    subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, check=True)


def outputs(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of every output of a run that is compared."""
    root = folder / OUT
    return {name: record.sha256(root / name) for name in compared(root)}


def compared(root: Path) -> Iterator[str]:
    """Names of the files below root, in order, without those that hold times or paths."""
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not name.startswith(NOT_COMPARED):
            yield name


def unlike(folder: Path, expected: dict[str, str], *, whole: bool = True) -> list[str]:
    """Names of the outputs that differ from those of the undisturbed run.

    Of a finished run (`whole`) also those that are missing; of an unfinished one without its checkpoints.
    """
    found = {name: sha for name, sha in outputs(folder).items() if whole or not name.endswith(".checkpoint")}
    missing = expected.keys() - found.keys() if whole else set()
    return sorted([name for name, sha in found.items() if expected.get(name) != sha] + list(missing))
