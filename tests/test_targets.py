"""The study's targets: each is compared with a summary, and printed as reached or missed."""

from pathlib import Path

import pytest
from made_up import call

from latents.plain import load_yaml
from latents.record import ROOT, write_csv
from latents.report import targets
from latents.report.summarize import SUMMARY, Estimate


def summary(folder: Path, *lines: tuple) -> Path:
    """summary.csv of (method, metric, mean, low, high) on MNIST's test images."""
    path = folder / "summary.csv"
    found = [("mnist", method, metric, "test", *numbers, 3, "") for method, metric, *numbers in lines]
    write_csv(path, SUMMARY, found)
    return path


def outcome(capsys: pytest.CaptureFixture[str], folder: Path, content: str, *lines: tuple) -> tuple[int, str]:
    (folder / "targets.yaml").write_text(content)
    with pytest.raises(SystemExit) as ended:
        call(targets, "--targets", folder / "targets.yaml", "--summary", summary(folder, *lines))
    return ended.value.code, capsys.readouterr().out


ALONE, LEAST = "{at-least: 98}", "{at-least: 98, published: 97.5}"
MOST = "{at-most: 0.009, published: 0.0116}"


@pytest.mark.parametrize(
    ("target", "numbers", "code", "printed"),
    [
        (ALONE, (98.0, "", ""), 0, "holds"),
        (ALONE, (97.9, 97.0, 99.0), 1, "FALLS SHORT"),
        (LEAST, (98.5, 97.6, 99.4), 0, "holds; beyond the published 97.5"),
        (LEAST, (98.5, 97.5, 99.5), 1, "FALLS SHORT; not shown to be beyond the published 97.5"),
        (MOST, (0.0089, 0.0080, 0.0115), 0, "holds; beyond"),
        (MOST, (0.0091, 0.0090, 0.0092), 1, "FALLS SHORT; beyond"),
        (LEAST, (98.5, "", ""), 1, "FALLS SHORT; not shown to be beyond"),
    ],
)
def test_a_target_is_reached_by_the_mean_and_by_the_near_end_of_its_interval(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, target: str, numbers: tuple, code: int, printed: str
) -> None:
    found, out = outcome(capsys, tmp_path, f"mnist/guided/x: {target}", ("guided", "x", *numbers))
    assert found == code and printed in out and out.startswith("mnist/guided/x")


@pytest.mark.parametrize("name", ["mnist/guided/y", "mnist/guided", "guided"])
def test_a_target_of_what_was_not_measured_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    code, _ = outcome(capsys, tmp_path, f"{name}: {{at-least: 1}}", ("guided", "x", 1.0, "", ""))
    assert f"targets.yaml: {name}: not in " in code


def test_a_target_of_a_method_that_the_run_does_not_have_is_printed_as_not_measured(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    targets = "mnist/split/mae: {at-most: 0.01}\nmnist/guided/x: {at-least: 1}"
    code, out = outcome(capsys, tmp_path, targets, ("guided", "x", 1.0, "", ""))
    first, second = out.splitlines()
    assert code == 0 and first.startswith("mnist/split/mae") and first.endswith("not measured")
    assert second.endswith("holds")
    for name in ("mnist/splitt/mae", "mnst/split/mae", "mnist/split", "mnist/split.size.x/mae"):
        code, _ = outcome(capsys, tmp_path, f"{name}: {{at-most: 1}}", ("guided", "x", 1.0, "", ""))
        assert f"targets.yaml: {name}: not in " in code


@pytest.mark.parametrize("target", ["{}", "{at-least: 1, at-most: 2}", "{atleast: 1}"])
def test_a_target_without_one_limit_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, target: str
) -> None:
    code, _ = outcome(capsys, tmp_path, f"mnist/guided/x: {target}", ("guided", "x", 1.0, "", ""))
    assert "targets.yaml: " in code


def test_a_file_without_targets_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _ = outcome(capsys, tmp_path, "{}", ("guided", "x", 1.0, "", ""))
    assert "targets.yaml: " in code


def test_a_target_holds_at_its_limit_and_not_for_a_number_that_was_not_measured() -> None:
    least, most = targets.Target(at_least=3.0), targets.Target(at_most=6.0)
    assert [least.holds(value) for value in (2.9, 3.0, None)] == [False, True, False]
    assert [most.holds(value) for value in (6.0, 6.1, None)] == [True, False, False]
    assert least.passes(Estimate(7, 6, 8, 3, "")) is None  # nothing is published to pass


def test_every_shipped_target_is_of_a_number_in_the_committed_summary_or_of_a_method_that_it_lacks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        call(targets, "--targets", ROOT / "config/targets.yaml", "--summary", ROOT / "reference/summary.csv")
    assert ended.value.code in (0, 1)
    assert len(capsys.readouterr().out.splitlines()) == len(load_yaml(ROOT / "config/targets.yaml"))
