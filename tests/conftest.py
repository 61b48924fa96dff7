"""What several tests share: fresh copies of the checkout, and the demo, run once to its PDF (about four minutes)."""

import shutil
import subprocess
from pathlib import Path

import pytest

from latents.config import Study
from latents.faults.copies import SNAKEMAKE, copy_checkout, environment


def run(
    folder: Path, *command: str, timeout: float = 300, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a copy; stdout and stderr come together."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(folder, **variables),
        timeout=timeout,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def planned(folder: Path, *arguments: str) -> str:
    """What a dry run prints."""
    done = run(folder, SNAKEMAKE, "--dry-run", *arguments)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def counted(printed: str) -> dict[str, int]:
    """How many jobs of each rule Snakemake says that it starts."""
    table = printed.rpartition("Job stats:")[2].partition("total")[0]
    lines = [line.split() for line in table.splitlines()]
    return {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdigit()}


def stub_reference(folder: Path, study: Study) -> None:
    """Empty files under every name that a finished run keeps: enough for a dry run."""
    shutil.rmtree(folder / "reference", ignore_errors=True)
    runs, classifiers = study.runs(), study.reference_classifiers().values()
    names = ["runs.csv", "summary.csv", "bench.json", "fault_trials.json"]
    names += [f"timing/{one}.train.json" for one in [*runs, *classifiers]]
    for one in runs:
        names += [
            f"records/{one}.json",
            f"pictures/{one}.npz",
            f"curves/{one}.csv",
            f"timing/{one}.evaluate.json",
        ]
    for dataset in study.datasets:
        names += [f"similarity/{dataset}.csv"]
        names += [f"tsne/{dataset}/{method}.{kind}" for method in study.methods for kind in ("csv", "json")]
    (folder / "reference").mkdir()
    for name in ("study.yaml", "sweeps.yaml"):
        shutil.copy(folder / "config" / name, folder / "reference" / name)
    for name in names:
        path = folder / "reference" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh copy of the checkout."""
    return copy_checkout(tmp_path / "checkout")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy of the checkout in which `make demo` has run to its end, and what that printed."""
    folder = copy_checkout(tmp_path_factory.mktemp("demo") / "checkout")
    # the environment is the one that runs the tests: it is not made again
    done = run(
        folder, "make", "demo", "--old-file=.venv/made-from-lock", f"SNAKEMAKE={SNAKEMAKE}", timeout=1500
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return folder, done.stdout


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory):  # noqa: ANN201
    """A tiny study: its data, and its runs, each trained when it is first asked for."""
    from tiny import Runs  # it imports torch, which most tests that share this file do not need

    return Runs(tmp_path_factory.mktemp("tiny"))
