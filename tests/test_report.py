"""The report's numbers: summary, macros and tables from a complete folder of made-up results."""

import csv
import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import yaml
from made_up import NOTE, call, fault_trials, inputs, plain_study, prepare, report, summarise

from latents import config, record
from latents.methods import METHODS
from latents.metrics import fixed
from latents.report import claims, facts, faults, gallery, page, style, summarize, tables, tex
from latents.report.figures import FIGURES, SUMMARY, figure_targets
from latents.report.summarize import read_summary

CLAIMS = record.ROOT / "paper/claims.yaml"


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# -- the summary


def test_every_number_of_every_record_is_in_runs_in_the_order_of_the_study(whole: Path) -> None:
    study = config.read(whole / "study.yaml")
    lines = lines_of(whole / "results/runs.csv")
    columns = ["dataset", "method", "variant", "seed", "metric", "split", "value", "unit"]
    assert list(lines[0]) == columns
    keys = [tuple(line[name] for name in columns[:6]) for line in lines]
    runs = list(dict.fromkeys(key[:4] for key in keys))
    yardsticks = [one for one in runs if one[1] == "yardsticks"]
    assert runs == [(run.dataset, run.base, run.variant, str(run.seed)) for run in study.runs()] + yardsticks
    assert {("mnist", "median-image"), ("cifar10", "pixels")} <= {one[0::2] for one in yardsticks}
    found = {key: float(line["value"]) for key, line in zip(keys, lines, strict=True)}
    name = "cifar10/autoencoder-plus.ablation.full/seed1"
    place = ("cifar10", "autoencoder-plus", "ablation.full", "1")
    for one in json.loads((whole / f"results/records/{name}.json").read_text())["metrics"]:
        assert found[*place, one["metric"], one["split"]] == one["value"]
    assert found["mnist", "pca", "main", "1", "tsne_trustworthiness", "test"] == 0.9


def test_the_summary_is_students_interval_over_seeds_of_the_runs(whole: Path) -> None:
    summary = lines_of(whole / "results/summary.csv")
    columns = ["dataset", "method", "metric", "split", "mean", "ci95_low", "ci95_high", "n", "unit"]
    assert list(summary[0]) == columns
    key = ["mnist", "guided", "accuracy_mlp", "test"]
    (line,) = [one for one in summary if [one[name] for name in columns[:4]] == key]
    values = [
        float(one["value"])
        for one in lines_of(whole / "results/runs.csv")
        if [one[name] for name in columns[:4]] == key and one["variant"] == "main"
    ]
    mean = sum(values) / 3
    deviation = (sum((value - mean) ** 2 for value in values) / 2) ** 0.5
    half = 4.302652729911275 * deviation / 3**0.5  # t of 2 degrees of freedom
    assert int(line["n"]) == len(values) == 3
    found = [float(line[name]) for name in ("mean", "ci95_low", "ci95_high")]
    np.testing.assert_allclose(found, [mean, mean - half, mean + half], rtol=1e-12)


def test_one_seed_or_a_value_that_no_seed_changes_has_no_interval(whole: Path) -> None:
    summary = lines_of(whole / "results/summary.csv")
    alone = [line for line in summary if line["dataset"] == "cifar10" or line["method"] == "pca"]
    unchanging = [line for line in summary if line["metric"] in ("parameters", "path_length_pixels")]
    assert {line["n"] for line in alone} == {"1"}
    assert {"1", "3"} == {line["n"] for line in unchanging}
    assert all(line["ci95_low"] == line["ci95_high"] == "" for line in alone + unchanging)


def test_summarizing_twice_gives_the_same_bytes_and_the_summary_has_the_variants_too(spoilt: Path) -> None:
    before = {name: (spoilt / "results" / name).read_bytes() for name in ("runs.csv", "summary.csv")}
    summarise(spoilt)
    assert before == {name: (spoilt / "results" / name).read_bytes() for name in before}
    assert b"autoencoder-plus,ablation.plain-decoder," in before["runs.csv"]
    assert b"autoencoder-plus.ablation.plain-decoder," in before["summary.csv"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"split_sha256": "f" * 64}, "its split_sha256 is not that of the other cifar10 records"),
        ({"data_sha256": "f" * 64}, "its data_sha256 is not that of the other cifar10 records"),
        ({"seed": 2}, "is the record of another run"),
    ],
)
def test_a_record_that_does_not_belong_is_refused_by_name(spoilt: Path, values: dict, message: str) -> None:
    path = spoilt / "results/records/cifar10/supcon/seed1.json"
    record.write_json(path, record.read_json(path) | values)
    before = (spoilt / "results/runs.csv").read_bytes()
    with pytest.raises(SystemExit, match=re.escape(f"cifar10/supcon/seed1.json: {message}")):
        summarise(spoilt)
    assert (spoilt / "results/runs.csv").read_bytes() == before


# -- the macros


def macros_of(folder: Path) -> dict[str, str]:
    names = ("macros", "macros_claims", "macros_faults")
    text = "".join((folder / f"generated/{name}.tex").read_text() for name in names)
    return dict(re.findall(r"^\\expandafter\\def\\csname (.*?)\\endcsname\{(.*)\}$", text, re.MULTILINE))


def test_every_line_of_the_summary_and_every_ablation_has_its_macros(whole: Path) -> None:
    macros = macros_of(whole)
    for line in lines_of(whole / "results/summary.csv"):
        name = "res@{dataset}/{method}/{metric}/{split}".format(**line)
        assert macros[f"{name}@n"] == line["n"]
        float(macros[name])
        if line["metric"] == "accuracy_mlp":
            assert macros[name] == f"{float(line['mean']):.1f}"
    assert "res@cifar10/autoencoder-plus.ablation.plain-decoder/mae/val" in macros
    assert macros["res@cifar10/contrastive/train_flops/-"] == "14000"


def test_every_name_that_the_paper_uses_has_its_macro_where_all_sweeps_are_run(whole: Path) -> None:
    macros = macros_of(whole)
    source = re.sub(r"(?<!\\)%.*", "", (record.ROOT / "paper/paper.tex").read_text())

    def keys(pattern: str) -> list[str]:
        return re.findall(pattern, source)

    used = [f"fact@{key}" for key in keys(r"\\fact\{([^#}]+)\}")]
    used += [f"res@{key}" for key in keys(r"\\(?:val|pc|ci|n|ifmore|ifwithin|ifabove|threeway)\{([^#}]+)\}")]
    used += [f"res@{key}" for key in keys(r"\\(?:ifmore|ifwithin|threeway)\{[^#}]+\}\{([^#}]+)\}")]
    runs = [key.strip() for some in keys(r"\\ifrun\{([^#}]+)\}") for key in some.split(",")]
    used += [f"res@{run}/mae/test" for run in runs]
    assert len(used) > 150 and [name for name in used if name not in macros] == []
    methods = [f"method@{name}" for name in keys(r"\\method\{([^#}\\]+)\}")]
    assert methods and [name for name in methods if name not in macros] == []
    written = [path.stem for path in (whole / "generated").glob("macros*.tex")]
    assert sorted(keys(r"\\input\{\.\./generated/([a-z_]+)\}")) == sorted(written)


def test_the_methods_names_and_lists_are_macros_from_the_table_of_methods(whole: Path) -> None:
    macros, text = macros_of(whole), (whole / "generated/macros.tex").read_text()
    assert {name: macros[f"method@{name}"] for name in METHODS} == {
        "pca": "PCA",
        "random": "Random",
        "autoencoder": "Autoencoder",
        "autoencoder-plus": "Autoencoder+",
        "vae": "VAE",
        "guided": "Guided",
        "contrastive": "Contrastive",
        "supcon": "SupCon",
        "split": "Split",
        "joint": "Joint",
    }
    assert len([name for name in macros if name.startswith("method@")]) == len(METHODS)
    lists = dict(re.findall(r"^\\def\\(\w+)\{(.*)\}$", text, re.MULTILINE))
    assert {name: lists[name] for name in ("allmethods", "labelfree", "trained")} == {
        "allmethods": "pca,random,autoencoder,autoencoder-plus,vae,guided,contrastive,supcon,split,joint",
        "labelfree": "pca,random,autoencoder,autoencoder-plus,vae,contrastive,split,joint",
        "trained": "autoencoder,autoencoder-plus,vae,guided,contrastive,supcon,split,joint",
    }


def test_the_cka_of_two_methods_is_a_macro_both_ways_and_of_one_method_where_it_has_seeds(
    whole: Path,
) -> None:
    macros = macros_of(whole)
    lines = lines_of(whole / "results/similarity/cifar10.csv")
    found = {(line["run_a"], line["run_b"]): line["cka"] for line in lines}
    both = [macros[f"res@cka/cifar10/{pair}"] for pair in ("pca/guided", "guided/pca")]
    assert both == [f"{float(found['pca', 'guided']):.2f}"] * 2
    assert "res@cka/mnist/guided/guided" in macros
    assert "res@cka/cifar10/guided/guided" not in macros


def test_the_facts_of_the_study_are_macros(whole: Path) -> None:
    macros = macros_of(whole)
    timings = whole.glob("results/timing/**/seed*.json")
    ablation = config.read(whole / "study.yaml").settings("cifar10", "autoencoder-plus.ablation.full")
    expected = {
        "config-name": "study",
        "note": "",
        "is-demo": "0",
        "source-hash": "c3" * 6,
        "seeds/mnist": "1, 2, 3",
        "data-hash/mnist": "b2" * 6,
        "split-hash/cifar10": "a1" * 6,
        "train-images/cifar10": "45000",
        "threads": "2",
        "made-on": r"All runs were made on Made\_up CPU @ 2 GHz, 100 \% busy",
        "mixed": "",
        "torch-version": "2.14.1",
        "hours-total": fixed(sum(record.read_json(path)["seconds"] for path in timings) / 3600, 2),
        "epochs/cifar10/autoencoder-plus.ablation.full": str(ablation.optimisation.epochs),
        "temperature/cifar10/contrastive": "0.1",
    }
    assert expected == {name: macros[f"fact@{name}"] for name in expected}
    assert re.fullmatch("[0-9a-f]{12}", macros["fact@build-hash"])


def test_authors_version_and_date_are_those_of_the_citation_file(whole: Path) -> None:
    cited = yaml.safe_load((record.ROOT / "CITATION.cff").read_text())
    macros = macros_of(whole)
    assert macros["fact@authors"] == cited["authors"][0]["name"]
    assert macros["fact@version"] == cited["version"]
    assert macros["fact@date"] == f"{cited['date-released']:%Y-%m-%d}"


def test_processors_are_given_by_data_set_where_they_differ(whole: Path) -> None:
    study = config.read(whole / "study.yaml")
    names = (("mnist", "A"), ("cifar10", "B"), ("cifar10", "B"))
    records = [{"dataset": dataset, "processor": name} for dataset, name in names]
    assert facts.processors(study, records) == "MNIST: A; CIFAR-10: B"
    assert facts.processors(study, records[1:] + [{"dataset": "mnist", "processor": "B"}]) == "B"


def run_on(processor: str, run: str = "guided", **facts: object) -> dict:
    """What a record says of a run's machine."""
    return {"dataset": "mnist", "run": run, "device": "cpu", "processor": processor} | facts


def test_the_paper_says_how_many_runs_were_made_on_which_processor() -> None:
    one, other = run_on("A (2 cores)"), run_on("B (2 cores)")
    assert facts.made_on([one, one]) == "All runs were made on A (2 cores)"
    assert facts.made_on([other, one, one]) == "2 runs were made on A (2 cores), 1 on B (2 cores)"
    moved = run_on("B", trained_by={"processor": "A"})
    assert facts.made_on([moved]) == "All runs were made on A (measured on B)"
    assert facts.made_on([run_on("A", device="a GPU")]) == "All runs were made on a GPU and A"


def test_methods_whose_seeds_are_of_several_kinds_of_processors_are_named(whole: Path) -> None:
    study, one = config.read(whole / "study.yaml"), run_on("A (2 cores)")
    assert facts.mixed(study, [one, run_on("A (4 cores)"), run_on("B (2 cores)", "pca")]) == ""
    others = [run_on("B (2 cores)", name) for name in ("guided", "pca", "guided.labels.1pct")]
    variant = run_on("A (2 cores)", "guided.labels.1pct")
    assert facts.mixed(study, [one, *others, variant]) == "MNIST: Guided†, Guided† labels 1pct"


def test_injected_faults_are_macros_and_a_trial_that_failed_is_not_printed(
    whole: Path, tmp_path: Path
) -> None:
    macros = macros_of(whole).items()
    found = {name.partition("/")[2]: text for name, text in macros if name.startswith("fact@faults/")}
    assert found == {
        "kills": "40",
        "kills-train": "9",
        "kills-evaluate": "8",
        "kills-figures": "6",
        "kills-paper": "3",
        "stops": "10",
        "slowest": "1.7",
        "outputs": "321",
        "full": "17",
        "processor": r"Made\_up CPU",
        "kills-late": "10",
        "source-hash": "f6f6f6f6f6f6",
    }
    made, path = fault_trials(), tmp_path / "fault_trials.json"
    made["trials"]["stop"]["holds"] = False
    del made["trials"]["odd"]
    record.write_json(path, made)
    message = f"error: {path}: stop, odd failed or is missing; mend that and run make fault-trials again"
    with pytest.raises(SystemExit, match=message):
        call(faults, "--trials", path, "--out", tmp_path / "n.tex")
    assert not (tmp_path / "n.tex").exists()


# -- the tables


def cells_of(folder: Path, name: str) -> dict[str, list[str]]:
    """The lines of a table: first cell -> the others, whether they are bold or not."""
    lines = (folder / f"generated/table_{name}.tex").read_text().splitlines()
    split = [
        [part.strip().removeprefix(tex.BOLD) for part in line.removesuffix(r" \\").split("&")]
        for line in lines
    ]
    return {first: others for first, *others in split}


def test_what_is_measured_on_first_seeds_alone_is_in_a_table_and_what_is_not_measured_has_no_columns(
    whole: Path,
) -> None:
    heads = ["1", "3", "12", "code", "features", "code", "features", "0.1", "0.3", "1"]
    cells = cells_of(whole, "further")
    assert cells[""] == [f"{{{head}}}" for head in heads]
    assert cells["PCA"][4] == "{--}" and cells["Contrastive"][4] != "{--}"
    study, found = config.read(whole / "study.yaml"), read_summary(whole / "results/summary.csv")
    # the last lines of the table are those of CIFAR-10
    wanted = found["cifar10", "contrastive", "mae_frozen_12_epochs", "test"].mean
    assert cells["Contrastive"][2] == tex.rounded("mae", wanted)
    less = msgspec.structs.replace(study.measurement, noise=[], features_share=0.0)
    decoder = msgspec.structs.replace(study.decoder, epochs_curve=())
    few = msgspec.structs.replace(study, measurement=less, decoder=decoder)
    assert "& {1} \\\\" in tables.further(few, found).replace("  ", " ")


def test_the_committed_results_give_every_table_and_claim_and_the_figures_of_their_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "PNG_DPI", 30)  # nobody looks at them
    reference = record.ROOT / "reference"
    committed = ("--config", reference / "study.yaml", "--results", reference)
    call(tables, *committed, "--out", tmp_path)
    out = ("--out", tmp_path / "c.tex", "--table", tmp_path / "t.tex", "--record", tmp_path / "c.json")
    call(claims, *committed, "--claims", record.ROOT / "paper/claims.yaml", "--strict", *out)
    study = config.read(reference / "study.yaml")
    for name in (one.script for one in figure_targets(study) if {*SUMMARY} <= {*FIGURES[one.script].inputs}):
        script = importlib.import_module(f"latents.report.figures.{name}")
        call(script, *committed, "--out", tmp_path / f"{name}.pdf")
    assert len([*tmp_path.glob("*.pdf")]) == 6


def test_results_in_reference_and_those_of_the_demo_carry_their_note(spoilt: Path) -> None:
    shutil.move(spoilt / "results", spoilt / "reference")
    committed = ("--config", spoilt / "study.yaml", "--results", spoilt / "reference")
    call(tables, *committed, "--out", spoilt / "generated")
    macros = macros_of(spoilt)
    assert macros["fact@note"] == "from reference"
    (spoilt / "study.yaml").write_text(yaml.safe_dump(plain_study("demo/"), sort_keys=False))
    shutil.move(spoilt / "reference", spoilt / "results")
    call(tables, *inputs(spoilt), "--out", spoilt / "generated")
    macros = macros_of(spoilt)
    assert (macros["fact@is-demo"], macros["fact@note"]) == ("1", NOTE)
    assert "CIFAR-10 stand-in" in (spoilt / "generated/table_accuracy.tex").read_text()
    # a demo's times are no result, and would differ each time
    assert not [name for name in macros if "hours" in name]
    assert "{--} & {--}" in (spoilt / "generated/table_cost.tex").read_text()


def test_the_tables_hold_the_values(whole: Path) -> None:
    estimates = summarize.estimates(summarize.read_runs(whole / "results/runs.csv"))

    def mean(dataset: str, method: str, metric: str, places: int, split: str = "test") -> str:
        return f"{estimates[dataset, method, metric, split].mean:.{places}f}"

    accuracy = cells_of(whole, "accuracy")
    assert accuracy["PCA"][0] == mean("mnist", "pca", "accuracy_linear", 1)
    assert accuracy["PCA"][3] == "{--}"
    guided = accuracy[r"Guided\textdagger{}"]
    assert guided[3].startswith(f"{mean('mnist', 'guided', 'accuracy_head', 1)} \\pm ")
    assert guided[7] == mean("cifar10", "guided", "accuracy_head", 1)
    splits = cells_of(whole, "splits")
    assert splits["Random"][5] == mean("cifar10", "random", "accuracy_best", 1, "train")
    metrics = (("mae", 4), ("mae_frozen", 4), ("psnr", 2), ("ssim", 3))
    errors = [mean("cifar10", "contrastive", metric, places) for metric, places in metrics]
    found = cells_of(whole, "reconstruction")["Contrastive"][4:]
    assert [cell.removeprefix(tex.BOLD) for cell in found] == errors
    variant = mean("cifar10", "autoencoder-plus.ablation.plain-decoder", "mae", 4, "val")
    assert cells_of(whole, "ablation")["plain decoder"][0] == variant
    separability = cells_of(whole, "separability")
    assert separability[r"SupCon\textdagger{}"][6].removeprefix(tex.BOLD) == mean(
        "cifar10", "supcon", "silhouette", 3
    )
    assert cells_of(whole, "interpolation")["Cross-fade"] == ["1.00", "2.40", "231", "92.4"] * 2
    assert cells_of(whole, "cost")["Autoencoder+"][:4] == ["2.29", "9100", "20.6", "3.0"]
    classifier = config.read(whole / "study.yaml").datasets["cifar10"].reference_classifier
    assert cells_of(whole, "settings")["Ref. classifier"][0] == str(classifier.optimisation.epochs)
    written = {path.stem for path in (whole / "generated").glob("table_*.tex")}
    assert len(written) == 14 and written == {f"table_{name}" for name in page.CAPTIONS}


def test_the_table_of_methods_gives_experiment_code_and_labels_of_each(whole: Path) -> None:
    lines = cells_of(whole, "methods")
    names = [tex.escape(style.name(method)) for method in METHODS]
    assert [name for name, cells in lines.items() if cells] == ["method", *names]
    assert lines["method"] == ["experiment", "what makes the code", "labels"]
    assert lines["PCA"] == ["baseline", "the first 128 principal components of the training pixels", "no"]
    assert [": ".join(lines[name][:2]) for name in names] == [
        tex.escape(method.about) for method in METHODS.values()
    ]
    assert [lines[name][2] for name in names] == [*["no"] * 5, "yes", "no", "yes", "no", "no"]


def test_a_study_of_fewer_methods_has_macros_lists_and_tables_of_those_alone(spoilt: Path) -> None:
    plain = plain_study()
    for dataset in plain["datasets"].values():
        for method in ("random", "supcon"):
            del dataset["methods"][method]
            dataset["sweeps"].pop(method, None)
    (spoilt / "study.yaml").write_text(yaml.safe_dump(plain))
    call(tables, *inputs(spoilt), "--out", spoilt / "generated")
    written = (spoilt / "generated/macros.tex").read_text().splitlines()
    assert r"\def\allmethods{pca,autoencoder,autoencoder-plus,vae,guided,contrastive,split,joint}" in written
    assert not {"method@random", "method@supcon"} & macros_of(spoilt).keys()
    names = ["PCA", "Autoencoder", "Autoencoder+", "VAE", r"Guided\textdagger{}", "Contrastive"]
    names += ["Split", "Joint"]
    labelled = [name for name in names if name.endswith(r"\textdagger{}")]
    apart = [*(name for name in names if name not in labelled), *labelled]
    for table, ordered in (("methods", names), ("accuracy", apart)):
        lines = [name for name, cells in cells_of(spoilt, table).items() if cells and name != "raw pixels"]
        assert lines[-len(names) :] == ordered


def part_of(datasets: tuple[str, ...], methods: tuple[str, ...]) -> dict:
    """The study with some of its data sets and methods."""
    plain = plain_study()
    plain["datasets"] = {name: plain["datasets"][name] for name in datasets}
    for dataset in plain["datasets"].values():
        dataset["methods"] = {name: dataset["methods"][name] for name in methods}
        dataset["sweeps"] = {name: some for name, some in dataset["sweeps"].items() if name in methods}
        if "contrastive" not in methods:
            dataset["sweeps"].get("guided", {}).pop("finetuned", None)  # starts from it
    return plain


@pytest.mark.parametrize(
    ("datasets", "methods"),
    [
        (("mnist",), tuple(METHODS)),
        (("cifar10",), tuple(METHODS)),
        (("mnist", "cifar10"), ("pca", "guided")),
        (("mnist",), ("pca",)),
        (("cifar10",), ("supcon",)),
    ],
)
def test_a_study_of_fewer_data_sets_or_methods_has_its_tables_claims_figures_and_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, datasets: tuple[str, ...], methods: tuple[str, ...]
) -> None:
    monkeypatch.setattr(style, "PNG_DPI", 30)
    folder = report(prepare(tmp_path, part_of(datasets, methods)))
    study, macros = config.read(folder / "study.yaml"), macros_of(folder)
    assert {path.stem for path in (folder / "generated").glob("table_*.tex")} == {
        f"table_{name}" for name in page.CAPTIONS
    }
    for name, claim in yaml.safe_load(CLAIMS.read_text())["claims"].items():
        runs = {(run.dataset, run.method) for run in study.runs()}
        there = {(claim["dataset"], claim[side]) for side in ("more", "less")} <= runs
        assert (macros[f"claim@{name}"] in "01") == there and macros[f"claim@{name}@found"]
    for name, script, dataset in figure_targets(study):
        module = importlib.import_module(f"latents.report.figures.{script}")
        which = ("--dataset", dataset) if dataset else ()
        call(module, *inputs(folder), *which, "--out", folder / f"results/figures/{name}.pdf")
        assert f"figure@{name}" in macros
    for name in page.CAPTIONS:
        call(page, "--table", folder / f"generated/table_{name}.tex", "--out", folder / "page.html")
    marks = (
        f"<!-- {name}: written by `make reference` -->\n<!-- end of {name} -->\n"
        for name in ("results", "methods")
    )
    (folder / "README.md").write_text("".join(marks))
    out = ("--out", folder / "figures.md", "--results-page", folder / "results.md")
    committed = ("--config", folder / "study.yaml", "--reference", folder / "results")
    call(gallery, *committed, "--readme", folder / "README.md", *out)
    assert (folder / "results.md").read_text().count("\n## ") == len(datasets) + 2


def test_the_figures_of_a_study_are_macros(whole: Path) -> None:
    study, macros = config.read(whole / "study.yaml"), macros_of(whole)
    names = {target.name for target in figure_targets(study)}
    assert {name for name in macros if name.startswith("figure@")} == {f"figure@{name}" for name in names}


def test_a_setting_that_is_as_in_the_line_above_is_not_repeated(whole: Path) -> None:
    lines = (whole / "generated/table_settings.tex").read_text().splitlines()

    def first(begin: str) -> str:
        return next(line for line in lines if line.startswith(begin))

    assert "augm.\\ (resized crop 0.4--1, rotate" in first("Contrastive")
    assert "augm.\\ as above, temperature" in first("SupCon")
    on_mnist = first("-- classes")
    assert "corruption (noise 0.2), clean fraction 0.5, gradient weight 5, warmup" in on_mnist
    assert "residual" not in on_mnist
    # what a variant switches off is said; what its method never had is not
    assert "no label smoothing, start contrastive" in first("-- fine-tuned 1")
    assert " no " not in first("Guided")


@pytest.mark.parametrize(
    ("name", "value", "printed"),
    [
        ("accuracy_mlp", 63.95, "64.0"),
        ("accuracy_mlp", (63.9 + 64.0) / 2, "64.0"),
        ("accuracy_mlp", 0.25, "0.3"),  # Python's own rounding of halves is to even digits
        ("accuracy_mlp", 74.15, "74.2"),  # the nearest float is below it
        ("mae", 0.18945, "0.1895"),
        ("mae", 0.189449, "0.1894"),
        ("silhouette", -0.0125, "-0.013"),
        ("silhouette", -0.0004, "0.000"),
        ("train_flops", 9.995e12, "10.00"),
    ],
)
def test_numbers_are_rounded_as_decimals_are(name: str, value: float, printed: str) -> None:
    assert tex.rounded(name, value) == printed


def test_a_half_width_is_rounded_up_never_to_nothing() -> None:
    key = ("d", "m", "accuracy_mlp", "test")
    estimates = {key: summarize.Estimate(90.0, 89.98, 90.02, 3, "percent")}
    assert tex.cell(estimates, *key) == r"90.0 \pm 0.1"


def test_the_best_of_a_column_is_bold_and_so_is_what_is_printed_alike() -> None:
    rows = [[r"91.2 \pm 0.3", "0.05", "7"], ["91.2", "0.04", "8"], ["{--}", "0.06", "9"]]
    bold = tex.emphasised(rows, (1, -1, 0))
    assert bold == [
        [r"\bfseries 91.2 \pm 0.3", "0.05", "7"],
        [r"\bfseries 91.2", r"\bfseries 0.04", "8"],
        ["{--}", "0.06", "9"],
    ]
    assert [tex.column(list(some)) for some in zip(*bold, strict=True)] == [
        tex.column(list(some)) for some in zip(*rows, strict=True)
    ]


def test_class_changes_are_printed_only_where_every_seed_has_its_mean(whole: Path) -> None:
    study, found = config.read(whole / "study.yaml"), read_summary(whole / "results/summary.csv")
    key = ("mnist", "guided", "class_changes", "test")

    def line() -> str:
        lines = tables.interpolation(study, found).splitlines()
        return next(line for line in lines if line.startswith("Guided"))

    assert "{--}" not in line()
    found[key] = found[key]._replace(n=2)
    assert line().count("{--}") == 1


TYPESET = r"""\documentclass[10pt]{article}
\usepackage[T1]{fontenc}\usepackage{booktabs,siunitx,array}\input{generated/macros}
\begin{document}%(boxes)s
\typeout{VALUE \csname res@cifar10/guided/accuracy_head/test\endcsname}
\makeatletter\@for\one:=\labelfree\do{\typeout{NAME \csname method@\one\endcsname}}\makeatother
\end{document}
"""


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_the_tables_compile_and_fit_the_text_block(spoilt: Path) -> None:
    names = sorted(path.stem for path in (spoilt / "generated").glob("table_*.tex"))
    boxes = "".join(
        rf"\setbox0\hbox{{\input{{generated/{name}}}\unskip}}\typeout{{WIDTH \the\wd0}}\box0\par"
        for name in names
    )
    (spoilt / "paper.tex").write_text(TYPESET % {"boxes": boxes})
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    log = subprocess.run(command, cwd=spoilt, capture_output=True, text=True, check=False)
    assert log.returncode == 0, log.stdout[-2000:]
    widths = [float(width) for width in re.findall(r"WIDTH ([\d.]+)pt", log.stdout)]
    assert len(widths) == len(names) == 14
    assert not {name: width for name, width in zip(names, widths, strict=True) if width > 6.3 * 72.27}
    assert re.search(r"VALUE \d+\.\d", log.stdout)
    labels = [METHODS[name].label for name in METHODS if not METHODS[name].sees_labels]
    assert re.findall(r"NAME (.*)", log.stdout) == labels
    assert "Missing character" not in log.stdout


# -- what it takes


def test_no_module_of_the_report_imports_torch_sklearn_or_scipy() -> None:
    root = record.ROOT / "src"
    paths = sorted((root / "latents/report").rglob("[a-z]*.py"))
    modules = [".".join(path.relative_to(root).with_suffix("").parts) for path in paths]
    program = (
        f"import sys, importlib; [importlib.import_module(name) for name in {modules}]; "
        "print(*{'torch', 'sklearn', 'scipy'} & sys.modules.keys())"
    )
    assert len(modules) >= 30
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
