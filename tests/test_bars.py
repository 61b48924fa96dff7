"""The study's bars: each is held against the committed kind of summary, and says which way it fell."""

from pathlib import Path

import pytest
from made_up import call

from latents.record import ROOT
from latents.report import bars, summarize
from latents.report.summarize import SUMMARY, Estimate


def summary(folder: Path, *lines: tuple) -> Path:
    """summary.csv of (row, metric, mean, low, high) on MNIST's test images."""
    path = folder / "summary.csv"
    summarize.write_csv(path, SUMMARY, [("mnist", row, metric, "test", mean, low, high, 3, "") for row, metric, mean, low, high in lines])
    return path


def outcome(capsys: pytest.CaptureFixture[str], folder: Path, content: str, *lines: tuple) -> tuple[int, str]:
    (folder / "bars.yaml").write_text(content)
    with pytest.raises(SystemExit) as ended:
        call(bars, "--bars", folder / "bars.yaml", "--summary", summary(folder, *lines))
    return ended.value.code, capsys.readouterr().out


@pytest.mark.parametrize(
    ("bar", "line", "code", "said"),
    [
        ("{at-least: 98}", ("guided", "x", 98.0, "", ""), 0, "holds"),
        ("{at-least: 98}", ("guided", "x", 97.9, 97.0, 99.0), 1, "FALLS SHORT"),
        ("{at-least: 98, published: 97.5}", ("guided", "x", 98.5, 97.6, 99.4), 0, "holds; beyond the published 97.5"),
        ("{at-least: 98, published: 97.5}", ("guided", "x", 98.5, 97.5, 99.5), 1, "FALLS SHORT; not shown to be beyond the published 97.5"),
        ("{at-most: 0.009, published: 0.0116}", ("guided", "x", 0.0089, 0.0080, 0.0115), 0, "holds; beyond"),
        ("{at-most: 0.009, published: 0.0116}", ("guided", "x", 0.0091, 0.0090, 0.0092), 1, "FALLS SHORT; beyond"),
        ("{at-least: 98, published: 97.5}", ("guided", "x", 98.5, "", ""), 1, "FALLS SHORT; not shown to be beyond"),
    ],
)
def test_a_bar_says_whether_mean_and_near_end_reach_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, bar: str, line: tuple, code: int, said: str
) -> None:
    found, out = outcome(capsys, tmp_path, f"mnist/guided/x: {bar}", line)
    assert found == code and said in out and out.startswith("mnist/guided/x")


@pytest.mark.parametrize("name", ["mnist/guided/y", "mnist/guided", "guided"])
def test_a_bar_of_what_was_not_measured_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    code, _ = outcome(capsys, tmp_path, f"{name}: {{at-least: 1}}", ("guided", "x", 1.0, "", ""))
    assert f"bars.yaml: {name}: not in " in code


@pytest.mark.parametrize("bar", ["{}", "{at-least: 1, at-most: 2}", "{atleast: 1}"])
def test_a_bar_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, bar: str) -> None:
    assert "bars.yaml: " in outcome(capsys, tmp_path, f"mnist/guided/x: {bar}", ("guided", "x", 1.0, "", ""))[0]


def test_bars_hold_at_their_edge_and_not_of_a_number_that_was_not_reached() -> None:
    least, most = bars.Bar(at_least=3.0), bars.Bar(at_most=6.0)
    assert [least.holds(value) for value in (2.9, 3.0, None)] == [False, True, False]
    assert [most.holds(value) for value in (6.0, 6.1, None)] == [True, False, False]
    assert least.passes(Estimate(7, 6, 8, 3, "")) is None  # nothing is published to pass


def test_every_shipped_bar_is_of_the_committed_summary(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call(bars, "--bars", ROOT / "config/bars.yaml", "--summary", ROOT / "reference/summary.csv")
    assert ended.value.code in (0, 1) and len(capsys.readouterr().out.splitlines()) == 9
