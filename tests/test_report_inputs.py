"""Every command of the report names a missing, broken or foreign input in one line, and writes nothing."""

import contextlib
import csv
import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from made_up import call, inputs, plain_study

from latents import config, record
from latents.report.figures import FIGURES, figure_inputs, figure_targets

README = "".join(
    f"<!-- {name}: written by `make reference` -->\n<!-- end of {name} -->\n"
    for name in ("results", "methods")
)
CLAIM = {"dataset": "cifar10", "metric": "mae", "more": "guided", "less": "pca"}
FOREIGN = {  # suffix -> a whole file of that kind which holds something else
    ".json": lambda path: record.write_json(path, {"format": record.FORMAT, "other": [1]}),
    ".csv": lambda path: path.write_text("a,b\n1,2\n"),
    ".npz": lambda path: np.savez(path, other=np.zeros(3)),
    ".yaml": lambda path: path.write_text("other: 1\n"),
    ".tex": lambda path: path.write_text("no table\n"),
    ".md": lambda path: path.write_text("no marks\n"),
}


def cut(path: Path) -> None:
    """Leave the first half, up to the middle of a line."""
    content, mark = path.read_bytes(), b":" if path.suffix == ".yaml" else b","
    path.write_bytes(content[: max(content.rfind(mark, 0, len(content) // 2), len(content) // 3)])


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "not text": lambda path: path.write_bytes(b"\xff\x00\xfe" * 40),
    "truncated": cut,
    "foreign": lambda path: FOREIGN[path.suffix](path),
    "a folder": replace_by_folder,
}


class Command(NamedTuple):
    """A command of the report: its module, its options (paths begin with ./), and the files that it reads."""

    module: str
    options: str
    reads: tuple[str, ...]


RECORD, TIMING = "results/records/cifar10/guided/seed1.json", "results/timing/mnist/guided/seed1.train.json"
SUMMARY, RUNS = "results/summary.csv", "results/runs.csv"
STUDY = "--config ./study.yaml --results ./results"
COMMANDS = {
    "summarize": Command(
        "summarize",
        f"{STUDY} --out-runs ./out/r.csv --out-summary ./out/s.csv",
        (
            *("study.yaml", RECORD, "results/tsne/mnist/pca.json", "results/tsne/mnist/pca.csv"),
            *("results/curves/mnist/guided/seed1.csv", "results/pictures/mnist/guided/seed1.npz"),
        ),
    ),
    "tables": Command(
        "tables",
        f"{STUDY} --out ./out",
        ("study.yaml", SUMMARY, RECORD, TIMING, "results/similarity/mnist.csv"),
    ),
    "claims": Command(
        "claims",
        f"{STUDY} --claims ./claims.yaml --out ./out/c.tex --table ./out/t.tex --record ./out/c.json",
        ("study.yaml", "claims.yaml", RECORD),
    ),
    "speed": Command("speed", "--bench ./results/bench/cpu.json --out ./out", ("results/bench/cpu.json",)),
    "faults": Command(
        "faults",
        "--trials ./results/fault_trials.json --out ./out/f.tex",
        ("results/fault_trials.json",),
    ),
    "page": Command(
        "page", "--table ./generated/table_cost.tex --out ./out/p.html", ("generated/table_cost.tex",)
    ),
    "gallery": Command(
        "gallery",
        "--config ./study.yaml --reference ./results --readme ./README.md --out ./out/g.md "
        "--results-page ./out/r.md",
        ("study.yaml", "README.md", SUMMARY, RECORD, "results/bench/cpu.json"),
    ),
    "targets": Command(
        "targets", "--targets ./targets.yaml --summary ./results/summary.csv", ("targets.yaml", SUMMARY)
    ),
    "verify": Command(
        "verify",
        f"{STUDY} --reference ./published --out ./out/v.json --report ./out/v.md",
        ("study.yaml", RUNS, SUMMARY, "published/runs.csv", "published/summary.csv"),
    ),
    "verdict": Command("verify", "--verdict ./verify.json", ("verify.json",)),
    "refusal": Command("verify", STUDY, ("study.yaml", RECORD)),
    "provenance": Command(
        "provenance",
        f"{STUDY} --paper ./paper.pdf --out ./out/p.json",
        ("study.yaml", RECORD, "results/yardsticks/cifar10.json"),
    ),
}


def figure_commands() -> dict[str, Command]:
    """Every figure's script, with the first file of each kind that it reads."""
    study = config.from_plain("study", plain_study())
    found = {}
    for script, spec in FIGURES.items():
        which = "--dataset cifar10" if spec.per_dataset else ""
        reads = figure_inputs(study, script, "cifar10" if spec.per_dataset else None)
        kinds = {Path(name).suffix: f"results/{name.replace('*', 'cpu')}" for name in reads[::-1]}
        options = f"{STUDY} {which} --out ./out/{script}.pdf"
        found[script] = Command(f"figures.{script}", options, tuple(kinds.values()))
    return found


ALL = COMMANDS | figure_commands()
EXCEPT = {("refusal", RECORD, "missing")}  # nothing that a run would overwrite


@pytest.fixture(scope="module")
def folder(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All inputs of every command, whole."""
    folder = Path(shutil.copytree(whole, tmp_path_factory.mktemp("inputs") / "whole"))
    (folder / "README.md").write_text(README)
    (folder / "paper.pdf").write_bytes(b"%PDF")
    settings = {"level": 0.05, "resamples": 100, "seed": 1, "claims": {"one": CLAIM}}
    (folder / "claims.yaml").write_text(json.dumps(settings))
    (folder / "targets.yaml").write_text(json.dumps({"mnist/guided/mae": {"at-most": 1.0}}))
    for target in figure_targets(config.read(folder / "study.yaml")):
        record.write_bytes(folder / f"results/figures/{target.name}.png", b"")
    shutil.copytree(folder / "results", folder / "published")
    compared = ("--reference", folder / "published", "--out", folder / "verify.json")
    call(module_of("verify"), *inputs(folder), *compared, "--report", folder / "verify.md")
    return folder


@contextlib.contextmanager
def damaged(path: Path, damage: Callable[[Path], object]) -> Iterator[None]:
    """A file that is damaged, and whole again at the end."""
    content = path.read_bytes()
    try:
        damage(path)
        yield
    finally:
        if path.is_dir():
            path.rmdir()
        path.write_bytes(content)


def module_of(name: str) -> object:
    return importlib.import_module(f"latents.report.{name}")


def options_of(command: Command, folder: Path) -> list[str]:
    return [f"{folder}{one[1:]}" if one.startswith("./") else one for one in command.options.split()]


CASES = [
    (name, path, damage)
    for name, command in ALL.items()
    for path in command.reads
    for damage in DAMAGES
    if (name, path, damage) not in EXCEPT
]


@pytest.mark.parametrize(("name", "path", "damage"), CASES)
def test_a_bad_input_is_named_in_one_line_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, path: str, damage: str
) -> None:
    command, out = ALL[name], folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    readme = (folder / "README.md").read_bytes()
    with damaged(folder / path, DAMAGES[damage]), pytest.raises(SystemExit) as ended:
        call(module_of(command.module), *options_of(command, folder))
    message = ended.value.code
    assert isinstance(message, str) and message.startswith("error: ") and "\n" not in message
    assert str(folder / path) in message or str((folder / path).with_suffix("")) in message
    assert "; " in message  # what to do
    assert not out.exists() and (folder / "README.md").read_bytes() == readme
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", COMMANDS)  # test_figures.py draws the figures
def test_with_whole_inputs_each_of_these_commands_does_its_work(folder: Path, name: str) -> None:
    command, out = COMMANDS[name], folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    readme = (folder / "README.md").read_text()
    with contextlib.suppress(SystemExit) if name in ("targets", "verdict") else contextlib.nullcontext():
        call(module_of(command.module), *options_of(command, folder))
    (folder / "README.md").write_text(readme)
    assert out.exists() == ("/out" in command.options)


def test_a_bad_input_ends_a_command_with_status_1_and_one_line_on_stderr(folder: Path) -> None:
    command = COMMANDS["speed"]
    program = [sys.executable, "-m", f"latents.report.{command.module}", *options_of(command, folder)]
    with damaged(folder / "results/bench/cpu.json", DAMAGES["foreign"]):
        done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(
        f"error: {folder}/results/bench/cpu.json: not the record that belongs there"
    )


SWAPPED = {  # of one method in another's place: the figure or step that reads it, and what it says
    "pictures/mnist/{}/seed1.npz": ("figures.reconstructions", "not the file that its record describes"),
    "records/mnist/{}/seed1.json": ("figures.reconstructions", "is the record of another run"),
    "tsne/mnist/{}.csv": ("figures.tsne", "not the file that its record describes"),
}


@pytest.mark.parametrize("name", SWAPPED)
def test_no_figure_shows_one_methods_results_under_anothers_name(
    folder: Path, tmp_path: Path, name: str
) -> None:
    script, said = SWAPPED[name]
    other, out = folder / "results" / name.format("supcon"), tmp_path / "out.pdf"
    with (
        damaged(folder / "results" / name.format("guided"), partial(shutil.copy, other)),
        pytest.raises(SystemExit, match=f"^error: .*guided.*{said}"),
    ):
        call(module_of(script), *inputs(folder), "--dataset", "mnist", "--out", out)
    assert not out.exists()


def test_a_t_sne_of_another_methods_codes_is_refused(folder: Path, tmp_path: Path) -> None:
    said = r"guided\.json: is the t-SNE of other codes than those of mnist/guided"
    tsne, out = folder / "results/tsne/mnist", tmp_path / "out.pdf"
    with (
        damaged(tsne / "guided.csv", partial(shutil.copy, tsne / "supcon.csv")),
        damaged(tsne / "guided.json", partial(shutil.copy, tsne / "supcon.json")),
        pytest.raises(SystemExit, match=said),
    ):
        call(module_of("figures.tsne"), *inputs(folder), "--dataset", "mnist", "--out", out)
    assert not out.exists()


@pytest.mark.parametrize("column", ["mean", "ci95_high"])
def test_a_summary_that_was_edited_is_refused_by_the_tables(
    folder: Path, tmp_path: Path, column: str
) -> None:
    def edit(path: Path) -> None:
        with path.open(newline="") as file:
            lines = list(csv.DictReader(file))
        edited = next(line for line in lines if line["metric"] == "accuracy_mlp" and line["ci95_high"])
        edited[column] = repr(float(edited[column]) + 0.3)
        record.write_csv(path, list(lines[0]), [list(line.values()) for line in lines])

    said = r"summary\.csv: .*accuracy_mlp.* is not that of the records"
    with damaged(folder / SUMMARY, edit), pytest.raises(SystemExit, match=said):
        call(module_of("tables"), *inputs(folder), "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
