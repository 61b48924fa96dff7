"""Comparison with a published run: numbers are bitwise, within or off; edits and other settings are named."""

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
from latents.report import summarize, verify
from latents.report.verify_numbers import compare_numbers
from latents.study import Run

OF_CLASSIFIER = "reference_classifier_accuracy"  # a metric that the reference classifier alone decides


@pytest.fixture(scope="module")
def whole(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, and the same as the published one beside it."""
    folder = Path(shutil.copytree(whole, tmp_path_factory.mktemp("verify") / "whole"))
    shutil.copytree(folder / "results", folder / "reference")
    return folder


@pytest.fixture
def spoilt(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def compared(folder: Path, *more: str) -> dict:
    out = ("--out", folder / "v.json", "--report", folder / "v.md")
    call(verify, *inputs(folder), "--reference", folder / "reference", *out, *more)
    return record.read_json(folder / "v.json")


def change(folder: Path, run: str, **values: object) -> None:
    path = folder / f"records/{run}.json"
    record.write_json(path, record.read_json(path) | values)


def shift_metric(folder: Path, run: str, metric: str, shift: float) -> None:
    """Another value of a metric on test, in the record alone."""
    metrics = record.read_json(folder / f"results/records/{run}.json")["metrics"]
    for one in metrics:
        if (one["metric"], one["split"]) == (metric, "test"):
            one["value"] += shift
    change(folder / "results", run, metrics=metrics)


def shift_and_summarise(folder: Path, run: str, metric: str, shift: float) -> None:
    """The same, and all that derives from it."""
    shift_metric(folder, run, metric, shift)
    summarise(folder)


def verdict(found: dict, *key: str) -> dict:
    names = ("dataset", "method", "metric", "split")
    (one,) = [one for one in found["numbers"] if tuple(one[name] for name in names) == key]
    return one


def test_the_same_run_is_bitwise_and_the_exit_status_says_so(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = compared(whole)
    assert found["level"] == "bitwise"
    assert found["short_of_the_next"] == found["faults"] == found["differences"] == []
    assert found["verdicts"] == {"bitwise": len(found["numbers"])} and len(found["numbers"]) > 400
    runs = config.read(whole / "study.yaml").runs()
    assert set(found["made_alike"].values()) == {found["runs"]} == {len(runs)}
    with pytest.raises(SystemExit) as caught:
        call(verify, "--verdict", whole / "v.json")
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip() == (whole / "v.md").read_text().strip()


def test_a_file_that_is_not_the_record_of_a_run_is_a_fault_that_is_named(spoilt: Path) -> None:
    path = spoilt / "results/records/mnist/guided/seed1.json"
    record.write_json(path, {"format": record.FORMAT, "metrics": []})
    found = compared(spoilt)
    assert found["level"] == "none"
    assert any(fault.startswith(f"{path}: not the record that belongs there (") for fault in found["faults"])


def test_results_of_other_settings_are_refused_before_a_run_would_overwrite_them(spoilt: Path) -> None:
    call(verify, *inputs(spoilt))
    plain = yaml.safe_load((spoilt / "study.yaml").read_text())
    plain["datasets"]["cifar10"]["methods"]["guided"]["label-smoothing"] = 0.2
    (spoilt / "study.yaml").write_text(yaml.safe_dump(plain))
    message = r"results/records/cifar10/guided/seed1\.json: not of the committed study"
    with pytest.raises(SystemExit, match=message):
        call(verify, *inputs(spoilt))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        # a training that no evaluation followed
        ("train/mnist/guided/seed1", lambda study: study.training(Run("mnist", "guided", 1))),
        (
            "train/mnist/reference-classifier/seed8001",
            lambda study: study.training(Run("mnist", "reference-classifier", 8001)),
        ),
        ("records/mnist/guided/seed9", None),  # a seed more
    ],
)
def test_a_training_a_reference_classifier_and_an_added_run_are_refused_too(
    spoilt: Path, name: str, settings: Callable | None
) -> None:
    path = spoilt / f"results/{name}.json"
    made = {"format": record.FORMAT, "config_sha256": "0" * 64}
    if settings:
        own = record.config_sha256(settings(config.read(spoilt / "study.yaml")))
        record.write_json(path, made | {"config_sha256": own})
        call(verify, *inputs(spoilt))
    record.write_json(path, made)
    with pytest.raises(SystemExit, match=rf"{name}\.json: not of the committed study"):
        call(verify, *inputs(spoilt))


def test_a_changed_metric_is_off_and_the_run_fails(spoilt: Path) -> None:
    for seed in (1, 2, 3):
        shift_metric(spoilt, f"mnist/guided/seed{seed}", "accuracy_best", -3.0)
    summarise(spoilt)
    found = compared(spoilt)
    assert verdict(found, "mnist", "guided", "accuracy_best", "test")["verdict"] == "off"
    assert found["level"] == "none" and found["verdicts"]["off"] == 1
    assert found["short_of_the_next"] == ["1 numbers are off"]
    lines = [re.sub(" +", " ", line) for line in (spoilt / "v.md").read_text().splitlines()]
    (line,) = [line for line in lines if line.startswith("| mnist | guided | accuracy_best | test |")]
    assert line.endswith(" | off |")
    with pytest.raises(SystemExit) as caught:
        call(verify, "--verdict", spoilt / "v.json")
    assert caught.value.code == 1


def test_a_seed_that_diverged_is_off_and_does_not_widen_the_limits_of_other_methods(spoilt: Path) -> None:
    shift_and_summarise(spoilt, "mnist/guided/seed2", "accuracy_best", -60.0)
    found = compared(spoilt)
    assert verdict(found, "mnist", "guided", "accuracy_best", "test")["verdict"] == "off"
    assert verdict(found, "mnist", "contrastive", "accuracy_best", "test")["allowed"] < 2


def test_a_change_that_seeds_explain_is_within_and_one_that_no_seed_explains_needs_its_digits(
    spoilt: Path,
) -> None:
    shift_and_summarise(spoilt, "mnist/guided/seed2", "accuracy_best", -0.4)
    found = compared(spoilt)
    assert verdict(found, "mnist", "guided", "accuracy_best", "test")["verdict"] == "within"
    assert found["level"] == "statistical"
    assert found["short_of_the_next"] == ["1 numbers are printed otherwise"]
    # no method of CIFAR-10 has two seeds here: the printed digits decide
    shift_and_summarise(spoilt, "cifar10/guided/seed1", "mae", 1e-9)
    assert verdict(compared(spoilt), "cifar10", "guided", "mae", "test")["verdict"] == "within"
    shift_and_summarise(spoilt, "cifar10/guided/seed1", "mae", 0.001)
    assert verdict(compared(spoilt), "cifar10", "guided", "mae", "test")["verdict"] == "off"


def test_variants_of_sweeps_are_compared_and_pca_by_the_seeds_of_other_methods(spoilt: Path) -> None:
    variant = "autoencoder-plus.ablation.full"
    shift_and_summarise(spoilt, f"cifar10/{variant}/seed1", "mae", 0.01)
    assert verdict(compared(spoilt), "cifar10", variant, "mae", "test")["verdict"] == "off"
    shift_and_summarise(spoilt, "mnist/pca/seed1", "accuracy_best", 0.05)
    assert verdict(compared(spoilt), "mnist", "pca", "accuracy_best", "test")["verdict"] == "within"


def test_the_trustworthiness_of_one_embedding_is_shown_and_decides_nothing(spoilt: Path) -> None:
    path = spoilt / "results/tsne/mnist/pca.json"
    record.write_json(path, record.read_json(path) | {"trustworthiness": 0.5})
    summarise(spoilt)
    found = compared(spoilt)
    assert verdict(found, "mnist", "pca", "tsne_trustworthiness", "test")["verdict"] == "shown"
    assert found["level"] == "statistical"


def test_numbers_equal_as_printed_are_numerical_and_what_keeps_them_from_bitwise_is_named(
    spoilt: Path,
) -> None:
    shift_and_summarise(spoilt, "mnist/guided/seed2", "silhouette", 1e-9)
    change(spoilt / "results", "mnist/guided/seed2", weights_sha256="0" * 64, processor="another")
    found = compared(spoilt)
    assert found["level"] == "numerical"
    assert found["short_of_the_next"] == [
        f"weights differ in 1 of {found['runs']} runs",
        "numbers differ beyond the printed digits",
    ]
    (difference,) = found["differences"]
    assert (difference["what"], difference["own"]) == ("processor", "another")
    assert difference["runs"] == ["mnist/guided/seed2"]


def test_allowed_is_students_interval_at_the_methods_deviation_moderated_by_that_of_all(spoilt: Path) -> None:
    shift_and_summarise(spoilt, "mnist/guided/seed2", "accuracy_best", 0.1)
    one = verdict(compared(spoilt), "mnist", "guided", "accuracy_best", "test")
    groups = {}
    wanted = ("mnist", "accuracy_best", "test", "main")
    for line in summarize.read_runs(spoilt / "reference/runs.csv"):
        if (line.dataset, line.metric, line.split, line.variant) == wanted:
            groups.setdefault(line.method, []).append(line.value)
    squares = sum(np.var(group) * len(group) for group in groups.values())
    variance = squares / sum(len(group) - 1 for group in groups.values())
    spread = math.sqrt((2 * variance + 2 * np.var(groups["guided"], ddof=1)) / 4)
    # two of the method's three published seeds, and two; the own seeds do not widen their limits
    assert one["freedom"] == 4
    assert one["allowed"] == pytest.approx(t.ppf(0.975, 4) * spread * math.sqrt(1 / 3 + 1 / 3))
    assert one["difference"] == pytest.approx(0.1 / 3)


def test_of_many_numbers_one_that_only_chance_moved_is_not_off() -> None:
    draw, published, own = np.random.default_rng(3), {}, {}
    for k in range(200):
        for found in (published, own):
            seeds = dict(enumerate(draw.normal(90, 1, 3).tolist()))
            found["mnist", f"method{k}", "accuracy_best", "test"] = seeds
    numbers = compare_numbers(published, own)
    beyond = [one for one in numbers if abs(one["difference"]) > one["allowed"]]
    assert beyond and all(one["verdict"] == "within" for one in numbers)
    own["mnist", "method0", "accuracy_best", "test"] = dict.fromkeys(range(3), 120.0)
    verdicts = [one["verdict"] for one in compare_numbers(published, own)]
    assert verdicts == ["off"] + ["within"] * 199


def test_a_faithful_rerun_is_seldom_off_though_the_seeds_of_some_methods_lie_further_apart() -> None:
    draw, off, methods, metrics, reruns = np.random.default_rng(5), 0, 7, 40, 60
    # as far from one another as those of the committed run
    deviations = np.exp(draw.normal(0, 1, (methods, metrics)))

    def made() -> dict:
        return {
            ("mnist", f"method{k}", f"m{m}", "test"): dict(enumerate(draw.normal(0, deviation, 3).tolist()))
            for (k, m), deviation in np.ndenumerate(deviations)
        }

    for _ in range(reruns):
        published, own = made(), made()
        off += any(one["verdict"] == "off" for one in compare_numbers(published, own))
    # 5 % and what chance may add to it; one deviation for all methods gives nine in ten
    assert off <= 0.1 * reruns


def test_what_the_reference_classifier_alone_decides_is_shown_where_it_is_another_one(spoilt: Path) -> None:
    runs = [str(run) for run in config.read(spoilt / "study.yaml").runs("mnist")]
    for run in runs:
        shift_metric(spoilt, run, OF_CLASSIFIER, 0.1)
    summarise(spoilt)
    key = ("mnist", "guided", OF_CLASSIFIER, "test")
    assert verdict(compared(spoilt), *key)["verdict"] == "off"
    for run in runs:
        change(spoilt / "results", run, reference_classifier_sha256="ab" * 32)
    found = compared(spoilt)
    assert verdict(found, *key)["verdict"] == "shown" and found["level"] == "statistical"
    assert [one["what"] for one in found["differences"]] == ["reference_classifier_sha256"]
    # this data set has the same reference classifier still
    shift_and_summarise(spoilt, "cifar10/guided/seed1", OF_CLASSIFIER, 0.1)
    assert verdict(compared(spoilt), "cifar10", "guided", OF_CLASSIFIER, "test")["verdict"] == "off"


def test_other_seeds_are_named_and_their_numbers_compared(spoilt: Path) -> None:
    study = plain_study()
    study["datasets"]["mnist"]["seeds"] = [1, 2, 4]
    (spoilt / "other").mkdir()
    other = prepare(spoilt / "other", study)
    summarise(other)
    shutil.copytree(spoilt / "reference", other / "reference")
    found = compared(other)
    assert "mnist/guided/seed3" in found["missing"] and "mnist/guided/seed4" in found["added"]
    one = verdict(found, "mnist", "guided", "accuracy_best", "test")
    # the made-up numbers are of a seed's place, not of the seed
    assert one["verdict"] == "within" and one["difference"] == 0 and one["seeds"] == [3, 3]
    assert "Runs only in yours:" in (other / "v.md").read_text() and found["level"] != "bitwise"


def test_another_configuration_or_label_file_is_named_by_its_key_and_hash(spoilt: Path) -> None:
    settings = record.read_json(spoilt / "results/records/cifar10/guided/seed1.json")["config"]
    settings["method"]["label-smoothing"] = 0.3
    change(spoilt / "results", "cifar10/guided/seed1", config=settings, data_sha256="f" * 64)
    change(spoilt / "results", "cifar10/pca/seed1", versions={"python": "3.11.2", "torch": "9"})
    found = {one["what"]: one for one in compared(spoilt)["differences"]}
    assert found.keys() == {"config.method.label-smoothing", "data_sha256", "versions.torch"}
    assert found["config.method.label-smoothing"]["own"] == "0.3"
    assert found["data_sha256"]["own"] == "f" * 64
    line = "- versions.torch in cifar10/pca/seed1: published 2.14.1, yours 9"
    assert line in (spoilt / "v.md").read_text()


def test_a_published_run_from_before_yardsticks_is_compared_by_what_it_has(spoilt: Path) -> None:
    shutil.rmtree(spoilt / "reference/yardsticks")
    for name in ("runs.csv", "summary.csv"):
        path = spoilt / "reference" / name
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if ",yardsticks" not in line))
    found = compared(spoilt)
    assert (found["level"], found["faults"]) == ("statistical", [])
    assert re.fullmatch(r"\d+ numbers are only on one side", *found["short_of_the_next"])


def last_of_a_run(text: str) -> str:
    return [line for line in text.splitlines(keepends=True) if ",supcon," in line][-1]


EDITED = {
    "runs.csv of yardsticks": (
        lambda text: text.replace(
            "yardsticks,median-image,0,mae,test,0.2", "yardsticks,median-image,0,mae,test,0.1"
        ),
        r"reference/runs\.csv: mnist/yardsticks\.median-image/seed0 mae test is 0\.1, in the record 0\.2",
    ),
    "yardsticks/mnist.json": (
        lambda text: text.replace("0.2", "0.1"),
        r"yardsticks/mnist\.json: changed since it was written",
    ),
    "summary.csv": (
        lambda text: text.replace("mnist,guided,accuracy_best,test,9", "mnist,guided,accuracy_best,test,8"),
        r"reference/summary\.csv: mnist guided accuracy_best test does not follow",
    ),
    "runs.csv": (
        lambda text: text.replace("mnist,guided,main,1,mae,test,0", "mnist,guided,main,1,mae,test,1"),
        r"reference/runs\.csv: mnist/guided/seed1 mae test is 1\.\d+, in",
    ),
    "records/mnist/guided/seed1.json": (
        lambda text: text.replace('"metric": "mae"', '"metric": "mad"', 1),
        r"seed1\.json: changed since it was written",
    ),
    "runs.csv longer": (
        lambda text: text + last_of_a_run(text).replace(",1,", ",9,", 1),
        r"reference/runs\.csv: \w+/[\w.-]+/seed9 has no whole record; make it again",
    ),
    "runs.csv and summary.csv shorter": (
        None,
        r"reference/runs\.csv: mnist/guided/seed1 mae test is None, in the record 0\.\d+",
    ),
    "summary.csv longer": (
        lambda text: text + last_of_a_run(text).replace("supcon", "other"),
        r"reference/summary\.csv: .* does not follow from runs\.csv",
    ),
    "curves/mnist/guided/seed1.csv": (
        lambda text: text.replace("1,214", "1,215"),
        r"reference/curves/mnist/guided/seed1\.csv: not the file that its record",
    ),
}
SHORTENED = {"runs.csv": "mnist,guided,main,1,mae,test", "summary.csv": "mnist,guided,mae,test"}


@pytest.mark.parametrize("name", EDITED)
def test_a_number_that_was_edited_in_the_reference_is_found_and_the_run_fails(
    spoilt: Path, name: str
) -> None:
    edit, fault = EDITED[name]
    if edit is None:  # a number is taken out wherever the tables have it
        for table, begin in SHORTENED.items():
            path = spoilt / "reference" / table
            lines = path.read_text().splitlines(keepends=True)
            path.write_text("".join(line for line in lines if not line.startswith(begin)))
            assert len(path.read_text().splitlines()) == len(lines) - 1
    else:
        path = spoilt / "reference" / name.split()[0]
        text = path.read_text()
        path.write_text(edit(text))
        assert path.read_text() != text
    found = compared(spoilt)
    assert found["level"] == "none"
    assert any(re.search(fault, one) for one in found["faults"]), found["faults"]


def test_one_run_is_compared_with_its_published_seed_and_else_with_what_the_seeds_predict(
    spoilt: Path,
) -> None:
    name, of_it = "mnist/guided/seed2", ("mnist", "guided", "accuracy_best", "test")

    def best(folder: Path, seed: int) -> float:
        metrics = record.read_json(folder / f"records/mnist/guided/seed{seed}.json")["metrics"]
        (one,) = [one["value"] for one in metrics if (one["metric"], one["split"]) == of_it[2:]]
        return one

    found = compared(spoilt, "--run", name)
    assert (found["level"], found["run"], found["runs"]) == ("bitwise", name, 1)
    assert {one["method"] for one in found["numbers"]} == {"guided"}
    shift_metric(spoilt, name, "accuracy_best", 0.1)
    one = verdict(compared(spoilt, "--run", name), *of_it)
    assert one["verdict"] == "within" and one["seeds"] == [3, 1]
    published = fmean(best(spoilt / "reference", seed) for seed in (1, 2, 3))
    assert one["difference"] == pytest.approx(best(spoilt / "results", 2) - published)
    shift_metric(spoilt, name, "accuracy_best", -30)
    assert compared(spoilt, "--run", name)["level"] == "none"
    (spoilt / f"results/records/{name}.json").unlink()
    with pytest.raises(SystemExit, match=f"error: {name}: has no whole record in both"):
        compared(spoilt, "--run", name)
    with pytest.raises(SystemExit, match="error: mnist/guided: not a run; write <data set>/<method>/seed<k>"):
        compared(spoilt, "--run", "mnist/guided")


def test_a_broken_comparison_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(json.dumps({"format": 1, "level": "bitwise"}))
    with pytest.raises(SystemExit, match=r"v\.json: changed since it was written"):
        call(verify, "--verdict", tmp_path / "v.json")
    record.write_json(tmp_path / "v.json", {"format": record.FORMAT, "level": "bitwise"})
    with pytest.raises(SystemExit, match=r"v\.json: not a comparison; give the file that --out named"):
        call(verify, "--verdict", tmp_path / "v.json")


@pytest.mark.parametrize("given", [(), ("--config",), ("--config", "--results", "--out")])
def test_a_comparison_of_too_little_is_refused_with_what_to_give(
    capsys: pytest.CaptureFixture[str], given: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit):
        call(verify, *(word for name in given for word in (name, "x")))
    wanted = "give --verdict; or --config and --results; or these two with --reference, --out and --report"
    assert wanted in capsys.readouterr().err
