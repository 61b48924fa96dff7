"""Claims: bootstrap and Holm's correction support differences that are there, and no others."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import shipped_study
from made_up import call, inputs, plain_study
from msgspec.structs import replace
from scipy import stats

from latents import config, record
from latents.record import ROOT
from latents.report import bootstrap, claims

SHIPPED = ROOT / "paper/claims.yaml"


def written(folder: Path, **some: dict) -> Path:
    path = folder / "claims.yaml"
    path.write_text(yaml.safe_dump({"level": 0.05, "resamples": 400, "seed": 1, "claims": some}))
    return path


def outcome(whole: Path, folder: Path, path: Path, *more: str) -> dict:
    out = ("--out", folder / "c.tex", "--table", folder / "t.tex", "--record", folder / "c.json")
    call(claims, *inputs(whole), "--claims", path, *out, *more)
    return json.loads((folder / "c.json").read_text())["claims"]


def claim(metric: str, more: str, less: str, dataset: str = "cifar10") -> dict:
    return {"dataset": dataset, "metric": metric, "more": more, "less": less}


def test_a_difference_is_supported_and_its_opposite_and_a_method_against_itself_are_not(
    whole: Path, tmp_path: Path
) -> None:
    path = written(
        tmp_path,
        right=claim("accuracy_mlp", "guided", "pca"),
        wrong=claim("accuracy_mlp", "pca", "guided"),
        same=claim("accuracy_knn", "pca", "pca"),
        reconstructed=claim("mae", "guided", "autoencoder-plus"),
        several=claim("accuracy_best", "guided", "pca", "mnist"),
    )
    found = outcome(whole, tmp_path, path)
    assert {name for name, one in found.items() if one["supported"]} == {"right", "reconstructed", "several"}
    right, same, reconstructed = (found[name] for name in ("right", "same", "reconstructed"))
    assert 0 < right["low"] < right["difference"] < right["high"]
    assert found["wrong"]["difference"] == -right["difference"]
    assert same["difference"] == 0 and same["p_holm"] == 1
    assert found["several"]["seeds"] == [3, 1] and all(one["p_holm"] >= one["p"] for one in found.values())
    macros = (tmp_path / "c.tex").read_text()
    assert r"\csname claim@right\endcsname{1}" in macros and r"\csname claim@wrong\endcsname{0}" in macros
    assert r"\csname fact@claims-count\endcsname{5}" in macros
    assert r"\csname fact@claims-resamples\endcsname{400}" in macros
    table = (tmp_path / "t.tex").read_text().splitlines()
    begin = r"Guided\textdagger{} above Autoencoder+: MAE, CIFAR-10"
    line = next(line for line in table if line.startswith(begin))
    assert f"{reconstructed['difference']:.4f}" in line
    assert "{below 0.001}" in line and reconstructed["p_holm"] < 0.0005
    assert any(line.endswith(r"& 1.000 \\") for line in table)


def test_a_claim_on_frozen_codes_is_tested_by_the_errors_of_that_decoder(whole: Path, tmp_path: Path) -> None:
    own, frozen = (claim(metric, "guided", "pca") for metric in ("mae", "mae_frozen"))
    found = outcome(whole, tmp_path, written(tmp_path, own=own, frozen=frozen))
    # here pca's decoder on frozen codes is worse than its own
    assert found["frozen"]["difference"] < found["own"]["difference"]


def test_with_strict_an_unsupported_claim_is_an_error_that_names_it(whole: Path, tmp_path: Path) -> None:
    path = written(
        tmp_path, right=claim("accuracy_mlp", "guided", "pca"), wrong=claim("mae", "pca", "guided")
    )
    message = r"^error: .*claims\.yaml: wrong: not supported by .*; change the sentence and the claim$"
    with pytest.raises(SystemExit, match=message):
        outcome(whole, tmp_path, path, "--strict")
    assert not (tmp_path / "c.tex").exists()


def test_an_open_comparison_is_tested_and_printed_with_its_p_even_where_it_is_not_supported_or_left_out(
    whole: Path, tmp_path: Path
) -> None:
    path = written(
        tmp_path,
        right=claim("accuracy_mlp", "guided", "pca"),
        other=claim("accuracy_mlp", "pca", "guided") | {"open": True},
        same=claim("mae", "pca", "pca") | {"open": True},
        absent=claim("mae", "pca", "autoencoder-plus.trade.other") | {"open": True},
    )
    found = outcome(whole, tmp_path, path, "--strict")
    assert found.keys() == {"right", "other", "same"} and not found["other"]["supported"]
    assert found["right"]["p_holm"] == pytest.approx(3 * found["right"]["p"], abs=1e-12)
    macros = (tmp_path / "c.tex").read_text()
    assert r"claim@same@found\endcsname{difference $0.0000$, 0.0000 to 0.0000; $p = 1.000$}" in macros
    assert re.search(
        r"claim@other@found\\endcsname\{difference \$-[\d.]+\$, \$-\$[\d.]+ to \$-\$[\d.]+; \$p\$ below",
        macros,
    )
    lines = (tmp_path / "t.tex").read_text().partition("open, printed whatever is found")[2].splitlines()
    assert any(line.startswith(r"PCA against Guided\textdagger{}: MLP (\%), CIFAR-10 & -") for line in lines)
    assert not [line for line in lines if " above " in line]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (claim("accuracy_mlp", "guided", "pca", "svhn"), "claims.one: svhn: unknown data set; known are"),
        (claim("accuracy_mlp", "guide", "pca"), "claims.one: guide: unknown method; known are"),
        (claim("silhouette", "guided", "pca"), "metric"),
    ],
)
def test_a_claim_of_what_no_study_can_have_is_refused_by_name(
    whole: Path, tmp_path: Path, fault: dict, message: str
) -> None:
    with pytest.raises(SystemExit, match=rf"claims\.yaml: .*{message}"):
        outcome(whole, tmp_path, written(tmp_path, one=fault))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (claim("accuracy_head", "pca", "guided"), "records/cifar10/pca/seed1.json: pca has no accuracy_head"),
        (
            claim("mae_frozen", "guided.labels.1pct", "pca"),
            "records/cifar10/guided.labels.1pct/seed1.json: guided.labels.1pct has no mae_frozen",
        ),
    ],
)
def test_a_claim_of_a_number_that_a_method_does_not_have_says_so(
    whole: Path, tmp_path: Path, fault: dict, message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        outcome(whole, tmp_path, written(tmp_path, one=fault))
    words = f"error: {whole}/results/{message}; claim another metric, or that of another method"
    assert ended.value.code == words


def test_a_claim_of_what_the_study_does_not_have_is_left_out_and_with_strict_refused(
    whole: Path, tmp_path: Path
) -> None:
    there = claim("accuracy_mlp", "guided", "pca")
    alone = outcome(whole, tmp_path, written(tmp_path, there=there))
    path = written(tmp_path, there=there, gone=claim("accuracy_mlp", "guided.labels.50pct", "pca"))
    # Holm's correction is over the tested claims alone
    assert outcome(whole, tmp_path, path) == alone and alone.keys() == {"there"}
    macros = (tmp_path / "c.tex").read_text()
    assert r"\csname claim@there\endcsname{1}" in macros and r"\csname claim@gone\endcsname{2}" in macros
    words = r"\csname claim@gone@found\endcsname{cifar10/guided.labels.50pct is not in this study}"
    assert words in macros and r"\csname fact@claims-count\endcsname{1}" in macros
    assert (tmp_path / "t.tex").read_text().count(" above ") == 1
    message = r"claims\.yaml: claims\.gone: cifar10/guided\.labels\.50pct is not in .*study\.yaml; name a"
    with pytest.raises(SystemExit, match=message):
        outcome(whole, tmp_path, path, "--strict")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resamples": 1}, r"Expected `int` >= 100 - at `\$\.resamples`"),
        ({"resamples": 99}, r"Expected `int` >= 100 - at `\$\.resamples`"),
        ({"claims": {}}, r"Expected `object` of length >= 1 - at `\$\.claims`"),
    ],
)
def test_too_few_resamples_and_a_file_without_claims_are_refused(
    whole: Path, tmp_path: Path, settings: dict, message: str
) -> None:
    path = written(tmp_path, one=claim("accuracy_mlp", "guided", "pca"))
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | settings))
    with pytest.raises(SystemExit, match=rf"^error: .*claims\.yaml: {message}"):
        outcome(whole, tmp_path, path)
    assert not (tmp_path / "c.tex").exists()


def test_a_record_without_its_images_is_refused_by_name(spoilt: Path, tmp_path: Path) -> None:
    path = spoilt / "results/records/cifar10/guided/seed1.json"
    content = record.read_json(path)
    del content["errors"]
    record.write_json(path, content)
    with pytest.raises(SystemExit, match=r"records/cifar10/guided/seed1\.json: holds no mae of each image"):
        outcome(spoilt, tmp_path, written(tmp_path, one=claim("mae", "guided", "pca")))


def test_a_record_of_another_number_of_images_is_refused(spoilt: Path, tmp_path: Path) -> None:
    plain = plain_study()
    plain["datasets"]["cifar10"]["test"] = 5000
    (spoilt / "study.yaml").write_text(yaml.safe_dump(plain))
    with pytest.raises(SystemExit, match=r"accuracy_mlp of 10000 images, not of 5000"):
        outcome(spoilt, tmp_path, written(tmp_path, one=claim("accuracy_mlp", "guided", "pca")))


def test_the_bootstrap_has_the_spread_of_the_mean_over_images_and_over_seeds() -> None:
    draw = np.random.default_rng(2)
    one, other = 100.0 * (draw.random((1, 4000)) < 0.8), 100.0 * (draw.random((1, 4000)) < 0.7)
    found = bootstrap.differences([one, other], 3000, 1)
    assert found.mean() == pytest.approx(one.mean() - other.mean(), abs=0.05)
    # paired: the same images for both methods
    assert found.std() == pytest.approx((one - other).std() / 4000**0.5, rel=0.05)
    seeds = np.array([[0.0], [4.0], [8.0]]).repeat(50, 1)  # a method whose images are all alike
    spread = bootstrap.differences([seeds, np.zeros((1, 50))], 3000, 1).std()
    # the standard error of three seeds
    assert spread == pytest.approx(np.std([0, 4, 8], ddof=1) / 3**0.5, rel=0.05)


@pytest.mark.parametrize(
    "others", [3, 1], ids=["3 seeds against 3", "3 seeds against one that no seed changes"]
)
def test_methods_that_differ_by_their_seeds_alone_are_rarely_found_different(others: int) -> None:
    draw, images = np.random.default_rng(5), 40
    found = []
    for _ in range(400):
        means = [draw.normal(0, 1, (k, 1)) if k > 1 else np.zeros((1, 1)) for k in (3, others)]
        found.append(bootstrap.estimated([np.repeat(one, images, 1) for one in means], 300, 1)["p"])
    assert 0.01 < np.mean(np.array(found) < 0.05) < 0.08


def test_interval_and_p_are_students_at_satterthwaites_degrees_of_freedom() -> None:
    draw = np.random.default_rng(6)
    pair = [draw.normal(mean, 1, (k, 1)).repeat(50, 1) for mean, k in ((5.0, 3), (0.0, 5))]
    means = [values[:, 0] for values in pair]
    # no image differs from another: what is left is Welch's test
    welch = stats.ttest_ind(*means, equal_var=False)
    found = bootstrap.estimated(pair, 4000, 1)
    assert found["p"] == pytest.approx(welch.pvalue, rel=0.15)
    assert (found["low"], found["high"]) == pytest.approx(tuple(welch.confidence_interval()), rel=0.1)
    # one seed each: the images alone, paired
    pairs = 100.0 * (draw.random((2, 1, 4000)) < [[[0.52]], [[0.5]]])
    paired = stats.ttest_rel(*pairs[:, 0])
    assert bootstrap.estimated(list(pairs), 4000, 1)["p"] == pytest.approx(paired.pvalue, rel=0.15)


def test_seeds_are_paired_where_one_method_starts_from_the_others_trained_networks(whole: Path) -> None:
    draw = np.random.default_rng(7)
    first = draw.normal(0, 3, (5, 1))  # seeds differ much, and the second method adds about one to each
    pair = [one.repeat(50, 1) for one in (first + draw.normal(1, 0.2, (5, 1)), first)]
    exact = stats.ttest_rel(*(one[:, 0] for one in pair))
    found = bootstrap.estimated(pair, 4000, 1, paired=True)
    assert found["p"] == pytest.approx(exact.pvalue, rel=0.2)
    assert (found["low"], found["high"]) == pytest.approx(tuple(exact.confidence_interval()), rel=0.1)
    assert bootstrap.estimated(pair, 4000, 1)["p"] > 0.1
    study = config.read(whole / "study.yaml")
    related = [("joint", "split"), ("joint", "contrastive"), ("guided.finetuned.1pct", "contrastive")]
    assert all(claims.starts_from(study, "cifar10", *one) for one in related)
    unrelated = [("split", "joint"), ("supcon", "contrastive"), ("guided", "guided.finetuned.1pct")]
    assert not any(claims.starts_from(study, "cifar10", *one) for one in unrelated)
    claim = claims.Claim("cifar10", "accuracy_mlp", more="guided.finetuned.1pct", less="contrastive")
    assert claims.is_paired(study, claim)
    sweeps = study.datasets["cifar10"].sweeps["guided"]
    sweeps["finetuned"] = replace(sweeps["finetuned"], seeds=[9])
    assert not claims.is_paired(study, claim)


def test_holms_correction_of_a_worked_example() -> None:
    assert bootstrap.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert bootstrap.holm([0.9, 0.8]) == [1.0, 1.0]


def test_the_shipped_claims_are_read_and_the_shipped_study_can_test_all_of_them() -> None:
    read = claims.read(SHIPPED)
    assert len(read.claims) >= 5 and claims.left_out(shipped_study(), read) == {}
