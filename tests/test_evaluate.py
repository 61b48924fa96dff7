"""Evaluation: test is read with --final alone, nothing that is frozen changes, and the record is complete."""

import base64
import copy
import functools
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import call
from msgspec.structs import replace
from tiny import TEST, TRAIN, VAL, Runs, pictures, same, state
from torch import Tensor, nn

from latents import augment, budgets, data, evaluate, geometry, measure, probe, record, train
from latents.cli import Problem
from latents.encode import encode
from latents.methods import METHODS
from latents.metrics import NUISANCES
from latents.model import Model, save_model
from latents.probe import Outcome
from latents.settings import CODE_SIZE
from latents.study import REFERENCE_CLASSIFIER, Run, Study
from latents.subject import Measured, Subject

SIZES = {"train": TRAIN, "val": VAL, "test": TEST}
MEASURED = ("pca", "autoencoder", "guided", "contrastive")  # two with a decoder of their own, two without
GEOMETRY = {"silhouette", "scatter_ratio", "knn_purity", "alignment", "uniformity", "effective_rank"}
RANGES = {
    "accuracy": (0, 100),
    "mae": (0, 1),
    "psnr": (0, 100),
    "ssim": (-1, 1),
    "silhouette": (-1, 1),
    "scatter_ratio": (0, 1e6),
    "knn_purity": (0, 1),
    "alignment": (0, 4),
    "uniformity": (-8, 0),
    "effective_rank": (1, 128),
    "nuisance": (-1e3, 1),
    "path_length": (1 - 1e-4, 100),
    "path_confidence": (10, 100),
    "class_changes": (0, 9),
    "reference_classifier": (0, 100),
}

Found = tuple[dict, dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]
Evaluated = tuple[dict, dict[str, bytes], dict[str, float]]

CLASSIFIER = (REFERENCE_CLASSIFIER, 8001)  # with its seed


def unpacked(archive: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(archive)) as content:
        return dict(content)


def values(facts: dict) -> dict[tuple[str, str], float]:
    return {(one["metric"], one["split"]): one["value"] for one in facts["metrics"]}


def evaluated(study: Study, method: str, model: Model, classifier: Model, *, final: bool = True) -> Evaluated:
    """The evaluation of an MNIST run of seed 1."""
    return evaluate.evaluate(study, Run("mnist", method, 1), model, classifier, final=final)


def models_of(runs: Runs, method: str) -> tuple[Model, Model]:
    """Copies of a method's model and of the reference classifier."""
    return tuple(copy.deepcopy(runs.trained(*name).model) for name in ((method,), CLASSIFIER))


def codes_of(runs: Runs, method: str, images: Tensor) -> Tensor:
    return encode(runs.trained(method).model.encoder, images, runs.study.precision)


def subject_of(
    runs: Runs, method: str, labels: dict[str, Tensor], *, study: Study | None = None, **others: dict
) -> Subject:
    """What is measured of an MNIST run of seed 1, made up but for its model."""
    model, run = runs.trained(method).model, Run("mnist", method, 1)
    given = {"split": None, "parts": {}, "images": {}, "codes": {}} | others
    return Subject(study=study or runs.study, run=run, model=model, labels=labels, **given)


@pytest.fixture(scope="module")
def measured(runs: Runs) -> Callable[[str], Found]:
    """method -> facts, codes, pictures and sample of a run with --final; computed once, only read."""

    @functools.cache
    def one(method: str) -> Found:
        facts, files, _ = evaluated(runs.study, method, *models_of(runs, method))
        return facts, unpacked(files["codes"]), unpacked(files["pictures"]), unpacked(files["sample"])

    return one


# test is read with --final alone


def test_without_final_the_test_files_are_not_read_and_nothing_is_measured_on_them(
    runs: Runs, tmp_path: Path
) -> None:
    shutil.copytree(runs.folder / "data", tmp_path / "data")
    for file in (tmp_path / "data/MNIST/raw").glob("t10k-*"):
        file.unlink()
    study = replace(runs.study, folder=f"{tmp_path}/")
    model, classifier = (runs.trained(*name).model for name in (("pca",), CLASSIFIER))
    facts, files, _ = evaluated(study, "pca", model, classifier, final=False)
    codes, shown = files["codes"], files["pictures"]
    assert facts["test_read"] is False and facts["correct"] == {}
    assert {split for _, split in values(facts)} == {"train", "val"}
    assert not any("test" in name for name in unpacked(codes))
    val = data.load(study, "mnist", with_test=False).val
    assert set(unpacked(shown)["indices"]) <= set(val.indices)
    with pytest.raises(Problem, match="t10k-images-idx3-ubyte: cannot be read"):
        evaluated(study, "pca", model, classifier)


# frozen is frozen


@pytest.mark.parametrize("method", ["contrastive", "guided"])
def test_probes_decoder_and_measures_leave_every_weight_and_batch_statistic_as_it_was(
    runs: Runs, method: str
) -> None:
    model, classifier = models_of(runs, method)
    before = state(model), state(classifier)
    assert any("running_var" in name for name in before[0])
    evaluated(runs.study, method, model, classifier)
    assert same(state(model), before[0]) and same(state(classifier), before[1])
    assert all(parameter.grad is None for parameter in model.parameters())


# what the record holds


@pytest.mark.parametrize("method", MEASURED)
def test_every_metric_of_every_split_is_there_and_in_its_range(
    measured: Callable[[str], Found], method: str
) -> None:
    found = values(measured(method)[0])
    probes = {"linear", "mlp", "knn", "best"} | ({"head"} if METHODS[method].sees_labels else set())
    unseen, both = ("val", "test"), ("linear", "knn")
    expected = {(f"accuracy_{name}", split) for name in probes for split in SIZES}
    expected |= {
        (f"accuracy_{name}_{share}pct", split) for name in both for share in (1, 10) for split in unseen
    }
    if method in ("contrastive", "supcon"):
        expected |= {(f"accuracy_{name}_projection", split) for name in both for split in unseen}
    expected |= {(name, split) for name in ("mae", "mae_frozen") for split in SIZES}
    expected |= {(name, split) for name in (*GEOMETRY, "psnr", "ssim") for split in unseen}
    expected |= {(f"nuisance_{name}", split) for name in NUISANCES if name != "colour" for split in unseen}
    if method in ("guided", "contrastive"):  # the others have encoders of their own
        expected |= {(f"accuracy_{name}_features_50pct", split) for name in both for split in unseen}
    changes = ("32bit", "1bit", "4bit", "noise_0.5")
    changed = ("accuracy_linear", "accuracy_mlp", "mae")
    expected |= {(f"{name}_{one}", split) for name in changed for one in changes for split in unseen}
    paths = ("path_length", "path_confidence", "class_changes")
    ways = ("", "_spherical", "_pixels")
    expected |= {(f"{name}{suffix}", "test") for name in paths for suffix in ways}
    expected |= {(f"class_changes{suffix}_pairs", "test") for suffix in ways}
    expected |= {(f"reference_classifier_accuracy{suffix}", "test") for suffix in ("", "_decoded")}
    for way in ("", "_spherical"):
        if not found[f"class_changes{way}_pairs", "test"]:
            # no decoded pair was classified correctly at both ends: there is no mean
            expected -= {(f"class_changes{way}", "test")}
    assert set(found) == expected and len(measured(method)[0]["metrics"]) == len(expected)
    by_length = sorted(RANGES, key=len, reverse=True)
    for (name, _), value in found.items():
        if not name.endswith("pairs"):
            low, high = RANGES[next(start for start in by_length if name.startswith(start))]
            assert low <= value <= high, name


def test_a_mean_of_class_changes_over_a_few_pairs_is_left_out_and_their_count_is_in_the_record(
    runs: Runs, measured: Callable[[str], Found]
) -> None:
    counted = values(measured("pca")[0])["class_changes_pixels_pairs", "test"]
    model, classifier = (runs.trained(*name).model for name in (("pca",), CLASSIFIER))
    for enough in (counted, counted + 1):
        study = replace(runs.study, measurement=replace(runs.study.measurement, fewest_pairs=enough))
        found = values(evaluated(study, "pca", model, classifier)[0])
        assert (("class_changes_pixels", "test") in found) == (enough == counted)
        assert found["class_changes_pixels_pairs", "test"] == counted


def test_the_numbers_of_the_cross_fade_are_the_same_for_every_method(
    measured: Callable[[str], Found],
) -> None:
    found = [values(measured(method)[0]) for method in MEASURED]
    pixels = ("path_length_pixels", "class_changes_pixels", "class_changes_pixels_pairs")
    for name in (*pixels, "reference_classifier_accuracy"):
        assert len({each[name, "test"] for each in found}) == 1
    assert found[0]["path_length_pixels", "test"] == pytest.approx(1, abs=1e-4)
    assert found[0]["class_changes_pixels_pairs", "test"] > 0 and found[0]["class_changes_pairs", "test"] > 0


@pytest.mark.parametrize("method", MEASURED)
def test_the_bits_of_correctness_are_the_accuracies_on_test(
    measured: Callable[[str], Found], method: str
) -> None:
    facts = measured(method)[0]
    probes = {"linear", "mlp", "knn"} | ({"head"} if METHODS[method].sees_labels else set())
    assert set(facts["correct"]) == probes
    for name, bits in facts["correct"].items():
        correct = np.unpackbits(np.frombuffer(base64.b64decode(bits), np.uint8))
        assert len(correct) == 8 * -(-TEST // 8) and not correct[TEST:].any()
        assert 100 * correct[:TEST].mean() == pytest.approx(values(facts)[f"accuracy_{name}", "test"])


@pytest.mark.parametrize("method", MEASURED)
def test_the_error_of_each_test_image_is_in_the_record_for_paired_comparisons(
    measured: Callable[[str], Found], method: str
) -> None:
    facts = measured(method)[0]
    for name, metric in (("errors", "mae"), ("errors_frozen", "mae_frozen")):
        errors = np.frombuffer(base64.b64decode(facts[name]), np.float16)
        assert len(errors) == SIZES["test"]
        assert errors.astype(float).mean() == pytest.approx(values(facts)[metric, "test"], rel=1e-3)
        assert len(set(errors.tolist())) > 1


@pytest.mark.parametrize("method", MEASURED)
def test_every_method_is_decoded_by_one_kind_of_decoder_too_which_is_its_own_where_it_has_no_other(
    runs: Runs, measured: Callable[[str], Found], method: str
) -> None:
    found = values(measured(method)[0])
    same_decoder = found["mae_frozen", "test"] == found["mae", "test"]
    assert same_decoder == (not runs.trained(method).model.decodes)


def test_val_chooses_the_probes_on_few_labels_and_the_record_has_their_settings(
    runs: Runs, measured: Callable[[str], Found]
) -> None:
    chosen = measured("contrastive")[0]["probe_settings_chosen_on_val"]
    few = {f"linear_{100 * share:g}pct" for share in runs.study.measurement.label_shares}
    few |= {f"linear_features_{100 * runs.study.measurement.features_share:g}pct"}
    assert set(chosen) == {"linear", "mlp", "linear_projection"} | few
    assert all(chosen[name] in runs.study.probe.linear_c for name in chosen if name != "mlp")


def test_the_classification_head_is_the_models_own(runs: Runs, measured: Callable[[str], Found]) -> None:
    head, test = runs.trained("guided").model.head, data.load(runs.study, "mnist", with_test=True).test
    with torch.inference_mode():
        predicted = head(codes_of(runs, "guided", torch.from_numpy(test.images))).argmax(1).numpy()
    expected = 100 * (predicted == test.labels).mean()
    assert values(measured("guided")[0])["accuracy_head", "test"] == pytest.approx(expected)


def outcome(labels: dict[str, Tensor], mistakes: dict[str, int]) -> Outcome:
    wrong = {split: part.clone() for split, part in labels.items()}
    for split, n in mistakes.items():
        wrong[split][:n] += 1
    return Outcome(wrong, 0.5)


@pytest.mark.parametrize(
    ("on_val", "on_test", "better"), [((4, 6), (9, 1), "linear"), ((6, 4), (1, 9), "mlp")]
)
def test_the_better_probe_is_the_one_that_val_chooses_even_where_test_disagrees(
    runs: Runs,
    monkeypatch: pytest.MonkeyPatch,
    on_val: tuple[int, int],
    on_test: tuple[int, int],
    better: str,
) -> None:
    labels = {split: torch.arange(n) % 10 for split, n in SIZES.items()}
    for name, val, test in zip(("linear", "mlp"), on_val, on_test, strict=True):
        given = outcome(labels, {"val": val, "test": test})
        monkeypatch.setitem(probe.FUNCTIONS, name, lambda *_, given=given: given)
    monkeypatch.setitem(probe.FUNCTIONS, "knn", lambda *_: outcome(labels, {}))
    made = Measured()
    facts, _ = measure.measure_probes(subject_of(runs, "contrastive", labels), made)
    found = values({"metrics": made.metrics})
    assert facts["probe_chosen_on_val"] == better
    assert found["accuracy_best", "test"] == found[f"accuracy_{better}", "test"] == 100 * (1 - 9 / TEST)


def test_a_decoder_is_measured_at_other_budgets_too_on_the_first_seed_of_a_method_alone(runs: Runs) -> None:
    decoder = replace(runs.study.decoder, epochs_curve=(1, 2))
    study = replace(runs.study, decoder=decoder)
    images = {name: torch.from_numpy(pictures("mnist", 20, k)[0]) for k, name in enumerate(("train", "val"))}
    codes = {name: codes_of(runs, "contrastive", part) for name, part in images.items()}
    made, shown = Measured(), {"images": images, "codes": codes}
    labels = {name: torch.arange(20) % 10 for name in images}
    subject = subject_of(runs, "contrastive", labels, study=study, **shown)
    measure.measure_reconstruction(subject, "val", made)
    budgets.measure_decoder_budgets(subject, made)
    found = values({"metrics": made.metrics})
    assert found["mae_frozen_1_epochs", "val"] == found["mae_frozen", "val"]  # the study's own budget
    assert found["mae_frozen_2_epochs", "val"] != found["mae_frozen", "val"]
    others = Measured()
    for run in (Run("mnist", "contrastive", 2), Run("mnist", "contrastive.ablation.full", 1)):
        budgets.measure_decoder_budgets(subject._replace(run=run), others)
    assert others.metrics == []


def test_all_methods_are_aligned_over_the_same_views(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    view, seen = augment.view, {}
    images = {"val": torch.from_numpy(pictures("mnist", 20, 3)[0])}
    labels = {"val": torch.arange(20) % 10}
    for method in ("pca", "contrastive"):

        def watched(*arguments: object, method: str = method) -> Tensor:
            seen.setdefault(method, []).append(view(*arguments))
            return seen[method][-1]

        codes = dict.fromkeys(("train", "val"), codes_of(runs, method, images["val"]))
        monkeypatch.setattr(augment, "view", watched)
        measure.measure_geometry(subject_of(runs, method, labels, images=images, codes=codes), Measured())
    assert len(seen["pca"]) == 2 and not torch.equal(*seen["pca"])
    assert all(torch.equal(one, other) for one, other in zip(seen["pca"], seen["contrastive"], strict=True))


def test_the_silhouette_reads_points_drawn_from_the_whole_split_the_same_for_every_method(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = replace(runs.study, measurement=replace(runs.study.measurement, silhouette_points=7))
    images, seen = {"val": torch.from_numpy(pictures("mnist", 20, 3)[0])}, []
    labels = {"val": torch.arange(20) // 2}
    monkeypatch.setattr(geometry, "silhouette", lambda codes, classes: seen.append(classes.tolist()) or 0.5)
    for method in ("pca", "contrastive"):
        codes = dict.fromkeys(("train", "val"), codes_of(runs, method, images["val"]))
        subject = subject_of(runs, method, labels, study=study, images=images, codes=codes)
        measure.measure_geometry(subject, Measured())
    # the first seven have labels 0 to 3
    assert seen[0] == seen[1] and len(seen[0]) == 7 and max(seen[0]) > 3


def test_a_number_that_is_not_finite_is_refused_and_one_that_does_not_exist_is_left_out() -> None:
    found = Measured()
    found.add("class_changes", "test", None)
    assert found.metrics == []
    broken = "silhouette on val is not finite: the trained weights are broken; train the run again"
    with pytest.raises(Problem, match=broken):
        found.add("silhouette", "val", float("nan"))


# codes and pictures


@pytest.mark.parametrize("method", MEASURED)
def test_the_codes_file_holds_codes_labels_and_indices_of_each_split(
    runs: Runs, measured: Callable[[str], Found], method: str
) -> None:
    arrays, split = measured(method)[1], data.load(runs.study, "mnist", with_test=True)
    assert set(arrays) == {f"{kind}{name}" for kind in ("", "labels_", "indices_") for name in SIZES}
    for name, n in SIZES.items():
        part = getattr(split, name)
        assert arrays[name].shape == (n, CODE_SIZE) and arrays[name].dtype == np.float32
        assert np.array_equal(arrays[f"labels_{name}"], part.labels)
        assert np.array_equal(arrays[f"indices_{name}"], part.indices)
        expected = codes_of(runs, method, torch.from_numpy(part.images)).numpy()
        assert np.array_equal(arrays[name], expected)


@pytest.mark.parametrize("method", MEASURED)
def test_the_sample_holds_codes_of_the_same_test_images_for_every_method_in_half_precision(
    runs: Runs, measured: Callable[[str], Found], method: str
) -> None:
    _, arrays, _, sample = measured(method)
    places = np.searchsorted(arrays["indices_test"], sample["indices"])
    assert len(places) == min(runs.study.measurement.sample, SIZES["test"])
    assert sample["codes"].dtype == np.float16
    assert np.array_equal(sample["codes"], arrays["test"][places].astype(np.float16))
    assert np.array_equal(sample["indices"], measured(MEASURED[0])[3]["indices"])


def test_the_ends_of_a_path_are_of_two_classes_and_no_image_is_in_two_pairs() -> None:
    labels = np.arange(51) % 3
    pairs = measure.unlike_pairs(labels, 10, seed=3)
    assert pairs.shape == (10, 2) and len(np.unique(pairs)) == 20
    assert (labels[pairs[:, 0]] != labels[pairs[:, 1]]).all()
    assert len(measure.unlike_pairs(labels, 1000, seed=3)) <= 25
    assert np.array_equal(pairs, measure.unlike_pairs(labels, 12, seed=3)[:10])


def test_a_variant_is_measured_on_val_and_test_alone(runs: Runs) -> None:
    labels, made = {split: torch.arange(n) % 10 for split, n in SIZES.items()}, Measured()
    codes = {
        split: torch.randn(n, 128, generator=torch.Generator().manual_seed(n)) for split, n in SIZES.items()
    }
    subject = subject_of(runs, "contrastive", labels, codes=codes)
    variant = subject._replace(run=Run("mnist", "contrastive.ablation.full", 1))
    measure.measure_probes(variant, made)
    assert {one["split"] for one in made.metrics} == {"val", "test"} and subject.splits == list(SIZES)


def test_the_probes_with_few_labels_see_those_labels_alone(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    linear = probe.linear

    def watched(codes: dict[str, Tensor], labels: dict[str, Tensor], *others: object) -> Outcome:
        seen.append((len(codes["train"]), sorted(codes), labels["train"].bincount(minlength=10).tolist()))
        return linear(codes, labels, *others)

    monkeypatch.setitem(probe.FUNCTIONS, "linear", watched)
    evaluated(runs.study, "random", *models_of(runs, "random"))
    each = SIZES["train"] // 10
    few = [-(-each // 100), -(-each // 10)]  # of each class, rounded up
    of_features = round(each * runs.study.measurement.features_share)
    assert seen == [(10 * n, ["test", "train", "val"], 10 * [n]) for n in (each, *few, of_features)]


def test_the_projection_that_is_probed_is_the_projection_heads_output(
    runs: Runs, measured: Callable[[str], Found]
) -> None:
    facts, arrays, _, _ = measured("contrastive")
    labels = {name: torch.from_numpy(arrays[f"labels_{name}"]) for name in SIZES}
    with torch.inference_mode():
        head = runs.trained("contrastive").model.projector.eval()
        projected = {
            name: nn.functional.normalize(head(torch.from_numpy(arrays[name])), dim=1) for name in SIZES
        }
    predicted = probe.knn(projected, labels, runs.study.probe, 10, ["test"]).predictions["test"]
    found = values(facts)
    assert found["accuracy_knn_projection", "test"] == probe.accuracy(predicted, labels["test"])
    assert found["accuracy_knn", "test"] != found["accuracy_knn_projection", "test"]


def test_a_method_with_a_prior_shows_what_standard_normal_codes_decode_to_and_the_others_nothing(
    runs: Runs, measured: Callable[[str], Found]
) -> None:
    samples = measured("vae")[2]["samples"]
    assert samples.shape == (evaluate.SAMPLES, 28, 28, 1)
    assert len({sample.tobytes() for sample in samples}) > evaluate.SAMPLES / 2
    codes = torch.randn(4096, 128, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        decoded = runs.trained("vae").model.decode(codes).mean(0).squeeze()
    assert np.abs(samples.mean(0).squeeze() / 255 - decoded.numpy()).mean() < 0.02
    assert "samples" not in measured("pca")[2]


def test_the_pictures_shown_are_one_of_each_class_and_the_same_for_every_method_whatever_their_error(
    runs: Runs, measured: Callable[[str], Found]
) -> None:
    shown = [measured(method)[2] for method in MEASURED]
    images = data.load(runs.study, "mnist", with_test=True).test.images.transpose(0, 2, 3, 1)
    for each in shown:
        for name in ("indices", "labels", "originals", "path_ends", "path_pixels"):
            assert np.array_equal(each[name], shown[0][name])
        assert each["originals"].shape == each["reconstructions"].shape == (10, 28, 28, 1)
        assert np.array_equal(each["originals"], images[each["indices"]])
        assert each["path_codes"].shape == each["path_pixels"].shape == (measure.PATHS, 10, 28, 28, 1)
        assert each["path_arcs"].shape == (1, 10, 28, 28, 1)
        ends = [each[name][0, [0, -1]].astype(int) for name in ("path_arcs", "path_codes")]
        assert np.abs(ends[0] - ends[1]).max() <= 1  # both paths have the same ends
        assert np.array_equal(each["path_pixels"][:, 0], images[each["path_ends"][:, 0]])
        assert np.array_equal(each["path_pixels"][:, -1], images[each["path_ends"][:, 1]])
    assert shown[0]["labels"].tolist() == [*range(10)]
    assert not np.array_equal(shown[0]["reconstructions"], shown[1]["reconstructions"])


# the command

OUT = {
    "out": "record.json",
    "codes": "codes.npz",
    "sample": "sample.npz",
    "pictures": "pictures.npz",
    "timing": "timing.json",
}


def described(weights_sha256: str) -> dict:
    """A record of a training, as far as an evaluation reads that of the reference classifier."""
    return {"format": record.FORMAT, "weights_sha256": weights_sha256}


@pytest.fixture(scope="module")
def files(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained run as its training job leaves it."""
    folder = tmp_path_factory.mktemp("files")
    out = {"out": "w.safetensors", "record": "r.json", "curve": "c.csv", "timing": "t.json"}
    options = [part for name, file in out.items() for part in (f"--{name}", folder / file)]
    run = ("--dataset", "mnist", "--method", "guided", "--seed", 1)
    call(train, "--config", runs.config, *run, *options)
    weights = runs.weights(*CLASSIFIER)
    record.write_json(folder / "classifier.json", described(record.sha256(weights)))
    return folder


def run_command(runs: Runs, files: Path, out: Path, **changes: object) -> None:
    options = {"config": runs.config, "dataset": "mnist", "method": "guided", "seed": 1}
    options |= {"weights": files / "w.safetensors", "trained": files / "r.json"}
    options |= {"classifier": runs.weights(*CLASSIFIER)}
    options |= {"classifier-trained": files / "classifier.json"}
    options |= {name: out / file for name, file in OUT.items()} | changes
    call(evaluate, "--final", *(part for name, value in options.items() for part in (f"--{name}", value)))


def test_the_command_gives_the_same_bytes_each_time_and_a_record_with_all_it_came_from(
    runs: Runs, files: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        run_command(runs, files, tmp_path / name)
    for name in ("record.json", "codes.npz", "sample.npz", "pictures.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    made, trained = record.read_json(tmp_path / "a/record.json"), record.read_json(files / "r.json")
    for name in ("codes", "sample", "pictures"):
        assert made[f"{name}_sha256"] == record.sha256(tmp_path / f"a/{name}.npz")
    assert made["reference_classifier_sha256"] == record.sha256(runs.weights(*CLASSIFIER))
    assert made["weights_sha256"] == trained["weights_sha256"]
    assert made["test_read"] is True and made["split_sha256"] == trained["split_sha256"]
    assert made["config"]["probe"]["knn-k"] == 5
    came_from = ("source_sha256", "versions", "processor")
    assert made["trained_by"] == {name: trained[name] for name in came_from}
    for name in ("parameters", "train_flops"):
        assert values(made)[name, "-"] == trained[name] > 0
    assert set(record.read_json(tmp_path / "a/timing.json")["parts"]) >= {"encode", "probe", "geometry"}


def spoil(files: Path, name: str, content: Callable[[bytes], bytes]) -> None:
    (files / name).write_bytes(content((files / name).read_bytes()))


def other_weights(runs: Runs, files: Path, **changes: object) -> None:
    training = runs.study.training(Run("mnist", "guided", 1)) | changes
    save_model(files / "w.safetensors", runs.trained("guided", 2).model, training)


BAD = {
    "truncated weights": (
        lambda _, files: spoil(files, "w.safetensors", lambda old: old[:999]),
        r"w\.safetensors: not a whole safetensors file; restore it from a copy",
    ),
    "another configuration": (
        lambda runs, files: other_weights(runs, files, threads=9),
        r"w\.safetensors: made with another configuration \(threads: 9, here 1\); use the one that made",
    ),
    "weights of no record": (
        lambda runs, files: other_weights(runs, files),
        r"w\.safetensors: not the weights that its training's record describes; restore both",
    ),
    "another reference classifier": (
        lambda _, files: record.write_json(files / "classifier.json", described("0" * 64)),
        r"reference-classifier-8001\.safetensors: not the weights that its training's record describes; "
        "restore both",
    ),
    "edited record": (
        lambda _, files: spoil(files, "r.json", lambda old: old.replace(b'"seed": 1', b'"seed": 2')),
        r"r\.json: changed since it was written .*; delete it",
    ),
    "broken record": (
        lambda _, files: spoil(files, "r.json", lambda old: old[:-9]),
        r"r\.json: not valid JSON .*; delete it and run again",
    ),
    "old record": (
        lambda _, files: spoil(files, "r.json", lambda _: b'{"format": 0}'),
        r"r\.json: not a record of format 1; delete it",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_input_ends_the_command_in_one_sentence_and_nothing_is_written(
    runs: Runs, files: Path, tmp_path: Path, fault: str
) -> None:
    do, message = BAD[fault]
    do(runs, Path(shutil.copytree(files, tmp_path / "files")))
    with pytest.raises(SystemExit, match=f"^error: .*{message}") as caught:
        run_command(runs, tmp_path / "files", tmp_path / "out")
    assert "\n" not in caught.value.code and not (tmp_path / "out").exists()


def test_a_data_set_method_or_seed_that_is_not_the_weights_is_refused(
    runs: Runs, files: Path, tmp_path: Path
) -> None:
    for changes in ({"dataset": "cifar10"}, {"method": "supcon"}, {"seed": 2}):
        with pytest.raises(SystemExit, match=r"holds mnist/guided/seed1, not .*, which is needed"):
            run_command(runs, files, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_weights_that_are_not_the_reference_classifiers_are_refused(
    runs: Runs, files: Path, tmp_path: Path
) -> None:
    weights = runs.weights("pca")
    record.write_json(tmp_path / "pca.json", described(record.sha256(weights)))
    other = r"holds mnist/pca/seed1, not mnist/reference-classifier/seed8001, which is needed here; give .*"
    with pytest.raises(SystemExit, match=rf"^error: .*pca-1\.safetensors: {other}$"):
        run_command(
            runs,
            files,
            tmp_path / "out",
            classifier=weights,
            **{"classifier-trained": tmp_path / "pca.json"},
        )
    assert not (tmp_path / "out").exists()
