"""What several tests share: copies of the checkout, and the demo, run once to its PDF (four minutes)."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # before torch and numpy

import pytest
from filelock import FileLock

from latents import config
from latents.faults.copies import SNAKEMAKE, copy_checkout, environment
from latents.record import ROOT
from latents.study import Study

STUDY, DEMO = "config/study.yaml", "config/demo.yaml"
MAKE_IN_COPY = (
    "--old-file=.venv/made-from-lock",
    f"SNAKEMAKE={SNAKEMAKE}",
)  # the environment is not made again


def text(name: str | Path) -> str:
    """A file of the checkout."""
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def shipped_study() -> Study:
    """The study that ships, which no test changes."""
    return config.read(ROOT / STUDY)


def run(
    folder: Path, *command: str, timeout: float = 900, **variables: str
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


planned_once = cache(planned)  # for copies that no test changes: several tests read the same plan


def counted(printed: str) -> dict[str, int]:
    """How many jobs of each rule Snakemake says that it starts."""
    table = printed.rpartition("Job stats:")[2].partition("total")[0]
    lines = [line.split() for line in table.splitlines()]
    return {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdigit()}


def stub_reference(folder: Path, study: Study) -> None:
    """Empty files under every name that a finished run keeps: enough for a dry run."""
    shutil.rmtree(folder / "reference", ignore_errors=True)
    runs, classifiers = study.runs(), study.reference_classifiers().values()
    names = ["runs.csv", "summary.csv", "bench/cpu.json", "fault_trials.json"]
    names += [f"timing/{one}.train.json" for one in [*runs, *classifiers]]
    for one in runs:
        names += [
            f"records/{one}.json",
            f"pictures/{one}.npz",
            f"curves/{one}.csv",
            f"timing/{one}.evaluate.json",
        ]
    for dataset in study.datasets:
        names += [f"similarity/{dataset}.csv", f"yardsticks/{dataset}.json"]
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
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh copy of the checkout, which no test changes."""
    return copy_checkout(tmp_path_factory.mktemp("clone") / "checkout")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with the names of a finished run in its reference/, and a study of one's own."""
    folder = copy_checkout(tmp_path_factory.mktemp("finished") / "checkout")
    stub_reference(folder, shipped_study())
    mine = text(STUDY).replace("study: study", "study: mine").replace('folder: ""', "folder: mine/")
    (folder / "config/mine.yaml").write_text(mine)
    return folder


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy of the checkout in which `make demo` has run to its end, and what that printed.

    It ran for a user whose TeX and matplotlib have settings of their own, and whose variables are empty; once
    for all processes that share the tests.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "demo"
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            run_demo(shared)
    printed = (shared / "printed.txt").read_text(encoding="utf-8")
    assert "The demo is done" in printed, printed[-6000:]
    return shared / "checkout", printed


def run_demo(shared: Path) -> None:
    """Run the demo in shared/checkout, and keep what it prints."""
    home = shared / "home"
    home.mkdir(parents=True)
    (home / ".latexmkrc").write_text('$out_dir = "out";\n$preview_continuous_mode = 1;\n')
    (home / "matplotlibrc").write_text("axes.facecolor: black\ntext.usetex: True\nfont.size: 30\n")
    own = {"HOME": str(home), "MATPLOTLIBRC": str(home / "matplotlibrc"), "MPLBACKEND": "nonsense"}
    folder = copy_checkout(shared / "checkout")
    done = run(folder, "make", "demo", *MAKE_IN_COPY, timeout=3000, **own)
    (shared / "printed.txt").write_text(done.stdout, encoding="utf-8")


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory):
    """A tiny study: its data, and its runs, each trained when it is first asked for."""
    from tiny import Runs  # it imports torch, which most tests that share this file do not need

    return Runs(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up study, results, summary and tables, which no test changes."""
    from made_up import plain_study, prepare, report

    return report(prepare(tmp_path_factory.mktemp("whole"), plain_study()))


@pytest.fixture
def spoilt(whole: Path, tmp_path: Path) -> Path:
    """A copy for a test to spoil."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))
