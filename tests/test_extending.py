"""A method, a data set and a probe of this file alone go through a tiny study to its figures and tables.

What a newcomer touches is what `extended` touches: for a method its settings with a line in METHODS, a class,
and its values in the configuration; for a data set its description, a line in DATASETS and the configuration;
for a probe its function and a line in PROBES.
"""

import importlib
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from made_up import benchmark, call, inputs, summarise
from tiny import plain, write_data
from torch import Generator, Tensor
from torch.nn import functional

from latents import (
    augment,
    config,
    datasets,
    evaluate,
    fetch,
    methods,
    metrics,
    probe,
    record,
    similarity,
    train,
    tsne,
    yardsticks,
)
from latents.datasets.spec import Archive, Content, DatasetSpec, StandIn
from latents.methods.settings import MethodSettings
from latents.model import Model, Sizes
from latents.networks import Decoder, Encoder
from latents.report import figures, tables
from latents.report.summarize import Value, read_runs
from latents.settings import Fraction, Optimisation
from latents.study import Run, Study

# a method


class Masking(MethodSettings, frozen=True):
    """Settings of a masked autoencoder."""

    optimisation: Optimisation
    hidden: Fraction  # share of the pixels that the encoder does not see


class MaskedAutoencoder(Model):
    """Reconstructs images of which some pixels are hidden."""

    def __init__(self, settings: Masking, sizes: Sizes) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = Encoder(sizes.shape, sizes.widths)
        self.decoder = Decoder(sizes.shape, sizes.decoder_channels, linear_path=False)

    def views(self, images: Tensor, random: Generator) -> tuple[Tensor, Tensor]:
        hidden = augment.chance(images[:, :1].numel(), self.settings.hidden, random)
        return images.masked_fill(hidden.view_as(images[:, :1]), 0.5), images

    def objective(self, views: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
        seen, images = views
        return functional.l1_loss(self.decoder(self.encoder(seen)), images)


MASKED = methods.Method(
    label="Masked",
    color="#e69f00",
    marker="*",
    hatch="++",
    about="reconstructs hidden pixels",
    settings=Masking,
    network="test_extending:MaskedAutoencoder",
)

# a data set: four classes of bars, 28 x 28 pixels in three colours

SHAPE, BARS = (28, 28, 3), ("left", "right", "top", "bottom")
FILES = {"train": "bars/train.bin", "test": "bars/test.bin"}


def bars(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [n, 3, 28, 28] and labels [n]."""
    images = np.random.default_rng(seed).integers(0, 100, (n, 3, 28, 28), dtype=np.uint8)
    labels = np.arange(n) % len(BARS)
    for image, label in zip(images, labels, strict=True):
        half = slice(0, 14) if label % 2 == 0 else slice(14, 28)
        image[(slice(None), *((slice(None), half) if label < 2 else (half, slice(None))))] += 120
    return images, labels


def write_bars(root: Path) -> None:
    for part, n, seed in (("train", 100, 1), ("test", 24, 2)):
        images, labels = bars(n, seed)
        record.write_bytes(root / FILES[part], labels.astype(np.uint8).tobytes() + images.tobytes())


def read_bars(_: str, files: list[Content]) -> tuple[np.ndarray, np.ndarray]:
    ((_, content),) = files
    n = len(content) // (1 + 3 * 28 * 28)
    images = np.frombuffer(content, np.uint8, offset=n).reshape(n, 3, 28, 28)
    return images, np.frombuffer(content, np.uint8, count=n).astype(np.int64)


SPEC = DatasetSpec(
    label="Bars",
    shape=SHAPE,
    images=(100, 24),
    classes=BARS,
    marker="^",
    filling="white",
    sources=("http://127.0.0.1/bars/",),
    archives=(Archive("bars.tar.gz", 1, "0" * 32, dict.fromkeys(FILES.values(), "0" * 64)),),
    parts={part: (name,) for part, name in FILES.items()},
    read=read_bars,
    stand_in=StandIn("Bars stand-in", BARS, "test_extending:write_bars"),
)


# a probe


def nearest_mean(
    codes: probe.Parts, labels: probe.Parts, _: metrics.ProbeSettings, classes: int, splits: Collection[str]
) -> probe.Outcome:
    """The class whose training codes have the nearest mean."""
    means = torch.stack([codes["train"][labels["train"] == k].mean(0) for k in range(classes)])
    return probe.Outcome({name: torch.cdist(codes[name], means).argmin(1) for name in splits}, None)


NEAREST_MEAN = metrics.Probe("nearest class mean", "mean", "P", "#cc79a7")


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory):
    """A finished tiny study of four methods on two data sets, with what this file adds."""
    folder = tmp_path_factory.mktemp("extended")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(methods.METHODS, "masked", MASKED)
        patch.setitem(datasets.DATASETS, "bars", SPEC)
        patch.setitem(metrics.PROBES, "mean", NEAREST_MEAN)
        patch.setitem(probe.FUNCTIONS, "mean", nearest_mean)
        write_data(folder)
        run_study(folder, configuration(folder))
        yield folder


def configuration(folder: Path) -> Study:
    content = plain(folder, measurement={"tsne-neighbours": 5})
    of_mnist = content["datasets"]["mnist"] | {"seeds": [1]}
    budget = of_mnist["methods"]["autoencoder"]["optimisation"]
    chosen = {name: of_mnist["methods"][name] for name in ("pca", "random", "guided")}
    of_mnist["methods"] = chosen | {"masked": {"optimisation": budget, "hidden": 0.5}}
    content["datasets"] = {"mnist": of_mnist, "bars": of_mnist}
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    return config.read(folder / "study.yaml")


def run_study(folder: Path, study: Study) -> None:
    """Every step's own command, from the files to figures and tables."""
    results, configured = folder / "results", ("--config", folder / "study.yaml")
    call(fetch, *configured, "--dataset", "bars", "--out", results / "data/bars.json")
    classifiers = study.reference_classifiers()
    for run in [*classifiers.values(), *study.runs()]:
        call(train, *configured, *place(run), *train_outputs(results, run))
    for run in study.runs():
        classifier = classifiers[run.dataset]
        inputs = ("--weights", results / f"{run}.w", "--trained", results / f"train/{run}.json")
        inputs += ("--classifier", results / f"{classifier}.w")
        inputs += ("--classifier-trained", results / f"train/{classifier}.json")
        call(evaluate, *configured, *place(run), "--final", *inputs, *evaluate_outputs(results, run))
        codes, embedded = results / f"codes/{run}.npz", results / f"tsne/{run.dataset}/{run.method}"
        outputs = (
            "--out",
            f"{embedded}.csv",
            "--record",
            f"{embedded}.json",
            "--timing",
            f"{embedded}.timing.json",
        )
        call(tsne, *configured, "--codes", codes, *outputs)
    for dataset in study.datasets:
        made = ("--out", results / f"yardsticks/{dataset}.json", "--timing", results / f"{dataset}.y.json")
        call(yardsticks, *configured, "--dataset", dataset, "--final", *made)
        samples = [results / f"samples/{run}.npz" for run in study.runs(dataset)]
        out = results / f"similarity/{dataset}.csv"
        call(similarity, *configured, "--dataset", dataset, "--samples", *samples, "--out", out)
    summarise(folder)


def place(run: Run) -> tuple:
    return "--dataset", run.dataset, "--method", run.method, "--seed", run.seed


def train_outputs(results: Path, run: Run) -> tuple:
    files = {"out": f"{run}.w", "record": f"train/{run}.json", "curve": f"curves/{run}.csv"}
    files["timing"] = f"timing/{run}.train.json"
    return tuple(word for name, file in files.items() for word in (f"--{name}", results / file))


def evaluate_outputs(results: Path, run: Run) -> tuple:
    files = {name: f"{name}/{run}.npz" for name in ("codes", "pictures")}
    files |= {
        "sample": f"samples/{run}.npz",
        "out": f"records/{run}.json",
        "timing": f"timing/{run}.evaluate.json",
    }
    return tuple(word for name, file in files.items() for word in (f"--{name}", results / file))


def test_a_method_of_three_places_is_trained_measured_and_summarised(extended: Path) -> None:
    found = numbers(extended)
    expected = {
        (d, m) for d in ("mnist", "bars") for m in ("pca", "random", "guided", "masked", "yardsticks")
    }
    assert {(one.dataset, one.method) for one in found} == expected
    errors = [one.value for one in found if one.method == "masked" and one.metric in ("mae", "mae_frozen")]
    assert len(errors) == 2 * 2 * 3 and all(0 < error < 0.5 for error in errors)


def test_a_data_set_of_three_places_has_its_own_shape_and_classes(extended: Path) -> None:
    pictures = np.load(extended / "results/pictures/bars/masked/seed1.npz")
    assert pictures["originals"].shape[1:] == SHAPE and set(pictures["labels"]) <= set(range(len(BARS)))
    linear = [
        one for one in numbers(extended) if one[:2] == ("bars", "pca") and one.metric == "accuracy_linear"
    ]
    assert len(linear) == 3 and min(one.value for one in linear) > 2 * 100 / len(
        BARS
    )  # classes can be told apart


def test_a_probe_of_two_places_is_measured_for_every_method(extended: Path) -> None:
    accuracies = [one.value for one in numbers(extended) if one.metric == "accuracy_mean"]
    # on codes, and on the raw pixels and gradient histograms of each data set
    assert len(accuracies) == 2 * (4 + 2) * 3 and all(0 <= accuracy <= 100 for accuracy in accuracies)


def test_every_figure_lays_itself_out_for_the_methods_and_data_sets_of_the_study(extended: Path) -> None:
    study = config.read(extended / "study.yaml")
    record.write_json(extended / "results/bench/cpu.json", benchmark())
    for target in figures.figure_targets(study):
        script = importlib.import_module(f"latents.report.figures.{target.script}")
        out = extended / f"figures/{target.name}.pdf"
        chosen = ("--dataset", target.dataset) if target.dataset else ()
        call(script, *inputs(extended), *chosen, "--note", "", "--out", out)
        assert out.read_bytes().startswith(b"%PDF") and out.with_suffix(".png").stat().st_size > 5000
    drawn = list((extended / "figures").glob("*.pdf"))
    assert len(drawn) == 8 + 2 * 5  # the study has no sweeps and no prior


def test_the_tables_have_a_line_for_the_method_and_columns_for_the_probe_and_the_data_set(
    extended: Path,
) -> None:
    out = extended / "tables"
    call(tables, "--config", extended / "study.yaml", "--results", extended / "results", "--out", out)
    accuracy = (out / "table_accuracy.tex").read_text()
    assert "Masked" in accuracy and "{mean}" in accuracy and "Bars stand-in" in accuracy
    assert "SimCLR" not in accuracy and "Contrastive" not in accuracy
    macros = (out / "macros.tex").read_text()
    assert r"\def\allmethods{pca,random,guided,masked}" in macros


def numbers(folder: Path) -> list[Value]:
    return read_runs(folder / "results/runs.csv")
