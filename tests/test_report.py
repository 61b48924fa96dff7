"""The report: summary, tables, macros and figures from a complete folder of made-up results."""

import csv
import importlib
import json
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from made_up import NOTE, call, inputs, plain_study, prepare, summarise, trials
from matplotlib.figure import Figure

from latents import config, record
from latents.report import claims, gallery, replay, speed, style, summarize, tables, tex
from latents.report.figures import INPUTS
from latents.report.figures import tsne as tsne_figure
from latents.report.summarize import read_summary

FIGURES = {  # script: its data set, where it takes one
    "reconstructions": "mnist", "tsne": "cifar10", "interpolations": "cifar10", "curves": "mnist",
    "accuracy": None, "few_labels": None, "reconstruction_error": None, "separability": None, "similarity": None, "sweeps": None, "speed": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Study, results, summary and tables, made once; tests only read them."""
    folder = prepare(tmp_path_factory.mktemp("whole"), plain_study())
    summarise(folder)
    call(tables, *inputs(folder), "--out", folder / "generated")
    call(speed, "--bench", folder / "results/bench.json", "--out", folder / "generated")
    call(replay, "--trials", folder / "results/trials.json", "--out", folder / "generated/macros_replay.tex")
    written = {"--out": "macros_claims.tex", "--table": "table_claims.tex", "--record": "claims.json"}
    out = [word for option, name in written.items() for word in (option, folder / "generated" / name)]
    call(claims, *inputs(folder), "--claims", record.ROOT / "paper/claims.yaml", *out)
    return folder


@pytest.fixture
def spoilt(whole: Path, tmp_path: Path) -> Path:
    """A copy for a test to spoil."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def change(path: Path, **values: object) -> None:
    record.write_json(path, record.read_json(path) | values)


def test_every_number_of_every_record_is_in_runs_in_the_order_of_the_cells(whole: Path) -> None:
    study = config.read(whole / "study.yaml")
    runs = lines_of(whole / "results/runs.csv")
    assert list(runs[0]) == ["dataset", "method", "variant", "seed", "metric", "split", "value", "unit"]
    cells = list(dict.fromkeys((line["dataset"], line["method"], line["variant"], int(line["seed"])) for line in runs))
    named = [(d, run.split(".")[0], run.partition(".")[2] or "main", seed) for d, run, seed in study.cells()]
    assert cells == named
    found = {(*(line[key] for key in ("dataset", "method", "variant", "seed", "metric", "split")),): float(line["value"]) for line in runs}
    content = json.loads((whole / "results/records/cifar10/autoencoder-plus.ablation.full/seed1.json").read_text())
    for one in content["metrics"]:
        assert found["cifar10", "autoencoder-plus", "ablation.full", "1", one["metric"], one["split"]] == one["value"]
    assert found["mnist", "pca", "main", "1", "tsne_trustworthiness", "test"] == 0.9


def test_the_summary_is_students_interval_over_seeds_of_the_runs(whole: Path) -> None:
    summary = lines_of(whole / "results/summary.csv")
    assert list(summary[0]) == ["dataset", "method", "metric", "split", "mean", "ci95_low", "ci95_high", "n", "unit"]
    (line,) = [s for s in summary if (s["dataset"], s["method"], s["metric"], s["split"]) == ("mnist", "guided", "accuracy_mlp", "test")]
    key = ("mnist", "guided", "main", "accuracy_mlp", "test")
    runs = lines_of(whole / "results/runs.csv")
    values = [float(r["value"]) for r in runs if (r["dataset"], r["method"], r["variant"], r["metric"], r["split"]) == key]
    mean = sum(values) / 3
    half = 4.302652729911275 * (sum((value - mean) ** 2 for value in values) / 2) ** 0.5 / 3**0.5  # t of 2 degrees of freedom
    assert int(line["n"]) == len(values) == 3
    np.testing.assert_allclose([float(line[k]) for k in ("mean", "ci95_low", "ci95_high")], [mean, mean - half, mean + half], rtol=1e-12)


def test_one_seed_or_a_value_that_no_seed_changes_has_no_interval(whole: Path) -> None:
    summary = lines_of(whole / "results/summary.csv")
    alone = [line for line in summary if line["dataset"] == "cifar10" or line["method"] == "pca"]
    fixed = [line for line in summary if line["metric"] in ("parameters", "path_length_pixels")]
    assert {line["n"] for line in alone} == {"1"}
    assert {"1", "3"} == {line["n"] for line in fixed}
    assert all(line["ci95_low"] == line["ci95_high"] == "" for line in alone + fixed)


def test_summarizing_twice_gives_the_same_bytes_and_the_summary_has_the_variants_too(spoilt: Path) -> None:
    before = {name: (spoilt / "results" / name).read_bytes() for name in ("runs.csv", "summary.csv")}
    summarise(spoilt)
    assert before == {name: (spoilt / "results" / name).read_bytes() for name in before}
    assert b"autoencoder-plus,ablation.plain-decoder," in before["runs.csv"]
    assert b"autoencoder-plus.ablation.plain-decoder," in before["summary.csv"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"split_sha256": "f" * 64}, "cifar10/supcon/seed1.json: its split_sha256 is not that of the other cifar10 records"),
        ({"data_sha256": "f" * 64}, "cifar10/supcon/seed1.json: its data_sha256 is not that of the other cifar10 records"),
        ({"seed": 2}, "cifar10/supcon/seed1.json: is the record of another cell"),
        ({"format": 0}, "cifar10/supcon/seed1.json: not a record of format 1"),
    ],
)
def test_a_record_that_does_not_belong_is_refused_by_name(spoilt: Path, values: dict, message: str) -> None:
    change(spoilt / "results/records/cifar10/supcon/seed1.json", **values)
    kept = (spoilt / "results/runs.csv").read_bytes()
    with pytest.raises(SystemExit, match=re.escape(message)):
        summarise(spoilt)
    assert (spoilt / "results/runs.csv").read_bytes() == kept


@pytest.mark.parametrize("name", ["records/mnist/pca/seed1.json", "tsne/mnist/guided.json"])
def test_a_missing_input_of_the_summary_is_named(spoilt: Path, name: str) -> None:
    (spoilt / "results" / name).unlink()
    with pytest.raises(SystemExit, match=re.escape(f"{name}: missing")):
        summarise(spoilt)


def text_of(pdf: bytes) -> str:
    """The strings that a figure's PDF shows, without their kerning."""
    streams = [zlib.decompress(part) for part in re.findall(rb"stream\n(.*?)\nendstream", pdf, re.DOTALL) if part[:1] == b"x"]
    shown = b"".join(re.findall(rb"\(((?:[^()\\]|\\.)*)\)", b"".join(part for part in streams if b" Tf" in part)))
    return shown.replace(b"\0", b"").decode("latin-1")  # characters of two bytes


class Drawn(NamedTuple):
    pdf: bytes
    png: bytes
    extents: tuple[float, float, float, float]  # of all that the PDF shows: left, bottom, right, top; inches
    size: tuple[float, float]


def draw(whole: Path, folder: Path, name: str) -> tuple[bytes, bytes]:
    """The PDF and the PNG of a figure."""
    script, which = importlib.import_module(f"latents.report.figures.{name}"), ["--dataset", FIGURES[name]] if FIGURES[name] else []
    out = folder / f"{name}.pdf"
    call(script, *inputs(whole), *which, "--note", NOTE, "--out", out)
    return out.read_bytes(), out.with_suffix(".png").read_bytes()


def watched(whole: Path, folder: Path, name: str, height: float | None = None) -> Drawn:
    """The same with what of it lies where; at another height where one is given."""
    seen, savefig, empty = [], Figure.savefig, style.figure

    def saved(figure: Figure, *arguments: object, **options: object) -> None:
        savefig(figure, *arguments, **options)
        seen.append((figure.get_tightbbox().extents, figure.get_size_inches()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", saved)
        patch.setattr(style, "figure", lambda chosen: empty(height or chosen))
        pdf, png = draw(whole, folder, name)
    return Drawn(pdf, png, *seen[0])  # the PDF comes first


@pytest.fixture(scope="module", params=FIGURES)
def figure(request: pytest.FixtureRequest, whole: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Drawn]:
    """A figure's name, and the figure."""
    return request.param, watched(whole, tmp_path_factory.mktemp("figure"), request.param)


def test_a_figure_carries_the_note_and_is_the_same_bytes_twice(whole: Path, tmp_path: Path, figure: tuple[str, Drawn]) -> None:
    name, drawn = figure
    assert (drawn.pdf, drawn.png) == draw(whole, tmp_path, name)
    assert NOTE in text_of(drawn.pdf)
    assert b"/FontFile2" in drawn.pdf  # TrueType, embedded
    assert b"/Type3" not in drawn.pdf
    assert b"CreationDate" not in drawn.pdf
    assert len(drawn.png) < 300_000


def fits(drawn: Drawn) -> bool:
    (left, bottom, right, top), (width, upper) = drawn.extents, drawn.size
    return width == style.WIDTH and min(left, bottom, width - right, upper - top) > -0.005


def test_a_figure_is_as_wide_as_the_text_and_nothing_of_it_is_cut_off_in_the_pdf(figure: tuple[str, Drawn]) -> None:
    assert fits(figure[1])


def test_nothing_is_cut_off_where_the_first_pass_of_the_layout_would(whole: Path, tmp_path: Path) -> None:
    assert fits(watched(whole, tmp_path, "similarity", height=3.15))


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("reconstructions", "pictures/mnist/guided/seed1.npz"), ("interpolations", "pictures/cifar10/random/seed1.npz"),
        ("tsne", "tsne/cifar10/pca.csv"), ("curves", "curves/mnist/supcon/seed3.csv"), ("accuracy", "summary.csv"),
        ("few_labels", "summary.csv"), ("sweeps", "summary.csv"), ("reconstruction_error", "summary.csv"), ("separability", "summary.csv"), ("similarity", "similarity/mnist.csv"),
        ("speed", "bench.json"),
    ],
)  # fmt: skip
def test_a_missing_input_of_a_figure_is_named(spoilt: Path, name: str, missing: str) -> None:
    (spoilt / "results" / missing).unlink()
    which = ["--dataset", FIGURES[name]] if FIGURES[name] else []
    with pytest.raises(SystemExit, match=re.escape(f"{missing}: missing")):
        call(importlib.import_module(f"latents.report.figures.{name}"), *inputs(spoilt), *which, "--out", spoilt / "x.pdf")
    assert not (spoilt / "x.pdf").exists()


@pytest.mark.parametrize(
    ("name", "broken", "damage", "message"),
    [
        ("few_labels", "summary.csv", lambda content: content[: len(content) // 2 - 9], "line .* is broken"),
        ("few_labels", "summary.csv", lambda content: content.replace(b",percent", b",percent,1", 1), "line 2 is broken"),
        ("accuracy", "summary.csv", lambda content: content[: len(content) // 2], "line .* is broken"),
        ("accuracy", "summary.csv", lambda content: content + b"\xff", "cannot be read"),
        ("separability", "summary.csv", lambda content: content.replace(b"silhouette", b"silhouettes"), "silhouette of mnist/pca on test is not in these results"),
        ("similarity", "similarity/mnist.csv", lambda content: content.replace(b"0.", b"zero.", 1), "line 2 is broken"),
        ("tsne", "tsne/cifar10/pca.csv", lambda content: content + b"9,9\n", "line .* is broken"),
        ("tsne", "tsne/cifar10/pca.csv", lambda content: content.splitlines(keepends=True)[0], r"pca\.csv: not the file that its record describes"),
        ("curves", "curves/mnist/guided/seed1.csv", lambda content: content + b"13,9\n", "line 14 is broken"),
        ("curves", "curves/mnist/guided/seed1.csv", lambda content: content.splitlines(keepends=True)[0], r"seed1\.csv: holds no loss"),
        ("reconstructions", "pictures/mnist/guided/seed1.npz", lambda content: content[:-40], "cannot be read"),
        ("interpolations", "pictures/cifar10/pca/seed1.npz", lambda content: content[:2000] + b"x" + content[2001:], "cannot be read"),
    ],
)  # fmt: skip
def test_a_damaged_input_of_a_figure_is_named_and_nothing_drawn(spoilt: Path, name: str, broken: str, damage: Callable[[bytes], bytes], message: str) -> None:
    path = spoilt / "results" / broken
    path.write_bytes(damage(path.read_bytes()))
    which = ["--dataset", broken.split("/")[1]] if FIGURES[name] else []
    with pytest.raises(SystemExit, match=message):
        call(importlib.import_module(f"latents.report.figures.{name}"), *inputs(spoilt), *which, "--out", spoilt / "x.pdf")
    assert not (spoilt / "x.pdf").exists()


def test_pictures_of_other_test_images_are_refused(spoilt: Path) -> None:
    path = spoilt / "results/pictures/mnist/supcon/seed1.npz"
    arrays = dict(np.load(path))
    np.savez(path, **arrays | {"originals": arrays["originals"][::-1]})
    with pytest.raises(SystemExit, match=r"supcon/seed1.npz: shows other test images than"):
        figure = importlib.import_module("latents.report.figures.reconstructions")
        call(figure, *inputs(spoilt), "--dataset", "mnist", "--out", spoilt / "x.pdf")


def test_nothing_that_draws_or_tabulates_imports_torch() -> None:
    root = record.ROOT / "src"
    modules = [".".join(path.relative_to(root).with_suffix("").parts) for path in sorted((root / "latents/report").rglob("[a-z]*.py"))]
    program = f"import sys, importlib; [importlib.import_module(m) for m in {modules}]; sys.exit('torch' in sys.modules)"
    assert len(modules) >= 11
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def macros_of(folder: Path) -> dict[str, str]:
    text = "".join((folder / f"generated/{name}.tex").read_text() for name in ("macros", "macros_claims", "macros_replay"))
    return dict(re.findall(r"^\\expandafter\\def\\csname (.*?)\\endcsname\{(.*)\}$", text, re.MULTILINE))


def test_every_line_of_the_summary_and_every_ablation_has_its_macros(whole: Path) -> None:
    macros = macros_of(whole)
    for line in lines_of(whole / "results/summary.csv"):
        name = "res@{dataset}/{method}/{metric}/{split}".format(**line)
        assert macros[f"{name}@n"] == line["n"]
        assert (macros[f"{name}@ci"] == f"n = {line['n']}") == (line["ci95_low"] == "")
        float(macros[name])
        if line["metric"] == "accuracy_mlp":
            assert macros[name] == f"{float(line['mean']):.1f}"
            assert not line["ci95_low"] or macros[f"{name}@ci"] == f"{float(line['ci95_low']):.1f} to {float(line['ci95_high']):.1f}"
    assert "res@cifar10/autoencoder-plus.ablation.plain-decoder/mae/val" in macros
    assert macros["res@cifar10/contrastive/train_flops/-"] == "14000"


def test_every_number_that_the_paper_names_has_its_macro_where_all_sweeps_are_run(whole: Path) -> None:
    macros, source = macros_of(whole), re.sub(r"(?<!\\)%.*", "", (record.ROOT / "paper/paper.tex").read_text())
    named = [f"fact@{key}" for key in re.findall(r"\\fact\{([^#}]+)\}", source)]
    named += [f"res@{key}" for key in re.findall(r"\\(?:val|pc|ci|n|ifmore|threeway)\{([^#}]+)\}", source) + re.findall(r"\\(?:ifmore|threeway)\{[^#}]+\}\{([^#}]+)\}", source)]
    named += [f"res@{key.strip()}/mae/test" for keys in re.findall(r"\\ifrun\{([^#}]+)\}", source) for key in keys.split(",")]
    named += [f"res@cifar10/autoencoder-plus.ablation.{name}/mae/val" for name in re.findall(r"\\againstrun\{([^#}]+)\}", source)]
    assert len(named) > 150 and [name for name in named if name not in macros] == []


def test_the_cka_of_two_rows_is_a_macro_both_ways_and_of_one_row_where_it_has_seeds(whole: Path) -> None:
    macros = macros_of(whole)
    found = {(line["run_a"], line["run_b"]): line["cka"] for line in lines_of(whole / "results/similarity/cifar10.csv")}
    assert macros["res@cka/cifar10/pca/guided"] == macros["res@cka/cifar10/guided/pca"] == f"{float(found['pca', 'guided']):.2f}"
    assert "res@cka/mnist/guided/guided" in macros
    assert "res@cka/cifar10/guided/guided" not in macros


def test_the_facts_of_the_study_are_macros(whole: Path) -> None:
    macros = macros_of(whole)
    expected = {
        "config-name": "study", "note": "", "is-demo": "0", "source-hash": "c3" * 6, "seeds/mnist": "1, 2, 3",
        "data-hash/mnist": "b2" * 6, "split-hash/cifar10": "a1" * 6, "train-images/cifar10": "45000", "threads": "2",
        "processor": r"Made\_up CPU @ 2 GHz, 100 \% busy", "torch-version": "2.14.1", "hours-total": f"{sum(record.read_json(path)['seconds'] for path in whole.glob('results/timing/**/seed*.json')) / 3600:.2f}",
        "epochs/cifar10/autoencoder-plus.ablation.full": "2", "temperature/cifar10/contrastive": "0.1",
    }  # fmt: skip
    assert expected == {name: macros[f"fact@{name}"] for name in expected}
    assert re.fullmatch("[0-9a-f]{12}", macros["fact@build-hash"])


def test_processors_are_told_by_data_set_where_they_differ(whole: Path) -> None:
    study = config.read(whole / "study.yaml")
    cells = [{"dataset": d, "processor": name} for d, name in (("mnist", "A"), ("cifar10", "B"), ("cifar10", "B"))]
    assert tables.processors(study, cells) == "MNIST: A; CIFAR-10: B"
    assert tables.processors(study, cells[1:] + [{"dataset": "mnist", "processor": "B"}]) == "B"


def test_class_numbers_are_moved_apart_and_no_further() -> None:
    places = np.array([[0.0, 0.0], [0.3, 0.0], [0.3, 0.2], [9.0, 9.0]])
    moved = tsne_figure.apart(places, 1.0)
    between = np.linalg.norm(moved[:, None] - moved, axis=2)[np.triu_indices(4, 1)]
    assert between.min() > 0.95 and np.array_equal(moved[3], places[3])
    assert np.array_equal(tsne_figure.apart(moved[[0, 3]], 1.0), moved[[0, 3]])


def test_the_appendix_has_a_line_for_each_cell_with_the_hash_of_its_record(whole: Path) -> None:
    lines = (whole / "generated/table_cells.tex").read_text().splitlines()
    cells = config.read(whole / "study.yaml").cells()
    assert len(lines) == len(cells)
    made = record.read_json(whole / "results/records/cifar10/autoencoder-plus.ablation.full/seed1.json")
    wanted = rf"\cellline{{cifar10/autoencoder-plus.ablation.full/seed1}}{{{record.seal(made)[:8]}}}"
    assert wanted in lines


def test_what_was_done_to_runs_is_in_macros_and_a_trial_that_did_not_hold_is_not_printed(whole: Path, tmp_path: Path) -> None:
    found = {name.partition("/")[2]: text for name, text in macros_of(whole).items() if name.startswith("fact@trials/")}
    assert found == {
        "kills": "40", "kills-train": "9", "kills-evaluate": "8", "kills-figures": "6", "kills-paper": "3", "stops": "10", "slowest": "1.7",
        "outputs": "321", "full": "17", "processor": r"Made\_up CPU", "kills-late": "10", "source-hash": "f6f6f6f6f6f6",
    }  # fmt: skip
    made = trials()
    made["trials"]["stop"]["holds"] = False
    del made["trials"]["odd"]
    record.write_json(tmp_path / "trials.json", made)
    with pytest.raises(SystemExit, match=f"error: {tmp_path}/trials.json: stop, odd did not hold or is not in it; mend that and run make trials again"):
        call(replay, "--trials", tmp_path / "trials.json", "--out", tmp_path / "n.tex")
    assert not (tmp_path / "n.tex").exists()


def test_the_committed_results_give_every_table_and_claim_and_the_figures_of_their_summary(tmp_path: Path) -> None:
    reference = record.ROOT / "reference"
    committed = ("--config", reference / "study.yaml", "--results", reference)
    call(tables, *committed, "--out", tmp_path)
    written = ("--out", tmp_path / "claims.tex", "--table", tmp_path / "table.tex", "--record", tmp_path / "claims.json")
    call(claims, *committed, "--claims", record.ROOT / "paper/claims.yaml", "--strict", *written)
    for name in (name for name, read in INPUTS.items() if read == ["summary.csv"]):
        call(importlib.import_module(f"latents.report.figures.{name}"), *committed, "--out", tmp_path / f"{name}.pdf")
    assert len([*tmp_path.glob("*.pdf")]) == 5


def test_results_in_reference_and_those_of_the_demo_say_so(spoilt: Path) -> None:
    shutil.move(spoilt / "results", spoilt / "reference")
    call(tables, "--config", spoilt / "study.yaml", "--results", spoilt / "reference", "--out", spoilt / "generated")
    macros = macros_of(spoilt)
    assert macros["fact@note"] == "from reference"
    (spoilt / "study.yaml").write_text(yaml.safe_dump(plain_study("demo/"), sort_keys=False))
    shutil.move(spoilt / "reference", spoilt / "results")
    call(tables, *inputs(spoilt), "--out", spoilt / "generated")
    macros = macros_of(spoilt)
    assert (macros["fact@is-demo"], macros["fact@note"]) == ("1", NOTE)
    assert "CIFAR-10 stand-in" in (spoilt / "generated/table_accuracy.tex").read_text()
    assert not [name for name in macros if "hours" in name]  # a demo's times are no result, and would differ each time
    assert "{--} & {--}" in (spoilt / "generated/table_cost.tex").read_text()


def test_the_tables_hold_the_values(whole: Path) -> None:
    estimates = summarize.estimates(summarize.read_runs(whole / "results/runs.csv"))

    def rows(name: str) -> dict[str, list[str]]:
        lines = (whole / f"generated/table_{name}.tex").read_text().splitlines()
        return {parts[0]: parts[1:] for parts in ([part.strip() for part in line.removesuffix(r" \\").split("&")] for line in lines)}

    mean = lambda *key: estimates[key].mean  # noqa: E731
    accuracy = rows("accuracy")
    assert accuracy["PCA"][0] == f"{mean('mnist', 'pca', 'accuracy_linear', 'test'):.1f}"
    assert accuracy["PCA"][3] == "{--}"
    assert accuracy[r"Guided\textdagger{}"][3].startswith(f"{mean('mnist', 'guided', 'accuracy_head', 'test'):.1f} \\pm ")
    assert accuracy[r"Guided\textdagger{}"][7] == f"{mean('cifar10', 'guided', 'accuracy_head', 'test'):.1f}"
    assert rows("splits")["Random"][5] == f"{mean('cifar10', 'random', 'accuracy_best', 'train'):.1f}"
    drawn = [f"{mean('cifar10', 'contrastive', metric, 'test'):.{places}f}" for metric, places in (("mae", 4), ("mae_frozen", 4), ("psnr", 2), ("ssim", 3))]
    assert rows("reconstruction")["Contrastive"][4:] == drawn
    assert rows("ablation")["plain decoder"][0] == f"{mean('cifar10', 'autoencoder-plus.ablation.plain-decoder', 'mae', 'val'):.4f}"
    assert rows("separability")["SupCon\\textdagger{}"][6] == f"{mean('cifar10', 'supcon', 'silhouette', 'test'):.3f}"
    assert rows("interpolation")["Cross-fade"] == ["1.00", "2.40", "231", "92.4"] * 2
    assert rows("cost")["Autoencoder+"][:4] == ["2.29", "9100", "20.6", "3.0"]
    assert rows("settings")["Judge"][0] == str(config.read(whole / "study.yaml").datasets["cifar10"].judge.optimisation.epochs)
    assert len(list((whole / "generated").glob("table_*.tex"))) == 11


def test_a_setting_that_the_row_above_has_too_is_not_said_again(whole: Path) -> None:
    lines = (whole / "generated/table_settings.tex").read_text().splitlines()
    contrastive, supcon = [next(line for line in lines if line.startswith(name)) for name in ("Contrastive", "SupCon")]
    assert "augm.\\ (resized crop 0.4--1, rotate" in contrastive
    assert "augm.\\ as above, temperature" in supcon
    on_mnist = next(line for line in lines if line.startswith("-- classes"))
    assert "corruption (noise 0.2), clean fraction 0.5, gradient weight 5, warmup" in on_mnist and "residual" not in on_mnist


def test_a_half_width_is_rounded_up_never_to_nothing() -> None:
    estimates = {("d", "r", "accuracy_mlp", "test"): summarize.Estimate(90.0, 89.98, 90.02, 3, "percent")}
    assert tex.cell(estimates, "d", "r", "accuracy_mlp", "test") == r"90.0 \pm 0.1"


def test_the_benchmark_is_told_alike_in_macros_table_and_readme(whole: Path) -> None:
    bench = record.read_json(whole / "results/bench.json")
    macros = dict(re.findall(r"csname fact@bench/(.*?)\\endcsname\{(.*)\}$", (whole / "generated/macros_speed.tex").read_text(), re.MULTILINE))
    assert [macros[name] for name in ("ratio/cifar10/contrastive", "float32/cifar10/contrastive", "peak-share/guided", "sprint-start")] == ["2.3", "2.0", "61", "4.8"]
    assert macros["processor"] == r"Made\_up CPU @ 2 GHz, 100 \% busy"
    assert (macros["widths"], macros["width-seconds"]) == ("64 and 128", "6 and 13")
    assert (macros["tsne-points"], macros["tsne-seconds"], macros["tsne-other-seconds"]) == ("1,000 and 3,000", "10 and 30", "10 and 30")
    assert "Guided & 600 & 1400 & 2.0 & 2.3 & {2.3 to 2.3} & 300" in (whole / "generated/table_speed.tex").read_text().replace(r"\textdagger{}", "")
    told = "\n".join(gallery.benchmark(bench))
    assert "| `guided` | 600 | 1400 | 2.0 | 2.3 | 2.3 to 2.3 | 300 | 700 | 2.0 | 2.3 | 2.3 to 2.3 |" in told and "89.50 % test accuracy (8 epochs, mean of 3 seeds) on CIFAR-10 in 252 s" in told


def test_class_changes_are_printed_only_where_every_seed_has_its_mean(whole: Path) -> None:
    study, found = config.read(whole / "study.yaml"), read_summary(whole / "results/summary.csv")
    key = ("mnist", "guided", "class_changes", "test")
    line = lambda: next(line for line in tables.interpolation(study, found).splitlines() if line.startswith("Guided"))  # noqa: E731
    assert "{--}" not in line()
    found[key] = found[key]._replace(n=2)
    assert line().count("{--}") == 1


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_the_tables_compile_and_fit_the_text_block(spoilt: Path) -> None:
    names = sorted(path.stem for path in (spoilt / "generated").glob("table_*.tex") if path.stem != "table_cells")  # lines of text
    boxes = "".join(rf"\setbox0\hbox{{\input{{generated/{name}}}\unskip}}\typeout{{WIDTH \the\wd0}}\box0\par" for name in names)
    preamble = r"\documentclass[10pt]{article}\usepackage[T1]{fontenc}\usepackage{booktabs,siunitx,array}\input{generated/macros}"
    macro = r"\csname res@cifar10/guided/accuracy_head/test\endcsname"
    (spoilt / "paper.tex").write_text(rf"{preamble}\begin{{document}}{boxes}\typeout{{VALUE {macro}}}\end{{document}}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    log = subprocess.run(command, cwd=spoilt, capture_output=True, text=True, check=False)
    assert log.returncode == 0, log.stdout[-2000:]
    widths = [float(width) for width in re.findall(r"WIDTH ([\d.]+)pt", log.stdout)]
    assert len(widths) == len(names) == 10
    assert max(widths) < 6.3 * 72.27
    assert re.search(r"VALUE \d+\.\d", log.stdout)
    assert "Missing character" not in log.stdout
