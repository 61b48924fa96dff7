"""The configuration: what a study cannot be is refused in one sentence that names the file and the key."""

import copy
import dataclasses
import functools
import operator
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import yaml
from conftest import shipped_study

from latents import cli, config, plain
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.methods import METHODS
from latents.metrics import ProbeSettings
from latents.model import build
from latents.plain import digest, load_yaml, merge
from latents.record import ROOT
from latents.study import REFERENCE_CLASSIFIER, Run, Study

STUDIES = [ROOT / f"config/{name}.yaml" for name in ("demo", "large", "study")]
ABLATION = "datasets.cifar10.sweeps.autoencoder-plus.ablation"


@functools.cache
def loaded(name: str) -> dict:
    return yaml.safe_load((ROOT / "config" / name).read_text())


def shipped() -> dict:
    """config/study.yaml with its sweeps where a study in one file has them; a copy, to be changed at will."""
    plain = copy.deepcopy(loaded("study.yaml"))
    for name, sweeps in copy.deepcopy(loaded(plain.pop("sweeps"))).items():
        plain["datasets"][name]["sweeps"] = sweeps
    return plain


def changed(place: str, value: object, plain: dict | None = None) -> dict:
    """config/study.yaml, or `plain`, with another value at `place` (dots between keys).

    None leaves the key out.
    """
    plain = plain or shipped()
    *above, key = place.split(".")
    holder = plain
    for name in above:
        holder = holder[name]
    if value is None:
        del holder[key]
    else:
        holder[key] = value
    return plain


def written(folder: Path, place: str, value: object) -> Path:
    """The same in a file."""
    path = folder / "changed.yaml"
    path.write_text(yaml.safe_dump(changed(place, value), sort_keys=False))
    return path


def read(place: str, value: object, plain: dict | None = None) -> Study:
    """The same as a study."""
    return config.from_plain("changed.yaml", changed(place, value, plain))


def with_methods(*names: str) -> dict:
    """config/study.yaml with some of its methods, in that order, and no sweeps."""
    plain = shipped()
    for dataset in plain["datasets"].values():
        del dataset["sweeps"]
        dataset["methods"] = {name: dataset["methods"][name] for name in names}
    return plain


def refusal(path: Path | str, content: dict | None = None) -> str:
    """What is said of a file, or of content as if it were read from it."""
    with pytest.raises(Problem) as caught:
        config.from_plain(path, content) if content else config.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


def refused(place: str, value: object, plain: dict | None = None) -> str:
    """What is said of config/study.yaml, or `plain`, so changed."""
    return refusal("changed.yaml", changed(place, value, plain))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_shipped_study_is_read_and_has_all_methods(path: Path) -> None:
    study = config.read(path)
    assert study.methods == tuple(METHODS)
    for dataset in study.datasets:
        methods = {run.method for run in study.runs(dataset)}
        assert methods >= set(METHODS)
        for method in methods:
            settings = study.settings(dataset, method)
            assert isinstance(settings, METHODS[method.partition(".")[0]].settings)
            assert (settings.optimisation is None) == (method in ("pca", "random"))


@pytest.mark.parametrize(
    "place",
    [
        "optimizer",
        "probe.knn-temp",
        "datasets.mnist.split_seed",
        "datasets.cifar10.methods.guided.optimisation.momentum",
        "datasets.mnist.methods.contrastive.augmentation.blur",
        "measurement.alignment.hue_shift",
        "datasets.mnist.methods.pca.components",
    ],
)
def test_an_unknown_key_is_refused_by_name(place: str) -> None:
    *above, key = place.split(".")
    message = refused(place, 1)
    assert f"unknown field `{key}`" in message and "mend that key" in message
    assert (".".join(above[:1]) or key) in message


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("guided.optimisation.momentum", 0.9, "unknown field `momentum` - at `$.optimisation`"),
        ("supcon.temperature", -1.0, "Expected `float` > 0.0 - at `$.temperature`"),
        ("autoencoder.channels", [16, 32], "Expected `array` of length 3, got 2 - at `$.channels`"),
        ("contrastive.projection", None, "missing required field `projection`"),
        ("random.seed", 3, "unknown field `seed`"),
    ],
)
def test_a_fault_within_a_methods_settings_is_refused_with_data_set_and_method(
    key: str, value: object, fault: str
) -> None:
    message = refused(f"datasets.cifar10.methods.{key}", value)
    assert f": datasets.cifar10.methods.{key.partition('.')[0]}: " in message
    assert fault in message and "mend that key" in message


@pytest.mark.parametrize("method", ["simclr", "PCA", "guided.full", REFERENCE_CLASSIFIER])
def test_an_unknown_method_is_refused_by_name_and_the_known_ones_are_named(method: str) -> None:
    plain = shipped()
    plain["datasets"]["cifar10"]["methods"][method] = {}
    message = refused("threads", 2, plain)
    assert f"datasets.cifar10.methods.{method}: unknown method; known are {', '.join(METHODS)}" in message


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("threads", "two"),
        ("threads", 0),
        ("precision", "float16"),
        ("device", "tpu"),
        ("source", "web"),
        ("encoder.widths", [32, 128]),
        ("probe.linear-c", []),
        ("probe.knn-k", 2.5),
        ("probe.knn-temperature", 0.0),
        ("datasets.mnist.seeds", []),
        ("datasets.mnist.reference-classifier.optimisation.epochs", 0),
        ("datasets.mnist.reference-classifier.optimisation.learning-rate", -0.1),
        ("datasets.mnist.reference-classifier.optimisation.optimizer", "lion"),
        ("datasets.mnist.reference-classifier.optimisation.warmup", 1.5),
        ("datasets.cifar10.methods.supcon.augmentation", {"flip": "yes"}),
        ("datasets.mnist.methods.guided.label-smoothing", None),
        ("probe.knn-k", None),
        ("probe.knn-temperature", None),
        ("probe.mlp-weight-decay", None),
        ("datasets.mnist.split-seed", None),
        ("datasets.mnist.reference-classifier-seed", None),
    ],
)
def test_a_wrong_type_an_impossible_value_or_a_missing_hyper_parameter_is_refused_by_key(
    place: str, value: object
) -> None:
    message = refused(place, value)
    assert place.split(".")[-1] in message and "mend that key" in message


def test_a_data_set_that_is_not_known_is_refused_by_name() -> None:
    message = refused("datasets.svhn", shipped()["datasets"]["cifar10"])
    assert "datasets.svhn: unknown data set; known are mnist, cifar10" in message


def test_a_study_without_data_sets_or_without_methods_is_refused() -> None:
    assert "datasets: none; known are mnist, cifar10" in refused("datasets", {})
    message = refused("threads", 2, with_methods())
    assert "datasets.mnist.methods: none; known are pca, random, autoencoder" in message


# a study that has only some of the methods or data sets


@pytest.mark.parametrize(
    ("names", "trained"),
    [
        (
            ("contrastive", "guided", "autoencoder-plus", "autoencoder", "random", "pca"),
            ("autoencoder", "autoencoder-plus", "guided", "contrastive"),
        ),
        (("supcon", "pca"), ("supcon",)),
        (("autoencoder-plus",), ("autoencoder-plus",)),
        (("random",), ()),
    ],
)
def test_a_study_may_have_only_some_of_the_methods_and_has_them_in_the_order_of_the_table(
    names: tuple[str, ...], trained: tuple[str, ...]
) -> None:
    study = read("threads", 2, with_methods(*names))
    assert study.methods == tuple(name for name in METHODS if name in names)
    assert study.trained_methods == trained
    for dataset in study.datasets:
        assert list(dict.fromkeys(run.method for run in study.runs(dataset))) == list(study.methods)
        with pytest.raises(Problem, match=rf"not in this study; methods are {', '.join(study.methods)}, and"):
            study.settings(dataset, next(name for name in METHODS if name not in names))


def test_a_study_may_have_one_data_set_alone() -> None:
    whole = shipped_study()
    study = read("datasets.cifar10", None)
    assert list(study.datasets) == ["mnist"] and study.methods == whole.methods
    assert study.runs() == study.runs("mnist") == whole.runs("mnist")
    assert study.reference_classifiers() == {"mnist": Run("mnist", REFERENCE_CLASSIFIER, 8001)}
    with pytest.raises(Problem, match=r"data set 'cifar10' is not in this study; it has mnist$"):
        study.runs("cifar10")


@pytest.mark.parametrize("method", ["supcon", "autoencoder", "pca"])
def test_a_method_on_one_data_set_and_not_on_the_other_is_refused_by_name(method: str) -> None:
    plain = shipped()
    for one in plain["datasets"].values():
        del one["sweeps"]
    message = refused(f"datasets.cifar10.methods.{method}", None, plain)
    assert f"methods: {method} is on some data sets of this study and not on others; add it to all" in message


def test_sweeps_of_a_method_that_is_not_trained_or_that_the_study_does_not_have_are_refused() -> None:
    plain = shipped()
    for dataset in plain["datasets"].values():
        del dataset["methods"]["supcon"]
    message = refused("threads", 2, plain)
    assert "datasets.mnist.sweeps.supcon: not a method that is trained; those are autoencoder, " in message
    assert "sweeps.pca: not a method that is trained" in refused("datasets.cifar10.sweeps", {"pca": {}})
    for dataset in plain["datasets"].values():
        del dataset["sweeps"]["supcon"]
    study = read("threads", 2, plain)
    assert "supcon" not in study.methods and Run("cifar10", "guided.labels.1pct", 1) in study.runs()


def test_the_plain_decoder_is_refused_where_the_study_has_no_autoencoder_to_take_it_from() -> None:
    said = "residual-decoder: false takes the decoder of `autoencoder`, which is not there; mend that key"
    plain = with_methods("pca", "autoencoder-plus")
    read("threads", 2, plain)  # the residual decoder needs none
    variant = {"seeds": [1], "base": {}, "variants": {"plain-decoder": {"residual-decoder": False}}}
    plain["datasets"]["cifar10"]["sweeps"] = {"autoencoder-plus": {"ablation": variant}}
    message = refused("threads", 2, plain)
    assert f"datasets.cifar10.sweeps.autoencoder-plus.ablation.plain-decoder: {said}" in message
    del plain["datasets"]["cifar10"]["sweeps"]
    place = "datasets.cifar10.methods.autoencoder-plus.residual-decoder"
    message = refused(place, False, plain)
    assert f"datasets.cifar10.methods.autoencoder-plus: {said}" in message
    plain = with_methods("autoencoder", "autoencoder-plus")
    study = read(place, False, plain)
    channels = tuple(plain["datasets"]["cifar10"]["methods"]["autoencoder"]["channels"])
    for name in study.datasets:
        expected = channels if name == "cifar10" else None
        assert study.plain_channels(Run(name, "autoencoder-plus", 1)) == expected


# seeds and sweeps


@pytest.mark.parametrize(("key", "seed"), [("split-seed", 7001), ("reference-classifier-seed", 8001)])
@pytest.mark.parametrize("place", ["datasets.cifar10.seeds", f"{ABLATION}.seeds"])
def test_a_split_seed_or_a_reference_classifiers_seed_that_is_a_training_seed_is_refused(
    place: str, key: str, seed: int
) -> None:
    message = refused(place, [1, seed])
    assert f"datasets.cifar10.{key}: {seed} is a training seed too; choose another" in message


def test_a_seed_or_a_share_of_labels_that_is_named_twice_is_refused() -> None:
    for place in ("datasets.mnist.seeds", f"{ABLATION}.seeds"):
        message = refused(place, [1, 2, 1])
        assert f"{place.removeprefix('datasets.')}: [1, 2, 1] names a seed twice" in message
    message = refused("measurement.label-shares", [0.1, 0.1])
    assert "label-shares [0.1, 0.1] names a share twice" in message


def test_two_variants_of_a_sweep_with_the_same_settings_are_refused() -> None:
    message = refused(f"{ABLATION}.variants", {"full": {}, "wider": {"code-size": 128}})
    assert "sweeps.autoencoder-plus.ablation: full and wider are the same settings; take one out" in message


@pytest.mark.parametrize("name", ["No", "a b", "../up", "", ".5", "ä"])
def test_a_sweep_or_variant_that_cannot_be_part_of_a_file_name_is_refused(name: str) -> None:
    assert "matching regex" in refused(f"{ABLATION}.variants", {name: {}})
    sweep = shipped()["datasets"]["cifar10"]["sweeps"]["autoencoder-plus"]["ablation"]
    assert "matching regex" in refused("datasets.cifar10.sweeps.autoencoder-plus", {name: sweep})


def test_views_of_another_size_are_refused_where_the_image_itself_is_reconstructed_or_measured() -> None:
    smaller = {"resized-crop": [0.5, 1.0], "size": 26}
    for place in ("datasets.cifar10.methods.autoencoder-plus.augmentation", "measurement.alignment"):
        assert "size is not for" in refused(place, smaller)
    early = {"share": 0.5, "augmentation": {"size": 26, "brightnes": 1.0}}
    assert "brightnes" in refused("datasets.cifar10.methods.guided.early", early)
    turned = {"size": 26, "rotate": 5.0}
    place = "datasets.cifar10.methods.guided.augmentation"
    assert "size with rotate needs resized-crop" in refused(place, turned)
    for change, fault in (
        ({"augmentation": smaller}, "size is not for autoencoders"),
        ({"corruption": {"flip": True}}, "corruption moves the image"),
    ):
        assert fault in refused(f"{ABLATION}.variants.small", change)


@pytest.mark.parametrize(
    ("place", "value", "fault"),
    [
        ("split.contrastive-size", 128, "contrastive-size 128 of a code of 128 numbers is more than 127"),
        ("joint.contrastive-size", 128, "contrastive-size 128 of a code of 128 numbers is more than 127"),
        ("vae.augmentation", {"resized-crop": [0.5, 1.0], "size": 26}, "size is not for autoencoders"),
        ("contrastive.linear-path", 0.1, "size is not for linear-path"),
        ("joint.projection", [64, 32], "start of joint: cifar10/split/seed1 has another projection"),
        ("split.projection", [64, 32], "start of split: cifar10/contrastive/seed1 has another projection"),
        ("joint.contrastive-size", 64, "start of joint: cifar10/split/seed1 has another contrastive-size"),
    ],
)
def test_settings_of_a_method_that_contradict_one_another_are_refused(
    place: str, value: object, fault: str
) -> None:
    assert fault in refused(f"datasets.cifar10.methods.{place}", value)


def test_a_frozen_encoder_needs_its_linear_path() -> None:
    change = {"frozen-encoder": True, "linear-path": False}
    message = refused(f"{ABLATION}.variants.frozen", change)
    assert "frozen-encoder keeps the linear path at PCA" in message


TUNED, ANOTHER = "sweeps.guided.finetuned", "the encoder of cifar10/contrastive/seed1 is another one"


@pytest.mark.parametrize(
    ("place", "change", "fault"),
    [
        (TUNED, {"base": {"start": "simclr"}}, f"{TUNED}.1pct: Invalid enum value 'simclr' - at `$.start`"),
        (TUNED, {"base": {"start": "guided"}}, f"{TUNED}.1pct: Invalid enum value 'guided' - at `$.start`"),
        (TUNED, {"seeds": [1, 4]}, "guided.finetuned.1pct: cifar10/contrastive/seed4 is not a run of this"),
        (TUNED, {"encoder": {"widths": [8, 8, 8]}}, f"start of guided.finetuned.1pct: {ANOTHER}; give both"),
        (TUNED, {"base": {"linear-path": 0.1}}, f"start of guided.finetuned.1pct: {ANOTHER}; give both the"),
        ("methods.contrastive", {"code-size": 63}, f"start of split: {ANOTHER}; give both the same widths"),
        (
            "reference-classifier",
            {"start": "contrastive"},
            "start of reference-classifier: cifar10/contrastive/seed8001 is not a run of this study",
        ),
    ],
)
def test_a_start_from_what_cannot_be_one_is_refused(place: str, change: dict, fault: str) -> None:
    before = functools.reduce(operator.getitem, place.split("."), shipped()["datasets"]["cifar10"])
    message = refused(f"datasets.cifar10.{place}", merge(before, change))
    assert "datasets.cifar10" in message and fault in message


@pytest.mark.parametrize("content", ["1: x", "? [a, b]\n: c", "? {a: b}\n: c", "null: 3"])
def test_keys_that_are_no_text_are_refused_in_a_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(content)
    refusal(path)


@pytest.mark.parametrize(
    "moving", [{"pad-crop": 2}, {"flip": True}, {"rotate": 5.0}, {"resized-crop": [0.5, 1.0]}]
)
def test_a_corruption_that_moves_the_image_is_refused(moving: dict) -> None:
    place = "datasets.mnist.methods.autoencoder-plus.corruption"
    assert "corruption moves the image" in refused(place, moving)


def test_a_variant_of_a_sweep_with_an_unknown_key_or_a_wrong_type_is_refused_by_name() -> None:
    for change, fault in (({"depth": 3}, "unknown field `depth`"), ({"linear-path": 2}, "linear-path")):
        message = refused(f"{ABLATION}.variants.deeper", change)
        assert "sweeps.autoencoder-plus.ablation.deeper" in message and fault in message


# the file itself


def test_a_missing_file_is_refused_and_the_shipped_ones_are_named(tmp_path: Path) -> None:
    expected = f"no such file in {Path.cwd()}; mend the path, or run in the checkout (the studies that ship"
    assert expected in refusal(tmp_path / "absent.yaml")


@pytest.mark.parametrize("content", ["study: [1, 2", "a: b: c", "study: \x00"])
def test_a_file_that_is_not_yaml_is_refused_and_nothing_is_said_of_tabs(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(content)
    message = refusal(path)
    assert "not valid YAML" in message and "not tabs" not in message


@pytest.mark.parametrize(
    "content", ["\tstudy: x", "a:\n\tb: 1", "a: 1\n\tb: 2", "a:\n  b: 1\n\tc: 2", "a:\t1"]
)
def test_a_file_with_tabs_between_its_keys_is_refused_and_spaces_are_asked_for(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "tabs.yaml"
    path.write_text(content)
    line = content.partition("\t")[0].count("\n") + 1
    message = refusal(path)
    assert "not valid YAML" in message and f"line {line}, " in message
    assert "; YAML is indented with spaces, not tabs; mend the file at that line" in message


@pytest.mark.parametrize("content", ["", "\n\n", "# only\n# comments\n", "  # one\n", "---\n", "\ufeff"])
def test_a_file_that_is_empty_or_has_only_comments_is_refused_as_empty(tmp_path: Path, content: str) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text(content)
    assert refusal(path) == f"{path}: empty; give a YAML file like config/study.yaml"


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, "threads", 3)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert config.read(path) == config.from_plain(path, shipped() | {"threads": 3})
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert config.read(path).threads == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("+1e-3", 1e-3),
        ("-2e3", -2e3),
        ("1e5", 1e5),
        ("1.5e3", 1.5e3),
        ("1.e-2", 1e-2),
        ("1.0e-3", 1e-3),
        ("0.001", 1e-3),
    ],
)
def test_numbers_with_an_exponent_are_read_as_floats(tmp_path: Path, text: str, value: float) -> None:
    path = tmp_path / "numbers.yaml"
    path.write_text(f"one: {text}\nsome: [{text}]\n")
    found = load_yaml(path)
    assert found == {"one": value, "some": [value]} and type(found["one"]) is float


@pytest.mark.parametrize(
    "text", ["1e-3x", "x1e-3", "1.2.3", "1e3.5", "1e", "e5", "1e-", "1e3e4", "2.14.1+cpu", "'1e-3'", '"1E5"']
)
def test_text_that_only_resembles_a_number_stays_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "text.yaml"
    path.write_text(f"one: {text}\n")
    assert load_yaml(path) == {"one": text.strip("'\"")}


def test_whole_numbers_truth_values_and_words_keep_their_types(tmp_path: Path) -> None:
    path = tmp_path / "plain.yaml"
    path.write_text("{a: 20, b: -3, c: true, d: study, e: 0.5, f: [1, 2], g: ''}")
    found = load_yaml(path)
    assert found == {"a": 20, "b": -3, "c": True, "d": "study", "e": 0.5, "f": [1, 2], "g": ""}
    assert [type(found[key]) for key in "abce"] == [int, int, bool, float]


def test_a_learning_rate_may_be_written_with_an_exponent_and_not_with_a_slip_in_it(tmp_path: Path) -> None:
    path = written(tmp_path, "datasets.mnist.methods.guided.optimisation.learning-rate", "RATE")
    text = path.read_text()
    path.write_text(text.replace("RATE", "1e-3"))
    assert config.read(path).settings("mnist", "guided").optimisation.learning_rate == 1e-3
    for rate, fault in (("1e-3x", "Expected `float`, got `str`"), ("-1e-3", "Expected `float` > 0.0")):
        path.write_text(text.replace("RATE", rate))
        message = refusal(path)
        assert f"datasets.mnist.methods.guided: {fault} - at `$.optimisation.learning-rate`" in message


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        *(
            (f"datasets.mnist.methods.guided.optimisation.{key}", value, "not a finite decimal number")
            for key, value in (("learning-rate", float("inf")), ("weight-decay", float("nan")))
        ),
        ("sweeps", ["a"], "sweeps: ['a'] is not the name of a file"),
        ("sweeps", "", "sweeps: '' is not the name of a file"),
    ],
)
def test_an_infinite_number_and_sweeps_in_no_file_are_refused(
    tmp_path: Path, place: str, value: object, said: str
) -> None:
    assert said in refusal(written(tmp_path, place, value))


@pytest.mark.parametrize("content", [b"study: caf\xe9", None])
def test_a_file_that_is_not_utf_8_or_no_file_at_all_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    assert "cannot be read as a text file" in refusal(path)


@pytest.mark.parametrize(
    "place",
    [
        "datasets.mnist.seeds",
        f"{ABLATION}.seeds",
        "datasets.mnist.reference-classifier-seed",
        "datasets.mnist.split-seed",
        "probe.seed",
        "decoder.seed",
        "measurement.seed",
    ],
)
def test_a_negative_seed_is_refused_by_key(place: str) -> None:
    assert place.split(".")[-1] in refused(place, [-1] if place.endswith("seeds") else -1)


@pytest.mark.parametrize("content", ["0", "false", "just text", "- 1\n- 2"])
def test_yaml_that_is_no_mapping_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(content)
    assert "Expected `object`" in refusal(path)


# what a study answers


@pytest.mark.parametrize(
    "method",
    [
        "simclr",
        "guided.full",
        "autoencoder-plus.ablation",
        "autoencoder-plus.ablation.deeper",
        "",
        "reference-classifier.full",
    ],
)
def test_a_method_that_is_not_in_the_study_is_refused_and_those_in_it_are_named(method: str) -> None:
    study = shipped_study()
    for dataset in study.datasets:
        said = rf"method {method!r} is not in this study; methods are pca, random"
        with pytest.raises(Problem, match=said):
            study.settings(dataset, method)


def test_a_data_set_that_is_not_in_the_study_is_refused_and_those_in_it_are_named() -> None:
    with pytest.raises(Problem, match="data set 'svhn' is not in this study; it has mnist, cifar10"):
        shipped_study().dataset("svhn")


def test_a_study_cannot_be_changed_after_it_was_read() -> None:
    study = shipped_study()
    with pytest.raises(AttributeError):
        study.threads = 3


def test_plain_data_are_as_they_were_after_a_study_was_made_of_them() -> None:
    plain = shipped()
    first = config.from_plain("plain.yaml", plain)
    assert plain == shipped() and config.from_plain("plain.yaml", plain) == first


@pytest.mark.parametrize(
    ("run", "base", "variant"),
    [
        (Run("cifar10", "guided", 1), "guided", "main"),
        (Run("mnist", "guided.labels.10pct", 12), "guided", "labels.10pct"),
        (Run("cifar10", "autoencoder-plus.trade.classes", 3), "autoencoder-plus", "trade.classes"),
        (Run("mnist", "contrastive.ablation.temperature-0.2", 0), "contrastive", "ablation.temperature-0.2"),
        (Run("mnist", REFERENCE_CLASSIFIER, 8001), REFERENCE_CLASSIFIER, "main"),
    ],
)
def test_a_run_is_written_as_its_path_and_read_from_it(run: Run, base: str, variant: str) -> None:
    assert (run.base, run.variant) == (base, variant)
    assert str(run) == f"{run}" == f"{run.dataset}/{run.method}/seed{run.seed}"
    assert Run.parse(str(run)) == run


def test_every_run_of_the_shipped_studies_is_read_from_its_path() -> None:
    for path in STUDIES:
        study = config.read(path)
        for run in [*study.runs(), *study.reference_classifiers().values()]:
            assert Run.parse(str(run)) == run


@pytest.mark.parametrize(
    "text",
    [
        "",
        "guided",
        "cifar10/guided",
        "cifar10/guided/1",
        "cifar10/guided/seed",
        "cifar10/guided/seed-1",
        "cifar10/guided/seed1.5",
        "cifar10/guided/seedone",
        "cifar10/guided/seed1/",
        "cifar10/guided/seed1.json",
        "records/cifar10/guided/seed1",
        "/guided/seed1",
        "cifar10//seed1",
        " cifar10/guided/seed1\n",
    ],
)
def test_what_is_no_path_of_a_run_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Problem) as caught:
        Run.parse(text)
    said = "not a run; write <data set>/<method>/seed<k>, like mnist/guided/seed1"
    assert str(caught.value) == f"{text}: {said}"


def test_every_method_runs_at_every_seed_but_pca_once_and_variants_at_their_own_seeds() -> None:
    plain = shipped()
    ablation = {"seeds": [4], "base": {}, "variants": {"full": {}, "0.5": {"gradient-weight": 0.5}}}
    plain["datasets"]["cifar10"] |= {
        "seeds": [1, 2, 3],
        "sweeps": {"autoencoder-plus": {"ablation": ablation}},
    }
    study = config.from_plain("changed.yaml", plain)
    expected = [("pca", 1), *((method, seed) for method in list(METHODS)[1:] for seed in (1, 2, 3))]
    expected += [(f"autoencoder-plus.ablation.{name}", 4) for name in ("full", "0.5")]
    assert study.runs("cifar10") == [Run("cifar10", *one) for one in expected]
    assert study.runs() == study.runs("mnist") + study.runs("cifar10")


def test_the_reference_classifier_has_its_own_seed_and_settings_and_is_not_measured() -> None:
    study = shipped_study()
    for name, run in study.reference_classifiers().items():
        assert run == Run(name, REFERENCE_CLASSIFIER, study.dataset(name).reference_classifier_seed)
        assert run not in study.runs() and REFERENCE_CLASSIFIER not in study.methods
        assert study.settings(name, run.method) is study.dataset(name).reference_classifier


def test_a_variant_is_its_method_with_the_sweeps_base_and_its_own_changes() -> None:
    variants = {"full": {}, "short": {"optimisation": {"batch-size": 7}, "linear-path": False}}
    sweep = {"seeds": [1], "base": {"linear-rate": 0.7}, "variants": variants}
    study = read(ABLATION, sweep)
    method = study.settings("cifar10", "autoencoder-plus")
    full, short = (study.settings("cifar10", f"autoencoder-plus.ablation.{name}") for name in variants)
    assert full == msgspec.structs.replace(method, linear_rate=0.7)
    shorter = msgspec.structs.replace(method.optimisation, batch_size=7)
    assert short == msgspec.structs.replace(full, optimisation=shorter, linear_path=False)


def test_the_encoder_is_that_of_the_sweep_else_of_the_data_set_else_of_the_study() -> None:
    sweep = {"seeds": [1], "base": {}, "variants": {"full": {}}, "encoder": {"widths": [1, 2, 3]}}
    sweeps = {"autoencoder-plus": {"narrow": sweep, "wide": sweep | {"encoder": None}}}
    plain = shipped()
    plain["encoder"]["widths"], plain["datasets"]["mnist"]["encoder"] = [7, 8, 9], {"widths": [4, 5, 6]}
    study = read("datasets.cifar10.sweeps", sweeps, plain)
    wide = (7, 8, 9)
    expected = {
        Run("mnist", "guided", 1): (4, 5, 6),
        Run("mnist", REFERENCE_CLASSIFIER, 1): (4, 5, 6),
        Run("cifar10", "guided", 1): wide,
        Run("cifar10", "autoencoder-plus.narrow.full", 1): (1, 2, 3),
        Run("cifar10", "autoencoder-plus.wide.full", 1): wide,
    }
    for run, widths in expected.items():
        assert study.training(run)["encoder"] == {"widths": widths}
        blocks = build(study, run).encoder.blocks[1:]
        assert tuple(block[0].out_channels for block in blocks) == widths


def test_sweeps_may_stand_in_a_file_of_their_own_and_its_faults_are_named(tmp_path: Path) -> None:
    plain = shipped()
    sweeps = {name: one.pop("sweeps") for name, one in plain["datasets"].items() if "sweeps" in one}
    path, beside = tmp_path / "study.yaml", tmp_path / "sweeps.yaml"
    path.write_text(yaml.safe_dump(plain | {"sweeps": beside.name}))
    beside.write_text(yaml.safe_dump(sweeps))
    assert config.read(path) == config.from_plain(path, shipped())
    for fault, said in (
        (sweeps | {"svhn": {}}, "svhn: not a data set of"),
        ({"cifar10": {"guided": {"labels": {"seeds": [1]}}}}, "missing required field"),
        (None, "empty; give a YAML file"),
    ):
        beside.write_text("# nothing yet\n" if fault is None else yaml.safe_dump(fault))
        with pytest.raises(Problem, match=said) as caught:
            config.read(path)
        assert str(caught.value).startswith(f"{beside}: ")
    inline = written(tmp_path, "threads", 2)
    beside.write_text(yaml.safe_dump(sweeps))
    inline.write_text(inline.read_text() + f"sweeps: {beside.name}\n")
    said = f"datasets.cifar10.sweeps: {beside} has sweeps of it too; keep them in one place"
    assert said in refusal(inline)
    for datasets in ([1], {"cifar10": 3}):
        path.write_text(yaml.safe_dump(plain | {"sweeps": beside.name, "datasets": datasets}))
        with pytest.raises(Problem, match="cifar10: not a data set of"):
            config.read(path)


def test_a_key_that_is_there_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text((ROOT / "config/study.yaml").read_text() + "threads: 4\n")
    message = refusal(path)
    assert "the key 'threads' is there twice" in message and "line" in message


def test_a_digest_depends_on_values_and_not_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_what_decides_the_weights_changes_with_the_method_and_not_with_the_measurement() -> None:
    def training(place: str, value: object) -> dict:
        return read(place, value).training(Run("mnist", "guided", 1))

    before = training("study", "study")
    assert training("probe.knn-k", 7) == before and training("measurement.pairs", 9) == before
    for place, value in (
        ("datasets.mnist.methods.guided.label-smoothing", 0.3),
        ("threads", 5),
        ("datasets.mnist.split-seed", 7),
    ):
        assert training(place, value) != before


def test_what_decides_fine_tuned_weights_changes_with_the_run_that_they_start_from() -> None:
    def training(method: str, temperature: float) -> dict:
        place = "datasets.cifar10.methods.contrastive.temperature"
        return read(place, temperature).training(Run("cifar10", method, 2))

    for method, decided in (("guided.finetuned.1pct", True), ("guided.labels.1pct", False)):
        assert (training(method, 0.3) != training(method, 0.1)) == decided
    assert training("guided.finetuned.1pct", 0.3)["start"] == training("contrastive", 0.3)


def test_what_decides_a_record_changes_with_the_measurement_and_the_reference_classifier() -> None:
    def measuring(place: str, value: object) -> dict:
        return read(place, value).measuring(Run("mnist", "guided", 1))

    before = measuring("study", "study")
    assert measuring("datasets.mnist.methods.supcon.temperature", 0.3) == before
    for place, value in (
        ("datasets.mnist.methods.guided.label-smoothing", 0.3),
        ("probe.knn-k", 7),
        ("measurement.pairs", 9),
        ("decoder.channels", 8),
        ("datasets.mnist.reference-classifier-seed", 7),
        ("datasets.mnist.reference-classifier.label-smoothing", 0.3),
    ):
        assert measuring(place, value) != before


def test_the_folders_of_data_and_checkpoints_can_lie_outside_the_checkout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study, demo = (config.read(ROOT / f"config/{name}.yaml") for name in ("study", "demo"))
    monkeypatch.delenv("LATENTS_DATA", raising=False)
    monkeypatch.delenv("LATENTS_CHECKPOINTS", raising=False)
    assert (study.data, study.checkpoints) == ("data", "checkpoints")
    assert (demo.data, demo.checkpoints) == ("demo/data", "demo/checkpoints")
    monkeypatch.setenv("LATENTS_DATA", "/far/data")
    monkeypatch.setenv("LATENTS_CHECKPOINTS", "/far/weights")
    assert (study.data, study.checkpoints) == ("/far/data", "/far/weights/study")
    # the demo never reads real data
    assert (demo.data, demo.checkpoints) == ("demo/data", "/far/weights/demo")


# what commands share


def problem() -> None:
    raise Problem("cat.png: not an image; give another")


def interrupted() -> None:
    raise KeyboardInterrupt


def step(main: Callable[[], None]) -> SystemExit:
    """How a command ends."""
    with pytest.raises(SystemExit) as caught:
        cli.command(main)()
    return caught.value


def test_a_problem_becomes_one_line_on_stderr_and_exit_status_1() -> None:
    # a string as code is what the interpreter prints on stderr before it exits with status 1
    assert step(problem).code == "error: cat.png: not an image; give another"
    # any other exception is a fault of the program and keeps its traceback
    with pytest.raises(ZeroDivisionError):
        cli.command(lambda: 1 / 0)()
    assert step(lambda: sys.exit(3)).code == 3


def test_an_interruption_becomes_one_line_on_stderr_and_exit_status_130(
    capsys: pytest.CaptureFixture,
) -> None:
    assert step(interrupted).code == 130
    printed = capsys.readouterr()
    assert printed.err == "interrupted; the same command starts this step again\n" and not printed.out


def test_a_command_has_required_options_of_text_numbers_and_paths(capsys: pytest.CaptureFixture) -> None:
    parser = cli.parser("What it does.", "config", "seed", paths=("out",))
    options = parser.parse_args(["--config", "a.yaml", "--seed", "3", "--out", "b/c"])
    assert vars(options) == {"config": "a.yaml", "seed": 3, "out": Path("b/c")}
    for given in (["--config", "a.yaml", "--seed", "3"], ["--config", "a", "--seed", "x", "--out", "b"]):
        with pytest.raises(SystemExit, match="2"):
            parser.parse_args(given)
    assert "required: --out" in capsys.readouterr().err
    assert "What it does." in parser.format_help()


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
        (
            "measurement.tsne-neighbours",
            2500,
            "tsne-neighbours: 2500 is not less than half of the 5000 points",
        ),
        ("measurement.tsne-points", 20, "tsne-neighbours: 15 is not less than half of the 20 points"),
        ("measurement.silhouette-points", 10, "silhouette-points: 10 points"),
        ("datasets.mnist.seeds", [1, 2**32], "4294967295"),
        ("datasets.mnist.split-seed", 2**32, "4294967295"),
        ("measurement.seed", 2**40, "4294967295"),
        ("threads", 5000, "threads"),
        ("datasets.cifar10.train", 10, "train: 10 images are too few"),
        ("datasets.mnist.train", 70000, "train + validation: 75000 images, of which 60000 were published"),
        ("datasets.cifar10.test", 10001, "test: 10001 images, of which 10000 were published"),
        ("datasets.cifar10.methods.autoencoder-plus.code-size", 4000, "3072; lower it"),
        ("datasets.mnist.methods.contrastive.code-size", 785, "784; lower it"),
        ("study", "../../x y", "study: '../../x y' cannot be part of a path"),
        ("study", "", "study: '' cannot be part of a path"),
        ("folder", "demo", "folder: 'demo' does not end in /; write 'demo/'"),
        ("study", "mine", "folder: '' is that of the study named study"),
        ("folder", "../other/", "folder: '../other/' has a part that is no plain name"),
        ("folder", "{run}/", "folder: '{run}/' has a part"),
        ("folder", "~/mine/", "folder: '~/mine/' has a part"),
        ("note", "two\nlines", "write it as one"),
        ("note", "\u65e5\u672c", "note: TeX's fonts have no"),
        ("note", "\u03c3 = 0.1", "note: TeX's fonts have no"),
        ("folder", "/", "folder: '/' has a part"),
        ("folder", "-x/", "folder: '-x/' has a part"),
        ("folder", "<x>/", "folder: '<x>/' has a part"),
        ("folder", "reference/", "folder: 'reference/' is a folder of the project"),
        ("folder", ".git/x/", "folder: '.git/x/' is a folder of the project"),
        ("measurement.tsne-perplexity", 0.1, "tsne-perplexity: 0.1 leaves no neighbour"),
        ("encoder.widths", [16, 32, 10**9], "16384"),
    ],
)
def test_a_value_that_would_fail_hours_later_is_refused_at_once(place: str, value: object, said: str) -> None:
    assert said in refused(place, value)


def test_a_further_probe_leaves_older_studies_readable_and_their_hashes_as_they_were() -> None:
    class Further(ProbeSettings, frozen=True):
        ridge_alpha: float | None = None

    older = msgspec.to_builtins(config.read(ROOT / "reference/study.yaml").probe)
    assert msgspec.to_builtins(msgspec.convert(older, Further)) == older
    newer = older | {"ridge-alpha": 1.0}
    assert msgspec.to_builtins(msgspec.convert(newer, Further)) == newer


def test_a_fault_in_a_data_sets_or_sweeps_settings_names_the_data_set_and_the_sweep() -> None:
    said = refused("datasets.cifar10.train", "many")
    assert "datasets.cifar10: Expected `int`, got `str` - at `$.train`" in said
    sweep = {"autoencoder-plus": {"size": {"seeds": "one", "base": {}, "variants": {}}}}
    said = refused("datasets.mnist.sweeps", sweep)
    assert "datasets.mnist.sweeps.autoencoder-plus.size: Expected `array`, got `str` - at `$.seeds`" in said


def test_a_data_set_without_a_stand_in_is_refused_in_a_study_of_stand_ins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without = dataclasses.replace(DATASETS["mnist"], stand_in=None)
    monkeypatch.setitem(DATASETS, "mnist", without)
    assert "datasets.mnist: has no stand-in; use source: download" in refused("source", "stand-in")


@pytest.mark.parametrize("name", ["LATENTS_DATA", "LATENTS_CHECKPOINTS"])
def test_an_empty_variable_is_as_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    study = shipped_study()
    monkeypatch.delenv(name, raising=False)
    before = study.data, study.checkpoints
    monkeypatch.setenv(name, "")
    assert (study.data, study.checkpoints) == before


@pytest.mark.parametrize("text", ["010", "1:30", "-007", "1:30.5"])
def test_numbers_that_yaml_reads_in_two_ways_are_refused_with_their_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "number.yaml"
    path.write_text(f"first: 1\nvalue: {text}\n")
    with pytest.raises(Problem, match=rf"number\.yaml: not valid YAML: {text} .* line 2"):
        load_yaml(path)


def test_a_note_may_have_accents_dashes_and_every_sign_of_the_keyboard() -> None:
    note = "".join(map(chr, range(32, 127))) + " \u00fc \u00bd \u2013 \u201c \u2026 \u0141"
    assert read("note", note).note == note


def test_what_differs_between_two_configurations_is_named_with_both_values() -> None:
    made = {"precision": "float32", "method": {"optimisation": {"epochs": 3}, "size": (1, 2)}, "seed": 1}
    here = {"precision": "float32", "method": {"optimisation": {"epochs": 4}, "size": [1, 2]}, "labels": 0.1}
    assert plain.differing(made, here) == [
        "method.optimisation.epochs: 3, here 4",
        "seed: 1, here absent",
        "labels: absent, here 0.1",
    ]
