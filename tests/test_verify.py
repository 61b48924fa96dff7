"""Replay: each number bitwise, within or off; what was run otherwise, and what was changed by hand, is named as what it is."""

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import yaml
from made_up import call, inputs, plain_study, prepare, summarise
from scipy.stats import t

from latents import config, record
from latents.report import verify

UNITS = {"accuracy_best": "percent", "mae": "pixel range", "silhouette": ""}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, and the same as the published one beside it."""
    folder = prepare(tmp_path_factory.mktemp("verify"), plain_study())
    summarise(folder)
    shutil.copytree(folder / "results", folder / "reference")
    return folder


@pytest.fixture
def spoilt(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def compared(folder: Path, *more: str) -> dict:
    call(verify, *inputs(folder), "--reference", folder / "reference", "--out", folder / "v.json", "--report", folder / "v.md", *more)
    return record.read_json(folder / "v.json")


def change(folder: Path, cell: str, **values: object) -> None:
    path = folder / f"records/{cell}.json"
    record.write_json(path, record.read_json(path) | values)


def with_metric(folder: Path, cell: str, metric: str, shift: float) -> None:
    """Another value of a metric on test, in the record and in all that derives from it."""
    metrics = record.read_json(folder / f"results/records/{cell}.json")["metrics"]
    for one in metrics:
        if (one["metric"], one["split"]) == (metric, "test"):
            one["value"] += shift
    change(folder / "results", cell, metrics=metrics)
    summarise(folder)


def verdict(found: dict, *key: str) -> dict:
    (one,) = [one for one in found["numbers"] if (one["dataset"], one["method"], one["metric"], one["split"]) == key]
    return one


def test_the_same_run_is_bitwise_and_the_exit_status_says_so(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = compared(whole)
    assert (found["level"], found["short_of_the_next"], found["faults"], found["differences"]) == ("bitwise", [], [], [])
    assert found["verdicts"] == {"bitwise": len(found["numbers"])} and len(found["numbers"]) > 400
    assert set(found["made_alike"].values()) == {found["cells"]} == {len(config.read(whole / "study.yaml").cells())}
    with pytest.raises(SystemExit) as caught:
        call(verify, "--verdict", whole / "v.json")
    assert caught.value.code == 0 and capsys.readouterr().out.strip() == (whole / "v.md").read_text().strip()


def test_results_of_other_settings_are_refused_before_a_run_would_overwrite_them(spoilt: Path) -> None:
    call(verify, *inputs(spoilt))
    plain = yaml.safe_load((spoilt / "study.yaml").read_text())
    plain["datasets"]["cifar10"]["methods"]["guided"]["label-smoothing"] = 0.2
    (spoilt / "study.yaml").write_text(yaml.safe_dump(plain))
    with pytest.raises(SystemExit, match=r"results/records/cifar10/guided/seed1\.json: not of the committed run's study"):
        call(verify, *inputs(spoilt))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("train/mnist/guided/seed1", lambda study: study.training("mnist", "guided", 1)),  # a training that no evaluation followed
        ("train/mnist/judge/seed8001", lambda study: study.training("mnist", "judge", 8001)),
        ("records/mnist/guided/seed9", None),  # a seed more
    ],
)
def test_a_training_a_judge_and_a_cell_more_are_refused_too(spoilt: Path, name: str, settings: Callable | None) -> None:
    path = spoilt / f"results/{name}.json"
    made = {"format": record.FORMAT, "config_sha256": "0" * 64}
    if settings:
        record.write_json(path, made | {"config_sha256": record.config_sha256(settings(config.read(spoilt / "study.yaml")))})
        call(verify, *inputs(spoilt))
    record.write_json(path, made)
    with pytest.raises(SystemExit, match=rf"{name}\.json: not of the committed run's study"):
        call(verify, *inputs(spoilt))


def test_a_changed_metric_is_off_and_the_run_fails(spoilt: Path) -> None:
    for seed in (1, 2, 3):
        with_metric(spoilt, f"mnist/guided/seed{seed}", "accuracy_best", -3.0)
    found = compared(spoilt)
    assert verdict(found, "mnist", "guided", "accuracy_best", "test")["verdict"] == "off"
    assert found["level"] == "none" and found["verdicts"]["off"] == 1 and found["short_of_the_next"] == ["1 numbers are off"]
    assert "| mnist    | guided           | accuracy_best | test " in (spoilt / "v.md").read_text()
    with pytest.raises(SystemExit) as caught:
        call(verify, "--verdict", spoilt / "v.json")
    assert caught.value.code == 1


def test_a_seed_that_diverged_is_off_and_makes_no_other_row_within(spoilt: Path) -> None:
    with_metric(spoilt, "mnist/guided/seed2", "accuracy_best", -60.0)
    found = compared(spoilt)
    assert verdict(found, "mnist", "guided", "accuracy_best", "test")["verdict"] == "off"
    assert verdict(found, "mnist", "contrastive", "accuracy_best", "test")["allowed"] < 2


def test_a_change_that_seeds_explain_is_within_and_one_that_no_seed_explains_needs_its_digits(spoilt: Path) -> None:
    with_metric(spoilt, "mnist/guided/seed2", "accuracy_best", -0.4)
    found = compared(spoilt)
    assert verdict(found, "mnist", "guided", "accuracy_best", "test")["verdict"] == "within"
    assert found["level"] == "statistical" and found["short_of_the_next"] == ["1 numbers are printed otherwise"]
    # no row of CIFAR-10 has two seeds here: the printed digits decide
    with_metric(spoilt, "cifar10/guided/seed1", "mae", 1e-9)
    assert verdict(compared(spoilt), "cifar10", "guided", "mae", "test")["verdict"] == "within"
    with_metric(spoilt, "cifar10/guided/seed1", "mae", 0.001)
    assert verdict(compared(spoilt), "cifar10", "guided", "mae", "test")["verdict"] == "off"


def test_variants_of_sweeps_are_judged_and_pca_by_what_other_rows_seeds_do(spoilt: Path) -> None:
    with_metric(spoilt, "cifar10/autoencoder-plus.ablation.full/seed1", "mae", 0.01)
    assert verdict(compared(spoilt), "cifar10", "autoencoder-plus.ablation.full", "mae", "test")["verdict"] == "off"
    with_metric(spoilt, "mnist/pca/seed1", "accuracy_best", 0.05)
    assert verdict(compared(spoilt), "mnist", "pca", "accuracy_best", "test")["verdict"] == "within"


def test_the_trustworthiness_of_one_embedding_is_shown_and_not_judged(spoilt: Path) -> None:
    path = spoilt / "results/tsne/mnist/pca.json"
    record.write_json(path, record.read_json(path) | {"trustworthiness": 0.5})
    summarise(spoilt)
    found = compared(spoilt)
    assert verdict(found, "mnist", "pca", "tsne_trustworthiness", "test")["verdict"] == "shown" and found["level"] == "statistical"


def test_numbers_equal_as_printed_are_numerical_and_what_keeps_them_from_bitwise_is_said(spoilt: Path) -> None:
    with_metric(spoilt, "mnist/guided/seed2", "silhouette", 1e-9)
    change(spoilt / "results", "mnist/guided/seed2", weights_sha256="0" * 64, processor="another")
    found = compared(spoilt)
    assert found["level"] == "numerical"
    assert found["short_of_the_next"] == [f"weights differ in 1 of {found['cells']} cells", "numbers differ beyond the printed digits"]
    (difference,) = found["differences"]
    assert (difference["what"], difference["own"], difference["cells"]) == ("processor", "another", ["mnist/guided/seed2"])


def test_allowed_is_students_interval_at_the_rows_deviation_moderated_by_that_of_all(spoilt: Path) -> None:
    with_metric(spoilt, "mnist/guided/seed2", "accuracy_best", 0.1)
    one = verdict(compared(spoilt), "mnist", "guided", "accuracy_best", "test")
    groups = {}
    for line in verify.read_runs(spoilt / "reference/runs.csv"):
        if (line.dataset, line.metric, line.split, line.variant) == ("mnist", "accuracy_best", "test", "main"):
            groups.setdefault(line.method, []).append(line.value)
    variance = sum(np.var(group) * len(group) for group in groups.values()) / sum(len(group) - 1 for group in groups.values())
    spread = math.sqrt((2 * variance + 2 * np.var(groups["guided"], ddof=1)) / 4)
    assert one["freedom"] == 4  # two of the row's three seeds, and two; what is judged does not widen its own limits
    assert one["allowed"] == pytest.approx(t.ppf(0.975, 4) * spread * math.sqrt(1 / 3 + 1 / 3))
    assert one["difference"] == pytest.approx(0.1 / 3)


def test_of_many_numbers_one_that_only_chance_moved_is_not_off() -> None:
    draw, published, own = np.random.default_rng(3), {}, {}
    for row in range(200):
        for found in (published, own):
            found["mnist", f"row{row}", "accuracy_best", "test"] = dict(enumerate(draw.normal(90, 1, 3).tolist()))
    judged = verify.judged(published, own, UNITS)
    beyond = [one for one in judged if abs(one["difference"]) > one["allowed"]]
    assert beyond and all(one["verdict"] == "within" for one in judged)
    own["mnist", "row0", "accuracy_best", "test"] = dict.fromkeys(range(3), 120.0)
    assert [one["verdict"] for one in verify.judged(published, own, UNITS)] == ["off"] + ["within"] * 199


def test_a_faithful_rerun_is_seldom_off_though_rows_differ_in_how_far_their_seeds_lie_apart() -> None:
    draw, off, rows, metrics, runs = np.random.default_rng(5), 0, 7, 40, 60
    deviations = np.exp(draw.normal(0, 1, (rows, metrics)))  # as far from one another as those of the committed run
    for _ in range(runs):
        published, own = (
            {("mnist", f"row{r}", f"m{m}", "test"): dict(enumerate(draw.normal(0, deviations[r, m], 3).tolist())) for r in range(rows) for m in range(metrics)}
            for _ in range(2)
        )  # fmt: skip
        off += any(one["verdict"] == "off" for one in verify.judged(published, own, {f"m{m}": "" for m in range(metrics)}))
    assert off <= 0.1 * runs  # 5 % and what chance may add to it; one deviation for all rows gives nine in ten


def test_what_measures_the_judge_alone_is_shown_where_it_is_another_judge(spoilt: Path) -> None:
    for path in (spoilt / "results/records/mnist").rglob("seed*.json"):
        with_metric(spoilt, path.relative_to(spoilt / "results/records").with_suffix("").as_posix(), "judge_accuracy", 0.1)
    key = ("mnist", "guided", "judge_accuracy", "test")
    assert verdict(compared(spoilt), *key)["verdict"] == "off"
    for path in (spoilt / "results/records/mnist").rglob("seed*.json"):
        change(spoilt / "results", path.relative_to(spoilt / "results/records").with_suffix("").as_posix(), judge_sha256="ab" * 32)
    found = compared(spoilt)
    assert verdict(found, *key)["verdict"] == "shown" and found["level"] == "statistical"
    assert [one["what"] for one in found["differences"]] == ["judge_sha256"]
    with_metric(spoilt, "cifar10/guided/seed1", "judge_accuracy", 0.1)  # its data set has the same judge still
    assert verdict(compared(spoilt), "cifar10", "guided", "judge_accuracy", "test")["verdict"] == "off"


def test_other_seeds_are_named_and_their_numbers_judged(spoilt: Path) -> None:
    study = plain_study()
    study["datasets"]["mnist"]["seeds"] = [1, 2, 4]
    (spoilt / "other").mkdir()
    other = prepare(spoilt / "other", study)
    summarise(other)
    shutil.copytree(spoilt / "reference", other / "reference")
    found = compared(other)
    assert "mnist/guided/seed3" in found["missing"] and "mnist/guided/seed4" in found["added"]
    one = verdict(found, "mnist", "guided", "accuracy_best", "test")
    assert one["verdict"] == "within" and one["difference"] == 0 and one["seeds"] == [3, 3]  # the made-up numbers are of a seed's place, not of the seed
    assert "Cells only in yours:" in (other / "v.md").read_text() and found["level"] != "bitwise"


def test_another_configuration_or_label_file_is_named_by_its_key_and_hash(spoilt: Path) -> None:
    settings = record.read_json(spoilt / "results/records/cifar10/guided/seed1.json")["config"]
    settings["method"]["label-smoothing"] = 0.3
    change(spoilt / "results", "cifar10/guided/seed1", config=settings, data_sha256="f" * 64)
    change(spoilt / "results", "cifar10/pca/seed1", versions={"python": "3.11.2", "torch": "9"})
    found = {one["what"]: one for one in compared(spoilt)["differences"]}
    assert found.keys() == {"config.method.label-smoothing", "data_sha256", "versions.torch"}
    assert (found["config.method.label-smoothing"]["own"], found["data_sha256"]["own"]) == ("0.3", "f" * 64)
    assert "- versions.torch in cifar10/pca/seed1: published 2.14.1, yours 9" in (spoilt / "v.md").read_text()


EDITED = {
    "summary.csv": (lambda text: text.replace("mnist,guided,accuracy_best,test,9", "mnist,guided,accuracy_best,test,8"), r"reference/summary\.csv: mnist guided accuracy_best test does not follow"),
    "runs.csv": (lambda text: text.replace("mnist,guided,main,1,mae,test,0", "mnist,guided,main,1,mae,test,1"), r"reference/runs\.csv: mnist/guided/seed1 mae test is 1\.\d+, in"),
    "records/mnist/guided/seed1.json": (lambda text: text.replace('"metric": "mae"', '"metric": "mad"', 1), r"seed1\.json: changed since it was written"),
    "runs.csv longer": (lambda text: text + text.splitlines()[-1].replace(",1,", ",9,", 1) + "\n", r"reference/runs\.csv: \w+/[\w.-]+/seed9 has no whole record; make it again"),
    "runs.csv and summary.csv shorter": (None, r"reference/runs\.csv: mnist/guided/seed1 mae test is None, in the record 0\.\d+"),
    "summary.csv longer": (lambda text: text + text.splitlines()[-1].replace("supcon", "other") + "\n", r"reference/summary\.csv: .* does not follow from runs\.csv"),
    "curves/mnist/guided/seed1.csv": (lambda text: text.replace("1,214", "1,215"), r"reference/curves/mnist/guided/seed1\.csv: not the file that its record"),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITED)
def test_a_number_that_was_edited_in_the_reference_is_found_and_the_run_fails(spoilt: Path, name: str) -> None:
    edit, said = EDITED[name]
    if edit is None:  # a number is taken out wherever the tables have it
        for table, begins in (("runs.csv", "mnist,guided,main,1,mae,test"), ("summary.csv", "mnist,guided,mae,test")):
            path = spoilt / "reference" / table
            path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith(begins)))
    else:
        path = spoilt / "reference" / name.split()[0]
        text = path.read_text()
        path.write_text(edit(text))
        assert path.read_text() != text
    found = compared(spoilt)
    assert found["level"] == "none" and any(re.search(said, fault) for fault in found["faults"]), found["faults"]


def test_one_cell_is_judged_by_its_published_seed_and_else_by_what_the_seeds_predict(spoilt: Path) -> None:
    cell = ("--cell", "mnist/guided/seed2")
    found = compared(spoilt, *cell)
    assert (found["level"], found["cells"]) == ("bitwise", 1)
    assert {one["method"] for one in found["numbers"]} == {"guided"}
    path = spoilt / "results/records/mnist/guided/seed2.json"
    metrics = record.read_json(path)["metrics"]
    (value,) = [one for one in metrics if (one["metric"], one["split"]) == ("accuracy_best", "test")]
    published = [
        one["value"] for k in (1, 2, 3) for one in record.read_json(spoilt / f"reference/records/mnist/guided/seed{k}.json")["metrics"]
        if (one["metric"], one["split"]) == ("accuracy_best", "test")
    ]  # fmt: skip
    value["value"] += 0.1
    change(spoilt / "results", cell[1], metrics=metrics)
    one = verdict(compared(spoilt, *cell), "mnist", "guided", "accuracy_best", "test")
    assert one["verdict"] == "within" and one["seeds"] == [3, 1]
    assert one["difference"] == pytest.approx(value["value"] - fmean(published))
    value["value"] -= 30
    change(spoilt / "results", cell[1], metrics=metrics)
    assert compared(spoilt, *cell)["level"] == "none"
    path.unlink()
    with pytest.raises(SystemExit, match="error: mnist/guided/seed2: has no whole record in both"):
        compared(spoilt, *cell)


def test_a_broken_comparison_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(json.dumps({"format": 1, "level": "bitwise"}))
    with pytest.raises(SystemExit, match=r"v\.json: changed since it was written"):
        call(verify, "--verdict", tmp_path / "v.json")
    record.write_json(tmp_path / "v.json", {"format": record.FORMAT, "level": "bitwise"})
    with pytest.raises(SystemExit, match=r"v\.json: not a comparison; give the file that --out named"):
        call(verify, "--verdict", tmp_path / "v.json")


@pytest.mark.parametrize("given", [(), ("--config",), ("--config", "--results", "--out")])
def test_a_comparison_of_too_little_is_refused_with_what_to_give(capsys: pytest.CaptureFixture[str], given: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        call(verify, *(word for name in given for word in (name, "x")))
    assert "give --verdict; or --config and --results; or these two with --reference, --out and --report" in capsys.readouterr().err
