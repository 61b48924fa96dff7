"""The table of tuning effort: what is known of each method, in words and numbers, and faults of its file."""

from pathlib import Path

import pytest

from latents import config
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.record import ROOT
from latents.report import tuning

EFFORT = "cifar10: {guided: {tries: 5, timed: 2, seconds: 5400, varied: rate & decay}}"


def written(folder: Path, content: str) -> Path:
    path = folder / "tuning.yaml"
    path.write_text(content)
    return path


def lines(efforts: tuning.Efforts) -> list[list[str]]:
    """The cells of every line of the table, of the whole study."""
    table = tuning.tuning_table(config.read(ROOT / "config/study.yaml"), efforts)
    return [line.removesuffix(r" \\").split(" & ") for line in table.splitlines() if " & " in line]


def test_a_line_has_tries_hours_and_words_and_dashes_where_nothing_is_known(tmp_path: Path) -> None:
    found = lines(tuning.read(written(tmp_path, EFFORT)))
    assert [r"Guided\textdagger{}", "5", "2", "1.5", r"rate \& decay"] in found
    assert ["VAE", "--", "--", "--", "--"] in found


def test_tries_of_which_none_was_timed_have_no_hours(tmp_path: Path) -> None:
    content = "mnist: {vae: {tries: 3, varied: beta}}"
    assert ["VAE", "3", "0", "--", "beta"] in lines(tuning.read(written(tmp_path, content)))


def test_the_shipped_file_says_something_of_every_trained_method_on_every_data_set() -> None:
    study, efforts = config.read(ROOT / "config/study.yaml"), tuning.read(ROOT / "paper/tuning.yaml")
    assert {name: set(methods) for name, methods in efforts.items()} == {
        name: set(study.trained_methods) for name in DATASETS
    }


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("cifar10: {guidet: {tries: 1, varied: rate}}", "cifar10: guidet is not known; known are pca, "),
        ("svhn: {}", "svhn: svhn is not known; known are mnist, cifar10"),
        (EFFORT.replace("timed: 2", "timed: 6"), "6 of 5 tries took 5400 seconds"),
        (EFFORT.replace("seconds: 5400", "seconds: 0"), "2 of 5 tries took 0 seconds"),
        (EFFORT.replace("tries: 5, ", ""), "missing required field `tries`"),
    ],
)
def test_a_fault_of_the_file_is_refused_by_name(tmp_path: Path, content: str, fault: str) -> None:
    with pytest.raises(Problem, match=r"tuning\.yaml: ") as caught:
        tuning.read(written(tmp_path, content))
    assert fault in str(caught.value)
