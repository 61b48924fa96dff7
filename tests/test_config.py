"""The configuration: whatever a study cannot be is refused in one sentence that names the file and the key."""

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import yaml

from latents import config
from latents.config import ROWS, Problem
from latents.record import ROOT

STUDIES = sorted(path for path in (ROOT / "config").glob("*.yaml") if path.name not in ("data.yaml", "bench.yaml", "sweeps.yaml", "bars.yaml"))


ABLATION = "datasets.cifar10.sweeps.autoencoder-plus.ablation"


def shipped() -> dict:
    """config/study.yaml with its sweeps where a study in one file has them."""
    plain = yaml.safe_load((ROOT / "config/study.yaml").read_text())
    for name, sweeps in yaml.safe_load((ROOT / "config" / plain.pop("sweeps")).read_text()).items():
        plain["datasets"][name]["sweeps"] = sweeps
    return plain


def written(folder: Path, place: str, value: object) -> Path:
    """A copy of config/study.yaml in which the key at `place` (dots between keys) has another value; None leaves it out."""
    plain = shipped()
    *above, key = place.split(".")
    holder = plain
    for name in above:
        holder = holder[name]
    if value is None:
        del holder[key]
    else:
        holder[key] = value
    path = folder / "changed.yaml"
    path.write_text(yaml.safe_dump(plain))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(Problem) as caught:
        config.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_shipped_study_is_read_and_has_all_rows(path: Path) -> None:
    study = config.read(path)
    for dataset in study.datasets:
        runs = {run for run, _ in study.runs(dataset)}
        assert runs >= set(ROWS)
        assert all((study.method(dataset, run) is None) == (run in ("pca", "random")) for run in runs)


@pytest.mark.parametrize(
    "place",
    ["optimizer", "probe.knn-temp", "datasets.mnist.split_seed", "datasets.cifar10.methods.guided.optimisation.momentum",
     "datasets.mnist.methods.contrastive.augmentation.blur", "measurement.alignment.hue_shift", "datasets.mnist.methods.simclr"],
)  # fmt: skip
def test_an_unknown_key_is_refused_by_name(tmp_path: Path, place: str) -> None:
    *above, key = place.split(".")
    message = refusal(written(tmp_path, place, {} if key == "simclr" else 1))
    assert f"unknown field `{key}`" in message and "mend that key" in message
    assert (".".join(above[:1]) or key) in message


@pytest.mark.parametrize(
    ("place", "value"),
    [("threads", "two"), ("threads", 0), ("precision", "float16"), ("device", "tpu"), ("source", "web"), ("encoder.widths", [32, 128]),
     ("probe.linear-c", []), ("probe.knn-k", 2.5), ("probe.knn-temperature", 0.0), ("datasets.mnist.seeds", []),
     ("datasets.mnist.judge.optimisation.epochs", 0), ("datasets.mnist.judge.optimisation.learning-rate", -0.1),
     ("datasets.mnist.judge.optimisation.optimizer", "lion"), ("datasets.mnist.judge.optimisation.warmup", 1.5),
     ("datasets.cifar10.methods.supcon.augmentation", {"flip": "yes"}), ("datasets.mnist.methods.guided.label-smoothing", None),
     ("probe.knn-k", None), ("probe.knn-temperature", None), ("probe.mlp-weight-decay", None), ("datasets.mnist.split-seed", None),
     ("datasets.mnist.judge-seed", None), ("folder", "demo")],
)  # fmt: skip
def test_a_wrong_type_an_impossible_value_or_a_missing_hyper_parameter_is_refused_by_key(tmp_path: Path, place: str, value: object) -> None:
    message = refusal(written(tmp_path, place, value))
    assert place.split(".")[-1] in message and "mend that key" in message


def test_the_shipped_study_pins_the_neighbours_and_the_temperature_of_the_knn_probe() -> None:
    assert (shipped()["probe"]["knn-k"], shipped()["probe"]["knn-temperature"]) == (20, 0.1)


def test_a_data_set_that_is_not_known_is_refused_by_name(tmp_path: Path) -> None:
    path = written(tmp_path, "datasets.svhn", shipped()["datasets"]["cifar10"])
    assert "datasets.svhn: unknown data set; known are mnist, cifar10" in refusal(path)


@pytest.mark.parametrize(("key", "seed"), [("split-seed", 7001), ("judge-seed", 8001)])
@pytest.mark.parametrize("place", ["datasets.cifar10.seeds", f"{ABLATION}.seeds"])
def test_a_split_seed_or_a_judges_seed_that_is_a_training_seed_is_refused(tmp_path: Path, place: str, key: str, seed: int) -> None:
    message = refusal(written(tmp_path, place, [1, seed]))
    assert f"datasets.cifar10.{key}: {seed} is a training seed too; choose another" in message


def test_a_seed_or_a_share_of_labels_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    for place in ("datasets.mnist.seeds", f"{ABLATION}.seeds"):
        message = refusal(written(tmp_path, place, [1, 2, 1]))
        assert f"{place.removeprefix('datasets.')}: [1, 2, 1] names a seed twice" in message
    assert "label-shares [0.1, 0.1] names a share twice" in refusal(written(tmp_path, "measurement.label-shares", [0.1, 0.1]))


def test_two_variants_of_a_sweep_with_the_same_settings_are_refused(tmp_path: Path) -> None:
    message = refusal(written(tmp_path, f"{ABLATION}.variants", {"full": {}, "wider": {"code-size": 128}}))
    assert "sweeps.autoencoder-plus.ablation: full and wider are the same settings; take one out" in message


@pytest.mark.parametrize("name", ["No", "a b", "../up", "", ".5", "ä"])
def test_a_sweep_or_variant_that_cannot_be_part_of_a_file_name_is_refused(tmp_path: Path, name: str) -> None:
    assert "matching regex" in refusal(written(tmp_path, f"{ABLATION}.variants", {name: {}}))
    sweep = shipped()["datasets"]["cifar10"]["sweeps"]["autoencoder-plus"]["ablation"]
    assert "matching regex" in refusal(written(tmp_path, "datasets.cifar10.sweeps.autoencoder-plus", {name: sweep}))


def test_views_of_another_size_are_refused_where_the_image_itself_is_rebuilt_or_measured(tmp_path: Path) -> None:
    smaller = {"resized-crop": [0.5, 1.0], "size": 26}
    for place in ("datasets.cifar10.methods.autoencoder-plus.augmentation", "measurement.alignment"):
        assert "size is not for" in refusal(written(tmp_path, place, smaller))
    assert "size is not for autoencoders" in refusal(written(tmp_path, f"{ABLATION}.variants.small", {"augmentation": smaller}))
    assert "corruption moves the image" in refusal(written(tmp_path, f"{ABLATION}.variants.small", {"corruption": {"flip": True}}))


@pytest.mark.parametrize("content", ["1: x", "? [a, b]\n: c", "? {a: b}\n: c", "null: 3"])
def test_keys_that_are_no_text_are_refused_in_a_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(content)
    refusal(path)


@pytest.mark.parametrize("moving", [{"pad-crop": 2}, {"flip": True}, {"rotate": 5.0}, {"resized-crop": [0.5, 1.0]}])
def test_a_corruption_that_moves_the_image_is_refused(tmp_path: Path, moving: dict) -> None:
    place = "datasets.mnist.methods.autoencoder-plus.corruption"
    assert "corruption moves the image" in refusal(written(tmp_path, place, moving))


def test_a_variant_of_a_sweep_with_an_unknown_key_or_a_wrong_type_is_refused_by_name(tmp_path: Path) -> None:
    for change, fault in (({"depth": 3}, "unknown field `depth`"), ({"linear-path": 2}, "linear-path")):
        message = refusal(written(tmp_path, f"{ABLATION}.variants.deeper", change))
        assert "sweeps.autoencoder-plus.ablation.deeper" in message and fault in message


def test_a_missing_file_is_refused_and_the_shipped_ones_are_named(tmp_path: Path) -> None:
    assert "no such file; the studies that ship are config/study.yaml and config/demo.yaml" in refusal(tmp_path / "absent.yaml")


@pytest.mark.parametrize("content", ["study: [1, 2", "a: b: c", "\tstudy: x", "study: \x00"])
def test_a_file_that_is_not_yaml_is_refused_with_its_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(content)
    assert "not valid YAML" in refusal(path)


@pytest.mark.parametrize("content", [b"study: caf\xe9", None])
def test_a_file_that_is_not_utf_8_or_no_file_at_all_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    assert "cannot be read as a text file" in refusal(path)


@pytest.mark.parametrize(
    "place",
    ["datasets.mnist.seeds", f"{ABLATION}.seeds", "datasets.mnist.judge-seed", "datasets.mnist.split-seed", "probe.seed",
     "decoder.seed", "measurement.seed"],
)  # fmt: skip
def test_a_negative_seed_is_refused_by_key(tmp_path: Path, place: str) -> None:
    assert place.split(".")[-1] in refusal(written(tmp_path, place, [-1] if place.endswith("seeds") else -1))


@pytest.mark.parametrize("content", ["", "just text", "- 1\n- 2"])
def test_yaml_that_is_no_mapping_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(content)
    assert "Expected `object`" in refusal(path)


@pytest.mark.parametrize("run", ["simclr", "guided.full", "autoencoder-plus.ablation", "autoencoder-plus.ablation.deeper", "", "judge.full"])
def test_a_run_that_is_not_in_the_study_is_refused_and_the_rows_are_named(run: str) -> None:
    with pytest.raises(Problem, match=rf"run {run!r} is not in this study; rows are pca, random"):
        config.read(ROOT / "config/study.yaml").method("mnist", run)


def test_a_data_set_that_is_not_in_the_study_is_refused_and_those_in_it_are_named() -> None:
    with pytest.raises(Problem, match="data set 'svhn' is not in this study; it has mnist, cifar10"):
        config.read(ROOT / "config/study.yaml").dataset("svhn")


def test_a_study_cannot_be_changed_after_it_was_read() -> None:
    study = config.read(ROOT / "config/study.yaml")
    with pytest.raises(AttributeError):
        study.threads = 3


def test_every_row_runs_at_every_seed_but_pca_once_and_variants_at_their_own_seeds(tmp_path: Path) -> None:
    plain = shipped()
    plain["datasets"]["cifar10"] |= {"seeds": [1, 2, 3]}
    plain["datasets"]["cifar10"]["sweeps"] = {"autoencoder-plus": {"ablation": {"seeds": [4], "base": {}, "variants": {"full": {}, "0.5": {}}}}}
    runs = list(msgspec.convert(plain, config.Study).runs("cifar10"))
    expected = [("pca", 1), *((row, seed) for row in ROWS[1:] for seed in (1, 2, 3)), *((f"autoencoder-plus.ablation.{name}", 4) for name in ("full", "0.5"))]
    assert runs == expected


def test_a_variant_is_its_row_with_the_sweeps_base_and_its_own_changes(tmp_path: Path) -> None:
    variants = {"full": {}, "short": {"optimisation": {"batch-size": 7}, "linear-path": False}}
    path = written(tmp_path, ABLATION, {"seeds": [1], "base": {"linear-rate": 0.7}, "variants": variants})
    study = config.read(path)
    row = study.method("cifar10", "autoencoder-plus")
    full, short = (study.method("cifar10", f"autoencoder-plus.ablation.{name}") for name in variants)
    assert full == msgspec.structs.replace(row, linear_rate=0.7)
    shorter = msgspec.structs.replace(row.optimisation, batch_size=7)
    assert short == msgspec.structs.replace(full, optimisation=shorter, linear_path=False)


def test_sweeps_may_stand_in_a_file_of_their_own_and_its_faults_are_named(tmp_path: Path) -> None:
    plain = shipped()
    sweeps = {name: one.pop("sweeps") for name, one in plain["datasets"].items() if "sweeps" in one}
    path, beside = tmp_path / "study.yaml", tmp_path / "sweeps.yaml"
    path.write_text(yaml.safe_dump(plain | {"sweeps": beside.name}))
    beside.write_text(yaml.safe_dump(sweeps))
    assert config.read(path) == msgspec.convert(shipped(), config.Study)
    for fault, said in ((sweeps | {"svhn": {}}, "svhn: not a data set of"), ({"cifar10": {"guided": {"labels": {"seeds": [1]}}}}, "missing required field")):
        beside.write_text(yaml.safe_dump(fault))
        with pytest.raises(Problem, match=said) as caught:
            config.read(path)
        assert str(caught.value).startswith(f"{beside}: ")
    inline = written(tmp_path, ABLATION, shipped()["datasets"]["cifar10"]["sweeps"]["autoencoder-plus"]["ablation"])
    beside.write_text(yaml.safe_dump(sweeps))
    inline.write_text(inline.read_text() + f"sweeps: {beside.name}\n")
    assert f"datasets.cifar10.sweeps: {beside} has sweeps of it too; keep them in one place" in refusal(inline)
    for datasets in ([1], {"cifar10": 3}):
        path.write_text(yaml.safe_dump(plain | {"sweeps": beside.name, "datasets": datasets}))
        with pytest.raises(Problem, match="cifar10: not a data set of"):
            config.read(path)
    assert "sweeps.pca: not a row that is trained" in refusal(written(tmp_path, "datasets.cifar10.sweeps", {"pca": {}}))


def test_a_key_that_is_there_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text((ROOT / "config/study.yaml").read_text() + "threads: 4\n")
    message = refusal(path)
    assert "the key 'threads' is there twice" in message and "line" in message


def test_a_digest_depends_on_values_and_not_on_the_order_of_keys() -> None:
    assert config.digest({"a": 1, "b": {"c": 2, "d": 3}}) == config.digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert config.digest({"a": 1}) != config.digest({"a": 2})


def test_what_decides_the_weights_changes_with_the_method_and_not_with_the_measurement(tmp_path: Path) -> None:
    def training(place: str, value: object) -> dict:
        return config.read(written(tmp_path, place, value)).training("mnist", "guided", 1)

    before = training("study", "study")
    assert training("probe.knn-k", 7) == before and training("measurement.pairs", 9) == before
    for place, value in (("datasets.mnist.methods.guided.label-smoothing", 0.3), ("threads", 5), ("datasets.mnist.split-seed", 7)):
        assert training(place, value) != before


def test_the_folders_of_data_and_checkpoints_can_lie_outside_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    study, demo = (config.read(ROOT / f"config/{name}.yaml") for name in ("study", "demo"))
    monkeypatch.delenv("LATENTS_DATA", raising=False)
    monkeypatch.delenv("LATENTS_CHECKPOINTS", raising=False)
    assert (study.data, study.checkpoints, demo.data, demo.checkpoints) == ("data", "checkpoints", "demo/data", "demo/checkpoints")
    monkeypatch.setenv("LATENTS_DATA", "/far/data")
    monkeypatch.setenv("LATENTS_CHECKPOINTS", "/far/weights")
    assert (study.data, study.checkpoints) == ("/far/data", "/far/weights/study")
    assert (demo.data, demo.checkpoints) == ("demo/data", "/far/weights/demo")  # the demo never reads real data


def problem() -> None:
    raise Problem("cat.png: not an image; give another")


def test_a_problem_becomes_one_line_on_stderr_and_exit_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(main: Callable[[], None]) -> SystemExit:
        with pytest.raises(SystemExit) as caught:
            config.command(main)()
        return caught.value

    # a string as code is what the interpreter prints on stderr before it exits with status 1
    assert step(problem).code == "error: cat.png: not an image; give another"
    with pytest.raises(ZeroDivisionError):  # any other exception is a fault of the program and keeps its traceback
        config.command(lambda: 1 / 0)()
    assert step(lambda: sys.exit(3)).code == 3


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("decoder.channels", 5, "channels"),
        ("datasets.mnist.methods.guided.augmentation.pad-crop", 30, "pad-crop"),
        ("datasets.cifar10.methods.contrastive.augmentation.resized-crop", [1.0, 0.2], "resized-crop"),
        ("datasets.cifar10.methods.contrastive.augmentation.resized-crop", [0.0, 0.2], "resized-crop"),
        ("datasets.mnist.validation", 12, "validation"),
        ("datasets.mnist.test", 20, "test"),
        ("probe.mlp-batch-size", 1, "mlp-batch-size"),
        ("datasets.mnist.methods.guided.optimisation.batch-size", 1, "batch-size"),
    ],
)
def test_a_value_that_would_fail_hours_later_is_refused_at_once(tmp_path: Path, place: str, value: object, said: str) -> None:
    assert said in refusal(written(tmp_path, place, value))
