"""A shortened demo in a folder of its own: copied from the checkout, started, struck, and compared byte by byte."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import yaml

from latents import record
from latents.config import Problem
from latents.trials.copies import SNAKEMAKE, copy_checkout, environment

CONFIG = "config/short.yaml"
OUT = "demo"  # where its outputs go
APART = ("logs", "results/timing", "paper/build")  # of them, what holds times or paths


def shortened(plain: dict) -> dict:
    """The demo with one epoch for everything, and few points and pairs: a run that is mostly starts of processes."""
    for dataset in plain["datasets"].values():
        settings = [dataset["judge"], *dataset["methods"].values()]
        settings += [one for sweeps in dataset.get("sweeps", {}).values() for sweep in sweeps.values() for one in (sweep["base"], *sweep["variants"].values())]
        for one in settings:
            if "optimisation" in one:
                one["optimisation"] = one["optimisation"] | {"epochs": 1}
    plain["decoder"]["optimisation"]["epochs"] = plain["probe"]["mlp-epochs"] = 1
    plain["measurement"] |= {"pairs": 20, "tsne-points": 200, "silhouette-points": 200}
    return plain


def prepare(folder: Path) -> Path:
    """A copy of the checkout with the shortened demo in it."""
    copy_checkout(folder)
    plain = yaml.safe_load((folder / "config/demo.yaml").read_text(encoding="utf-8"))
    (folder / CONFIG).write_text(yaml.safe_dump(shortened(plain)), encoding="utf-8")
    return folder


class Run:
    """A run of the workflow in its own session, so that all of it can be struck at once."""

    def __init__(self, folder: Path, *targets: str, cores: int = 2, **changes: str) -> None:
        command = [SNAKEMAKE, "--cores", str(cores), *targets, "--config", f"study={CONFIG}"]
        self.log = folder / "run.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=environment(folder, **changes), stdout=log, stderr=log, start_new_session=True)

    def running(self) -> str:
        """The step that is under way: train, evaluate, tsne, figures, ...; 'workflow' between two."""
        try:
            commands = [" ".join(process.cmdline()) for process in psutil.Process(self.process.pid).children(recursive=True)]
        except psutil.Error:
            return "workflow"
        for command in commands:
            if "-m latents." in command:
                name = command.partition("-m latents.")[2].split()[0]
                return "figures" if ".figures." in name else name.rpartition(".")[2]
            if "latexmk" in command or "pdflatex" in command:
                return "paper"
        return "workflow"

    def strike(self, kind: signal.Signals) -> float:
        """Send a signal to all of its processes; seconds until none is left (30 at most, then they are killed)."""
        started = time.perf_counter()
        self.send(kind)
        while self.send(0) and time.perf_counter() - started < 30:
            self.process.poll()
            time.sleep(0.02)
        seconds = time.perf_counter() - started
        self.send(signal.SIGKILL)
        self.process.wait()
        return seconds

    def send(self, kind: int) -> bool:
        """Whether there was a process left to send it to."""
        try:
            os.killpg(self.process.pid, kind)
        except ProcessLookupError:
            return False
        return True

    def end(self, timeout: float = 1800) -> str:
        """Wait for its end; returns what it printed. Raises Problem when it failed."""
        if self.process.wait(timeout):
            raise Problem(f"the run of {self.log.parent} failed ({self.printed()[-1500:]}); mend that and run again")
        return self.printed()

    def printed(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


def unlock(folder: Path) -> None:
    subprocess.run([SNAKEMAKE, "--unlock", "--config", f"study={CONFIG}"], cwd=folder, env=environment(folder), capture_output=True, check=True)


def outputs(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of all that a run leaves, but for what holds times or paths."""
    root = folder / OUT
    return {name: record.sha256(root / name) for name in names(root)}


def names(root: Path) -> Iterator[str]:
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not name.startswith(APART):
            yield name


def unlike(folder: Path, expected: dict[str, str], *, whole: bool = True) -> list[str]:
    """Outputs that are not the undisturbed run's; of a whole run also what is missing, of another not the checkpoints on the way."""
    found = {name: sha256 for name, sha256 in outputs(folder).items() if whole or not name.endswith(".checkpoint")}
    missing = expected.keys() - found.keys() if whole else set()
    return sorted([name for name, sha256 in found.items() if expected.get(name) != sha256] + list(missing))
