"""What several tests share: fresh copies of the checkout, and the demo, run once to its PDF (about four minutes)."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from latents.config import ROWS, Study
from latents.record import ROOT

COPIED = (
    "Makefile", "Snakefile", "README.md", "config", "figures", "paper", "profiles", "pyproject.toml", "reference", "requirements.lock", "src",
)  # fmt: skip
GENERATED = {"figures": (".pdf", ".png"), "paper": ("build", "generated", "paper.pdf")}
SNAKEMAKE = str(Path(sys.executable).parent / "snakemake")


def environment(folder: Path) -> dict[str, str]:
    """The environment of a user who has just cloned the checkout into folder: its code, none of this run's settings."""
    ours = ("LATENTS_", "SNAKEMAKE_", "MAKE", "MFLAGS")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {"PYTHONPATH": f"{folder}/src"}


def run(folder: Path, *command: str, timeout: float = 300, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a copy; stdout and stderr come together."""
    return subprocess.run(
        command, cwd=folder, env=environment(folder) | variables, timeout=timeout, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def copy_checkout(folder: Path) -> Path:
    """What a clone holds, without what runs have left in this checkout."""

    def left_out(path: str, names: list[str]) -> list[str]:
        place = Path(path).relative_to(ROOT).as_posix()
        return [name for name in names if name in ("__pycache__", "latents.egg-info") or name.endswith(GENERATED.get(place, ("\0",)))]

    folder.mkdir(parents=True)
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=left_out)
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, folder / name)
    return folder


def stub_reference(folder: Path, study: Study) -> None:
    """Empty files under every name that a finished run keeps: enough for a dry run."""
    shutil.rmtree(folder / "reference", ignore_errors=True)
    cells = [f"{dataset}/{name}/seed{seed}" for dataset, name, seed in study.cells()]
    judges = [f"{dataset}/{name}/seed{seed}" for dataset, name, seed in study.judges()]
    names = ["runs.csv", "summary.csv", "bench.json", "trials.json", *(f"timing/{cell}.train.json" for cell in cells + judges)]
    for cell in cells:
        names += [f"records/{cell}.json", f"pictures/{cell}.npz", f"curves/{cell}.csv", f"timing/{cell}.evaluate.json"]
    for dataset in study.datasets:
        names += [f"similarity/{dataset}.csv", *(f"tsne/{dataset}/{row}.{kind}" for row in ROWS for kind in ("csv", "json"))]
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
    done = run(folder, "make", "demo", "--old-file=.venv/made-from-lock", f"SNAKEMAKE={SNAKEMAKE}", timeout=1500)
    assert done.returncode == 0, done.stdout[-6000:]
    return folder, done.stdout


@pytest.fixture
def dry_run() -> Callable[..., dict[str, int]]:
    """dry_run(folder, *arguments): how many jobs of each rule Snakemake would start."""

    def jobs(folder: Path, *arguments: str) -> dict[str, int]:
        done = run(folder, SNAKEMAKE, "--cores", "2", "--dry-run", *arguments)
        assert done.returncode == 0, done.stdout[-3000:]
        table = done.stdout.rpartition("Job stats:")[2].partition("total")[0]
        lines = [line.split() for line in table.splitlines()]
        return {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdigit()}

    return jobs


@pytest.fixture(scope="session")
def cells(tmp_path_factory: pytest.TempPathFactory):  # noqa: ANN201
    """A tiny study: its data, and its cells, each trained when it is first asked for."""
    from tiny import Cells  # it imports torch, which most tests that share this file do not need

    return Cells(tmp_path_factory.mktemp("tiny"))
