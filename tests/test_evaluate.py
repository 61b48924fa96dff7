"""Evaluation: test is read with --final alone, nothing that is frozen changes, and the record holds what it should."""

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
from tiny import TEST, TRAIN, VAL, Cells, pictures, same, state
from torch import Tensor, nn

from latents import augment, data, evaluate, geometry, probe, record, train
from latents.config import JUDGE, ROWS_WITH_LABELS, SHOWN, Problem
from latents.encode import encode
from latents.model import save_model
from latents.probe import Outcome
from latents.settings import CODE_SIZE

SIZES = {"train": TRAIN, "val": VAL, "test": TEST}
MEASURED = ("pca", "autoencoder", "guided", "contrastive")  # two that draw by themselves, two that get a decoder
GEOMETRY = {"silhouette", "scatter_ratio", "knn_purity", "alignment", "uniformity", "effective_rank"}
RANGES = {
    "accuracy": (0, 100), "mae": (0, 1), "psnr": (0, 100), "ssim": (-1, 1), "silhouette": (-1, 1), "scatter_ratio": (0, 1e6), "knn_purity": (0, 1),
    "alignment": (0, 4), "uniformity": (-8, 0), "effective_rank": (1, 128), "path_length": (1 - 1e-4, 100), "class_changes": (0, 9), "judge": (0, 100),
}  # fmt: skip

Found = tuple[dict, dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]


def unpacked(archive: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(archive)) as content:
        return dict(content)


def values(facts: dict) -> dict[tuple[str, str], float]:
    return {(row["metric"], row["split"]): row["value"] for row in facts["metrics"]}


@pytest.fixture(scope="module")
def measured(cells: Cells) -> Callable[[str], Found]:
    """measured(run): facts, codes, pictures and sample of a cell with --final, computed once; tests only read them."""

    @functools.cache
    def one(run: str) -> Found:
        model, judge = copy.deepcopy(cells.trained(run)[0]), copy.deepcopy(cells.trained(JUDGE)[0])
        facts, files, _ = evaluate.evaluate(cells.study, model, judge, "mnist", run, final=True)
        return facts, unpacked(files["codes"]), unpacked(files["pictures"]), unpacked(files["sample"])

    return one


# test is read with --final alone


def test_without_final_the_test_files_are_not_read_and_nothing_is_measured_on_them(cells: Cells, tmp_path: Path) -> None:
    shutil.copytree(cells.folder / "data", tmp_path / "data")
    for file in (tmp_path / "data/MNIST/raw").glob("t10k-*"):
        file.unlink()
    study, model, judge = replace(cells.study, folder=f"{tmp_path}/"), cells.trained("pca")[0], cells.trained(JUDGE)[0]
    facts, files, _ = evaluate.evaluate(study, model, judge, "mnist", "pca", final=False)
    codes, shown = files["codes"], files["pictures"]
    assert facts["test_read"] is False and facts["correct"] == {}
    assert {split for _, split in values(facts)} == {"train", "val"} and not any("test" in name for name in unpacked(codes))
    assert set(unpacked(shown)["indices"]) <= set(data.load(study, "mnist", with_test=False).val.indices)
    with pytest.raises(Problem, match="t10k-images-idx3-ubyte: cannot be read"):
        evaluate.evaluate(study, model, judge, "mnist", "pca", final=True)


# frozen is frozen


@pytest.mark.parametrize("run", ["contrastive", "guided"])
def test_probes_decoder_and_measures_leave_every_weight_and_batch_statistic_as_it_was(cells: Cells, run: str) -> None:
    model, judge = copy.deepcopy(cells.trained(run)[0]), copy.deepcopy(cells.trained(JUDGE)[0])
    before = state(model), state(judge)
    assert any("running_var" in name for name in before[0])
    evaluate.evaluate(cells.study, model, judge, "mnist", run, final=True)
    assert same(state(model), before[0]) and same(state(judge), before[1])
    assert all(parameter.grad is None for parameter in model.parameters())


# what the record holds


@pytest.mark.parametrize("run", MEASURED)
def test_every_metric_of_every_split_is_there_and_in_its_range(measured: Callable[[str], Found], run: str) -> None:
    found = values(measured(run)[0])
    probes = {"linear", "mlp", "knn", "best"} | ({"head"} if run in ROWS_WITH_LABELS else set())
    expected = {(f"accuracy_{name}", split) for name in probes for split in SIZES}
    expected |= {(f"accuracy_{name}_{share}pct", split) for name in ("linear", "knn") for share in (1, 10) for split in ("val", "test")}
    if run in ("contrastive", "supcon"):
        expected |= {(f"accuracy_{name}_projection", split) for name in ("linear", "knn") for split in SIZES}
    expected |= {(name, split) for name in ("mae", "mae_frozen", "psnr", "ssim") for split in SIZES}
    expected |= {(name, split) for name in GEOMETRY for split in ("val", "test")}
    expected |= {(f"{name}{suffix}", "test") for name in ("path_length", "class_changes") for suffix in ("", "_pixels")}
    expected |= {(f"class_changes{suffix}_pairs", "test") for suffix in ("", "_pixels")}
    expected |= {("judge_accuracy", "test"), ("judge_accuracy_decoded", "test")}
    if not found["class_changes_pairs", "test"]:
        expected -= {("class_changes", "test")}  # no decoded pair was judged right at both ends: there is no mean
    assert set(found) == expected and len(measured(run)[0]["metrics"]) == len(expected)
    for (name, _), value in found.items():
        if not name.endswith("pairs"):
            low, high = RANGES[next(start for start in sorted(RANGES, key=len, reverse=True) if name.startswith(start))]
            assert low <= value <= high, name


def test_a_mean_of_class_changes_over_a_few_pairs_is_left_out_and_their_count_is_kept(
    cells: Cells, measured: Callable[[str], Found]
) -> None:
    counted = values(measured("pca")[0])["class_changes_pixels_pairs", "test"]
    for enough in (counted, counted + 1):
        study = replace(cells.study, measurement=replace(cells.study.measurement, fewest_pairs=enough))
        found = values(evaluate.evaluate(study, cells.trained("pca")[0], cells.trained(JUDGE)[0], "mnist", "pca", final=True)[0])
        assert (("class_changes_pixels", "test") in found) == (enough == counted) and found["class_changes_pixels_pairs", "test"] == counted


def test_the_numbers_of_the_cross_fade_are_the_same_for_every_row(measured: Callable[[str], Found]) -> None:
    found = [values(measured(run)[0]) for run in MEASURED]
    for name in ("path_length_pixels", "class_changes_pixels", "class_changes_pixels_pairs", "judge_accuracy"):
        assert len({each[name, "test"] for each in found}) == 1
    assert found[0]["path_length_pixels", "test"] == pytest.approx(1, abs=1e-4)
    assert found[0]["class_changes_pixels_pairs", "test"] > 0 and found[0]["class_changes_pairs", "test"] > 0


@pytest.mark.parametrize("run", MEASURED)
def test_the_bits_of_correctness_are_the_accuracies_on_test(measured: Callable[[str], Found], run: str) -> None:
    facts = measured(run)[0]
    assert set(facts["correct"]) == {"linear", "mlp", "knn"} | ({"head"} if run in ROWS_WITH_LABELS else set())
    for name, bits in facts["correct"].items():
        right = np.unpackbits(np.frombuffer(base64.b64decode(bits), np.uint8))
        assert len(right) == 8 * -(-TEST // 8) and not right[TEST:].any()
        assert 100 * right[:TEST].mean() == pytest.approx(values(facts)[f"accuracy_{name}", "test"])


@pytest.mark.parametrize("run", MEASURED)
def test_the_error_of_each_test_image_is_kept_for_paired_comparisons(measured: Callable[[str], Found], run: str) -> None:
    facts = measured(run)[0]
    for kept, metric in (("errors", "mae"), ("errors_frozen", "mae_frozen")):
        errors = np.frombuffer(base64.b64decode(facts[kept]), np.float16)
        assert len(errors) == SIZES["test"] and errors.astype(float).mean() == pytest.approx(values(facts)[metric, "test"], rel=1e-3)
        assert len(set(errors.tolist())) > 1


@pytest.mark.parametrize("run", MEASURED)
def test_every_row_is_drawn_by_one_kind_of_decoder_too_which_is_its_own_where_it_has_no_other(cells: Cells, measured: Callable[[str], Found], run: str) -> None:
    found = values(measured(run)[0])
    assert (found["mae_frozen", "test"] == found["mae", "test"]) == (not cells.trained(run)[0].decodes)


def test_val_chooses_the_probes_on_few_labels_and_the_record_says_what(cells: Cells, measured: Callable[[str], Found]) -> None:
    chosen = measured("contrastive")[0]["probe_settings_named_by_val"]
    assert set(chosen) == {"linear", "mlp", "linear_projection", *(f"linear_{100 * share:g}pct" for share in cells.study.measurement.label_shares)}
    assert all(chosen[name] in cells.study.probe.linear_c for name in chosen if name != "mlp")


def test_the_head_is_the_models_own(cells: Cells, measured: Callable[[str], Found]) -> None:
    model, split = cells.trained("guided")[0], data.load(cells.study, "mnist", with_test=True)
    with torch.inference_mode():
        named = model.head(encode(model, torch.from_numpy(split.test.images), cells.study)).argmax(1).numpy()
    assert values(measured("guided")[0])["accuracy_head", "test"] == pytest.approx(100 * (named == split.test.labels).mean())


def outcome(labels: dict[str, Tensor], mistakes: dict[str, int]) -> Outcome:
    wrong = {split: part.clone() for split, part in labels.items()}
    for split, n in mistakes.items():
        wrong[split][:n] += 1
    return Outcome(wrong, 0.5)


@pytest.mark.parametrize(("on_val", "on_test", "named"), [((4, 6), (9, 1), "linear"), ((6, 4), (1, 9), "mlp")])
def test_the_better_probe_is_the_one_that_val_names_even_where_test_disagrees(
    cells: Cells, monkeypatch: pytest.MonkeyPatch, on_val: tuple[int, int], on_test: tuple[int, int], named: str
) -> None:
    labels = {split: torch.arange(n) % 10 for split, n in SIZES.items()}
    for name, val, test in zip(("linear", "mlp"), on_val, on_test, strict=True):
        monkeypatch.setattr(probe, name, lambda *_, val=val, test=test: outcome(labels, {"val": val, "test": test}))
    monkeypatch.setattr(probe, "knn", lambda *_: outcome(labels, {}))
    metrics = evaluate.Metrics()
    facts = evaluate.measure_probes(cells.study, cells.trained("contrastive")[0], {}, labels, metrics)
    found = values({"metrics": metrics.rows})
    assert facts["probe_named_by_val"] == named
    assert found["accuracy_best", "test"] == found[f"accuracy_{named}", "test"] == 100 * (1 - 9 / TEST)


def test_all_rows_are_aligned_over_the_same_views(cells: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    view, seen = augment.view, {}
    images = {"val": torch.from_numpy(pictures("mnist", 20, 3)[0])}
    labels = {"val": torch.arange(20) % 10}
    for run in ("pca", "contrastive"):
        monkeypatch.setattr(augment, "view", lambda *arguments, run=run: seen.setdefault(run, []).append(view(*arguments)) or seen[run][-1])
        codes = {name: encode(cells.trained(run)[0], images["val"], cells.study) for name in ("train", "val")}
        evaluate.measure_geometry(cells.study, cells.trained(run)[0], codes, images, labels, evaluate.Metrics(), evaluate.Clock())
    assert len(seen["pca"]) == 2 and not torch.equal(*seen["pca"])
    assert all(torch.equal(one, other) for one, other in zip(seen["pca"], seen["contrastive"], strict=True))


def test_the_silhouette_reads_points_drawn_from_the_whole_split_the_same_for_every_row(cells: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    study = replace(cells.study, measurement=replace(cells.study.measurement, silhouette_points=7))
    images, labels, seen = {"val": torch.from_numpy(pictures("mnist", 20, 3)[0])}, {"val": torch.arange(20) // 2}, []
    monkeypatch.setattr(geometry, "silhouette", lambda codes, classes: seen.append(classes.tolist()) or 0.5)
    for run in ("pca", "contrastive"):
        codes = {name: encode(cells.trained(run)[0], images["val"], study) for name in ("train", "val")}
        evaluate.measure_geometry(study, cells.trained(run)[0], codes, images, labels, evaluate.Metrics(), evaluate.Clock())
    assert seen[0] == seen[1] and len(seen[0]) == 7 and max(seen[0]) > 3  # the first seven have labels 0 to 3


def test_a_number_that_is_not_finite_is_refused_and_one_that_does_not_exist_is_left_out() -> None:
    metrics = evaluate.Metrics()
    metrics.add("class_changes", "test", None, "changes")
    assert metrics.rows == []
    with pytest.raises(Problem, match="silhouette on val is not finite: the trained weights are broken; train the cell again"):
        metrics.add("silhouette", "val", float("nan"), "")


# codes and pictures


@pytest.mark.parametrize("run", MEASURED)
def test_the_codes_file_holds_codes_labels_and_indices_of_each_split(cells: Cells, measured: Callable[[str], Found], run: str) -> None:
    arrays, split = measured(run)[1], data.load(cells.study, "mnist", with_test=True)
    assert set(arrays) == {f"{kind}{name}" for kind in ("", "labels_", "indices_") for name in SIZES}
    for name, n in SIZES.items():
        part = getattr(split, name)
        assert arrays[name].shape == (n, CODE_SIZE) and arrays[name].dtype == np.float32
        assert np.array_equal(arrays[f"labels_{name}"], part.labels) and np.array_equal(arrays[f"indices_{name}"], part.indices)
        expected = encode(cells.trained(run)[0], torch.from_numpy(part.images), cells.study).numpy()
        assert np.array_equal(arrays[name], expected)


@pytest.mark.parametrize("run", MEASURED)
def test_the_sample_holds_codes_of_the_same_test_images_for_every_row_in_half_precision(cells: Cells, measured: Callable[[str], Found], run: str) -> None:
    _, arrays, _, sample = measured(run)
    places = np.searchsorted(arrays["indices_test"], sample["indices"])
    assert len(places) == min(cells.study.measurement.sample, SIZES["test"]) and sample["codes"].dtype == np.float16
    assert np.array_equal(sample["codes"], arrays["test"][places].astype(np.float16))
    assert np.array_equal(sample["indices"], measured(MEASURED[0])[3]["indices"])


def test_the_probes_with_few_labels_see_those_labels_alone(cells: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    linear = probe.linear

    def watched(codes: dict[str, Tensor], labels: dict[str, Tensor], settings: object) -> Outcome:
        seen.append((len(codes["train"]), sorted(codes), labels["train"].bincount(minlength=10).tolist()))
        return linear(codes, labels, settings)

    monkeypatch.setattr(probe, "linear", watched)
    model, judge = (copy.deepcopy(cells.trained(name)[0]) for name in ("random", JUDGE))
    evaluate.evaluate(cells.study, model, judge, "mnist", "random", final=True)
    each = SIZES["train"] // 10
    few = [-(-each // 100), -(-each // 10)]  # of each class, rounded up
    assert seen == [(10 * n, ["test", "train", "val"], 10 * [n]) for n in (each, *few)]


def test_the_projection_that_is_probed_is_the_heads_output(cells: Cells, measured: Callable[[str], Found]) -> None:
    facts, arrays, _, _ = measured("contrastive")
    labels = {name: torch.from_numpy(arrays[f"labels_{name}"]) for name in SIZES}
    with torch.inference_mode():
        head = cells.trained("contrastive")[0].projector.eval()
        projected = {name: nn.functional.normalize(head(torch.from_numpy(arrays[name])), dim=1) for name in SIZES}
    predicted = probe.knn(projected, labels, cells.study.probe).predictions["test"]
    assert values(facts)["accuracy_knn_projection", "test"] == probe.accuracy(predicted, labels["test"])
    assert values(facts)["accuracy_knn", "test"] != values(facts)["accuracy_knn_projection", "test"]


def test_the_pictures_shown_are_the_same_for_every_row_whatever_their_error(cells: Cells, measured: Callable[[str], Found]) -> None:
    shown = [measured(run)[2] for run in MEASURED]
    images = data.load(cells.study, "mnist", with_test=True).test.images.transpose(0, 2, 3, 1)
    for each in shown:
        for name in ("indices", "labels", "originals", "path_ends", "path_pixels"):
            assert np.array_equal(each[name], shown[0][name])
        assert each["originals"].shape == each["reconstructions"].shape == (SHOWN, 28, 28, 1)
        assert np.array_equal(each["originals"], images[each["indices"]])
        assert each["path_codes"].shape == each["path_pixels"].shape == (evaluate.PATHS, 10, 28, 28, 1)
        assert np.array_equal(each["path_pixels"][:, 0], images[each["path_ends"][:, 0]])
        assert np.array_equal(each["path_pixels"][:, -1], images[each["path_ends"][:, 1]])
    assert len(set(shown[0]["indices"].tolist())) == SHOWN
    assert not np.array_equal(shown[0]["reconstructions"], shown[1]["reconstructions"])


# the command

OUT = {"out": "record.json", "codes": "codes.npz", "sample": "sample.npz", "pictures": "pictures.npz", "timing": "timing.json"}


@pytest.fixture(scope="module")
def files(cells: Cells, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained cell as its training job leaves it."""
    folder = tmp_path_factory.mktemp("files")
    options = ("--out", folder / "w.safetensors", "--record", folder / "r.json", "--curve", folder / "c.csv", "--timing", folder / "t.json")
    call(train, "--config", cells.config, "--dataset", "mnist", "--run", "guided", "--seed", 1, *options)
    record.write_json(folder / "judge.json", {"format": record.FORMAT, "weights_sha256": record.sha256(cells.weights(JUDGE))})
    return folder


def run(cells: Cells, files: Path, out: Path, **changes: object) -> None:
    options = {"config": cells.config, "dataset": "mnist", "run": "guided", "seed": 1, "weights": files / "w.safetensors", "trained": files / "r.json"}
    options |= {"judge": cells.weights(JUDGE), "judge-trained": files / "judge.json"} | {name: out / file for name, file in OUT.items()} | changes
    call(evaluate, "--final", *(part for name, value in options.items() for part in (f"--{name}", value)))


def test_the_command_gives_the_same_bytes_each_time_and_a_record_with_all_it_came_from(cells: Cells, files: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(cells, files, tmp_path / name)
    for name in ("record.json", "codes.npz", "sample.npz", "pictures.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    kept, trained = record.read_json(tmp_path / "a/record.json"), record.read_json(files / "r.json")
    for name in ("codes", "sample", "pictures"):
        assert kept[f"{name}_sha256"] == record.sha256(tmp_path / f"a/{name}.npz")
    assert kept["judge_sha256"] == record.sha256(cells.weights(JUDGE)) and kept["weights_sha256"] == trained["weights_sha256"]
    assert kept["test_read"] is True and kept["split_sha256"] == trained["split_sha256"] and kept["config"]["probe"]["knn-k"] == 5
    assert kept["trained_by"] == {name: trained[name] for name in ("source_sha256", "versions", "processor")}
    for name in ("parameters", "train_flops"):
        assert values(kept)[name, "-"] == trained[name] > 0
    assert set(record.read_json(tmp_path / "a/timing.json")["parts"]) >= {"encode", "probe", "geometry"}


def spoil(files: Path, name: str, content: Callable[[bytes], bytes]) -> None:
    (files / name).write_bytes(content((files / name).read_bytes()))


def other_weights(cells: Cells, files: Path, **changes: object) -> None:
    training = cells.study.training("mnist", "guided", 1) | changes
    save_model(files / "w.safetensors", cells.trained("guided", 2)[0], training)


BAD = {
    "truncated weights": (lambda _, files: spoil(files, "w.safetensors", lambda old: old[:999]), r"w\.safetensors: not a whole safetensors file; delete it"),
    "another configuration": (lambda cells, files: other_weights(cells, files, threads=9), r"w\.safetensors: made with another configuration; delete"),
    "weights of no record": (lambda cells, files: other_weights(cells, files), r"w\.safetensors: not the weights that its training's record describes; delete both"),
    "another judge": (
        lambda _, files: record.write_json(files / "judge.json", {"format": record.FORMAT, "weights_sha256": "0" * 64}),
        r"judge-1\.safetensors: not the weights that its training's record describes; delete both",
    ),
    "edited record": (
        lambda _, files: spoil(files, "r.json", lambda old: old.replace(b'"seed": 1', b'"seed": 2')), r"r\.json: changed since it was written .*; delete it"
    ),
    "another cell": (lambda cells, files: other_weights(cells, files, seed=2), r"w\.safetensors: holds mnist/guided/seed2, not the cell asked for; give"),
    "broken record": (lambda _, files: spoil(files, "r.json", lambda old: old[:-9]), r"r\.json: not valid JSON; delete it and run again"),
    "old record": (lambda _, files: spoil(files, "r.json", lambda old: b'{"format": 0}'), r"r\.json: not a record of format 1; delete it"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_bad_input_ends_the_command_in_one_sentence_and_nothing_is_written(cells: Cells, files: Path, tmp_path: Path, fault: str) -> None:
    do, message = BAD[fault]
    do(cells, Path(shutil.copytree(files, tmp_path / "files")))
    with pytest.raises(SystemExit, match=f"^error: .*{message}") as caught:
        run(cells, tmp_path / "files", tmp_path / "out")
    assert "\n" not in caught.value.code and not (tmp_path / "out").exists()


def test_a_data_set_or_run_that_is_not_the_weights_is_refused(cells: Cells, files: Path, tmp_path: Path) -> None:
    for changes in ({"dataset": "cifar10"}, {"run": "supcon"}, {"seed": 2}):
        with pytest.raises(SystemExit, match="holds mnist/guided/seed1, not the cell asked for"):
            run(cells, files, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_weights_that_are_not_the_judges_are_refused(cells: Cells, files: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^error: .*pca-1\.safetensors: holds mnist/pca, not the judge of mnist; give the judge's own file$"):
        record.write_json(tmp_path / "pca.json", {"format": record.FORMAT, "weights_sha256": record.sha256(cells.weights("pca"))})
        run(cells, files, tmp_path / "out", judge=cells.weights("pca"), **{"judge-trained": tmp_path / "pca.json"})
    assert not (tmp_path / "out").exists()
