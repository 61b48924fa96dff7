"""The figures: their look, their inputs and their bytes, from a complete folder of made-up results."""

import copy
import importlib
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import pytest
import yaml
from made_up import NOTE, call, inputs, plain_study
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image

from latents import config, record
from latents.methods import METHODS
from latents.metrics import YARDSTICKS
from latents.report import scales, style
from latents.report.figures import (
    FIGURES,
    figure_inputs,
    figure_patterns,
    figure_targets,
    interpolations,
    reconstructions,
    tradeoff,
)
from latents.report.figures import tsne as tsne_figure
from latents.report.labels import PICTURE, Label, place_labels
from latents.report.summarize import Estimate

DATASET = {  # script: the data set that it is tested on, where it takes one
    "reconstructions": "mnist",
    "tsne": "cifar10",
    "interpolations": "cifar10",
    "neighbours": "cifar10",
    "curves": "mnist",
    "samples": "mnist",
}


def text_of(pdf: bytes) -> str:
    """The strings that a figure's PDF shows, without their kerning."""
    streams = re.findall(rb"stream\n(.*?)\nendstream", pdf, re.DOTALL)
    parts = [zlib.decompress(part) for part in streams if part[:1] == b"x"]
    shown = re.findall(rb"\(((?:[^()\\]|\\.)*)\)", b"".join(part for part in parts if b" Tf" in part))
    return b"".join(shown).replace(b"\0", b"").decode("latin-1")  # characters of two bytes


class Drawn(NamedTuple):
    pdf: bytes
    png: bytes
    extents: tuple[float, float, float, float]  # of all that the PDF shows: left, bottom, right, top; inches
    size: tuple[float, float]


def script_of(name: str) -> tuple:
    """A figure's module, and the option that names its data set."""
    which = ("--dataset", DATASET[name]) if name in DATASET else ()
    return importlib.import_module(f"latents.report.figures.{name}"), which


def draw(whole: Path, folder: Path, name: str) -> tuple[bytes, bytes]:
    """The PDF and the PNG of a figure."""
    script, which = script_of(name)
    out = folder / f"{name}.pdf"
    call(script, *inputs(whole), *which, "--note", NOTE, "--out", out)
    return out.read_bytes(), out.with_suffix(".png").read_bytes()


def inputs_of(name: str, folder: Path) -> list[str]:
    """The files of the table of figures that a figure reads, relative to results/."""
    patterns = figure_inputs(config.read(folder / "study.yaml"), name, DATASET.get(name))
    results = folder / "results"
    return [path.relative_to(results).as_posix() for one in patterns for path in results.glob(one)]


def with_inputs_alone(whole: Path, folder: Path, name: str) -> Path:
    """The folder, with the study and the files that a figure reads."""
    for one in ("study.yaml", *(f"results/{one}" for one in inputs_of(name, whole))):
        (folder / one).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(whole / one, folder / one)
    return folder


def watched(whole: Path, folder: Path, name: str, height: float | None = None) -> Drawn:
    """The same, and what of it lies where; at another height where one is given."""
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
def figure(
    request: pytest.FixtureRequest, whole: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Drawn]:
    """A figure's name, and the figure."""
    return request.param, watched(whole, tmp_path_factory.mktemp("figure"), request.param)


def test_the_table_of_figures_has_every_script_and_marks_those_of_one_data_set() -> None:
    folder = record.ROOT / "src/latents/report/figures"
    assert FIGURES.keys() == {path.stem for path in folder.glob("[a-z]*.py")}
    assert {name for name, spec in FIGURES.items() if spec.per_dataset} == DATASET.keys()


def test_a_figure_carries_the_note_and_embeds_its_fonts_and_no_date(figure: tuple[str, Drawn]) -> None:
    drawn = figure[1]
    assert NOTE in text_of(drawn.pdf)
    assert b"/FontFile2" in drawn.pdf  # TrueType, embedded
    assert b"/Type3" not in drawn.pdf
    assert b"CreationDate" not in drawn.pdf
    assert len(drawn.png) < 600_000


def fits(drawn: Drawn) -> bool:
    (left, bottom, right, top), (width, upper) = drawn.extents, drawn.size
    return width == style.WIDTH and min(left, bottom, width - right, upper - top) > -0.005


def test_a_figure_is_as_wide_as_the_text_and_nothing_of_it_is_cut_off_in_the_pdf(
    figure: tuple[str, Drawn],
) -> None:
    assert fits(figure[1])


def test_nothing_is_cut_off_where_the_first_pass_of_the_layout_would(whole: Path, tmp_path: Path) -> None:
    assert fits(watched(whole, tmp_path, "similarity", height=3.15))


# a user's settings: of colours, sizes and TeX; the backend is one that is not there
MATPLOTLIBRC = "axes.facecolor: black\ntext.usetex: true\nlines.linewidth: 9\nfont.size: 30\n"
ELSEWHERE = """
import json, sys
from pathlib import Path
import matplotlib
from test_figures import FIGURES, draw, with_inputs_alone

assert matplotlib.rcParams["axes.facecolor"] == "black" and matplotlib.rcParams["text.usetex"]
whole, folder = map(Path, sys.argv[1:])
opened = {}
sys.addaudithook(lambda event, arguments: event == "open" and opened.setdefault(str(arguments[0])))
for name in FIGURES:
    alone = with_inputs_alone(whole, folder / "inputs" / name, name)
    opened.clear()
    draw(alone, folder, name)
    (folder / f"{name}.json").write_text(json.dumps([*opened]))
"""


def python(program: str, *arguments: object, **variables: str) -> None:
    """Run a program in a Python of its own, which finds the modules that this one finds."""
    variables["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def elsewhere(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All figures, each from its inputs alone, and the files that it opened.

    They are drawn under a user's own matplotlibrc and backend.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "matplotlibrc").write_text(MATPLOTLIBRC)
    variables = {"MATPLOTLIBRC": str(folder / "matplotlibrc"), "MPLBACKEND": "module://nonsense"}
    python(ELSEWHERE, whole, folder, **variables)
    return folder


def test_a_figure_is_the_same_from_its_inputs_alone_whatever_the_users_matplotlibrc_and_backend_are(
    elsewhere: Path, figure: tuple[str, Drawn]
) -> None:
    name, drawn = figure
    assert (elsewhere / f"{name}.pdf").read_bytes() == drawn.pdf
    assert (elsewhere / f"{name}.png").read_bytes() == drawn.png


def another_font(folder: Path) -> None:
    """A folder of matplotlib's in which its list of fonts names a user's font as the figures' own family."""
    font = folder / "mine.ttf"
    shutil.copy(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSansMono.ttf"), font)
    fonts = copy.copy(font_manager.fontManager)
    fonts.ttflist = [
        replace(one, fname=str(font)) if one.name == style.STYLE["font.family"] else one
        for one in fonts.ttflist
    ]
    font_manager.json_dump(fonts, folder / f"fontlist-v{fonts.__version__}.json")


SURROUNDINGS = {  # a user's settings, in words: environment variables; {} is a folder
    "a matplotlibrc that is not text, and a notebook's backend that is not there": {
        "MATPLOTLIBRC": "{}/binary",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    },
    "a matplotlibrc with other settings, and another font under the same name": {
        "MATPLOTLIBRC": "{}/settings",
        "MPLCONFIGDIR": "{}/fonts",
    },
    "a matplotlibrc that is broken, and a style that is not text": {
        "MATPLOTLIBRC": "{}/broken",
        "MPLCONFIGDIR": "{}/styles",
    },
    "a matplotlibrc in the home folder, and a backend that nobody knows": {
        "HOME": "{}",
        "XDG_CONFIG_HOME": "",
        "MPLBACKEND": "nonsense",
    },
    "no folder that can be written, and a date that is none": {
        "HOME": "/dev/null/home",
        "MPLCONFIGDIR": "",
        "XDG_CACHE_HOME": "",
        "SOURCE_DATE_EPOCH": "nonsense",
    },
    "a locale that is not there, and another time zone": {
        "LC_ALL": "xx_YY",
        "LANG": "xx_YY",
        "TZ": "Asia/Kathmandu",
        "MATPLOTLIBRC": "{}/locale",
    },
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of these settings."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "binary").write_bytes(b"axes.facecolor: \xff\xfe\n")
    (folder / "settings").write_text(MATPLOTLIBRC)
    (folder / "broken").write_text("axes.facecolor black\ntext.usetex: perhaps\nnonsense: 3\n")
    (folder / "locale").write_text("axes.formatter.use_locale: true\n")
    for name in ("fonts", "styles/stylelib", ".config/matplotlib"):
        (folder / name).mkdir(parents=True)
    (folder / "styles/stylelib/mine.mplstyle").write_bytes(b"\xff\xfe\n")
    shutil.copy(folder / "binary", folder / ".config/matplotlib/matplotlibrc")
    another_font(folder / "fonts")
    return folder


@pytest.mark.parametrize("words", SURROUNDINGS)
def test_a_figure_drawn_by_hand_depends_on_no_setting_of_the_user(
    whole: Path, tmp_path: Path, settings: Path, elsewhere: Path, words: str
) -> None:
    changes = {name: value.format(settings) for name, value in SURROUNDINGS[words].items()}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MPL")}
    plain.pop("MATPLOTLIBRC", None)
    variables = {name: value for name, value in (plain | changes).items() if value}
    out = tmp_path / "by hand/accuracy.pdf"
    program = [sys.executable, "-m", "latents.report.figures.accuracy", *map(str, inputs(whole))]
    done = subprocess.run(
        [*program, "--note", NOTE, "--out", out],
        env=variables | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for kind in (".pdf", ".png"):
        assert out.with_suffix(kind).read_bytes() == (elsewhere / f"accuracy{kind}").read_bytes()


def test_the_other_commands_of_the_report_take_a_backend_that_is_not_there_too(
    whole: Path, tmp_path: Path
) -> None:
    options = ["--bench", whole / "results/bench/cpu.json", "--out", tmp_path]
    program = [sys.executable, "-m", "latents.report.speed", *options]
    variables = {"MPLBACKEND": "nonsense", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(program, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


IMPORTING = """
import importlib, sys
import matplotlib

before = dict.copy(matplotlib.rcParams)
for name in sys.argv[1:]:
    importlib.import_module(f"latents.report.{name}")
assert dict.copy(matplotlib.rcParams) == before
"""


def test_importing_the_style_and_the_figures_changes_no_setting_of_matplotlib() -> None:
    python(IMPORTING, "style", *(f"figures.{name}" for name in FIGURES))


def test_drawing_a_figure_leaves_the_settings_of_matplotlib_as_they_were(whole: Path, tmp_path: Path) -> None:
    before = dict.copy(matplotlib.rcParams)
    draw(whole, tmp_path, "few_labels")
    assert dict.copy(matplotlib.rcParams) == before


def test_a_figure_opens_the_files_of_the_table_of_figures_and_no_others(
    whole: Path, elsewhere: Path, figure: tuple[str, Drawn]
) -> None:
    name = figure[0]
    results = elsewhere / "inputs" / name / "results"
    opened = [Path(one) for one in json.loads((elsewhere / f"{name}.json").read_text())]
    read = [one.relative_to(results).as_posix() for one in opened if one.is_relative_to(results)]
    named = inputs_of(name, whole)
    assert named and sorted(read) == sorted(named)


def test_the_trade_off_names_every_method_and_the_yardsticks_that_were_measured(
    whole: Path, tmp_path: Path
) -> None:
    spoilt = with_inputs_alone(whole, tmp_path, "tradeoff")

    def words() -> str:
        return text_of(draw(spoilt, spoilt, "tradeoff")[0])

    before = words()
    study = config.read(spoilt / "study.yaml")
    assert all(before.count(METHODS[method].label) >= len(study.datasets) for method in study.methods)
    assert "gradient weight 5" in before and "96 contrastive" in before and "L1 weight 400" in before
    assert before.count("1 % of labels") == 2
    assert all(before.count(look.short) >= 2 for look in YARDSTICKS.values())
    summary = spoilt / "results/summary.csv"
    colour = r"(?m)^(cifar10,yardsticks\.mean-colour,mae,test,)[^,]+"
    summary.write_text(re.sub(colour, r"\g<1>0.3", summary.read_text()))
    assert words().count("mean colour") == 1  # what the median image beats is no scale
    lines = summary.read_text().splitlines(keepends=True)
    summary.write_text("".join(line for line in lines if not line.startswith("cifar10,yardsticks.")))
    assert words().count("class median") == 1


def test_names_of_yardsticks_near_one_another_are_moved_apart() -> None:
    with style.context():
        figure = style.figure(3)
        axes = figure.subplots()
        errors = {name: 0.1 + place * 1e-4 for place, name in enumerate(YARDSTICKS) if name != "median-image"}
        found = {
            ("mnist", f"yardsticks.{name}", "mae", "test"): Estimate(value, None, None, 1, "")
            for name, value in (errors | {"median-image": 0.2}).items()
        }
        names = scales.mark_yardsticks(axes, found, "mnist")
        scales.spread(figure, [names])
        lines = [axes.transData.transform((name.xy[0], 1))[0] / figure.dpi * 72 for name in names]
    places = sorted(line + name.get_position()[0] for line, name in zip(lines, names, strict=True))
    assert len(names) > 3 and min(np.diff(places)) > scales.GAP - 0.01


def test_labels_of_the_trade_off_cover_neither_one_another_nor_other_points() -> None:
    with style.context():
        figure = style.figure(3)
        axes = figure.subplots()
        places = [(0.1, 90.0), (0.101, 90.05), (0.104, 90.0), (0.1, 89.9), (0.15, 95.0), (0.05, 50.0)]
        axes.plot(*zip(*places, strict=True), "o")
        tradeoff.scale(axes)
        figure.draw_without_rendering()
        place_labels(axes, [Label(*place, "a method", 8) for place in places])
        boxes = [note.get_window_extent() for note in axes.texts]
        points = axes.transData.transform(places)
    assert not any(box.count_contains(points) for box in boxes)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    nearest = [place.clip(box.min, box.max) for box, place in zip(boxes, points, strict=True)]
    distances = [np.hypot(*gap) for gap in points - np.array(nearest)]
    assert max(distances) < 30 / 72 * figure.dpi


def test_a_picture_stands_above_the_words_of_its_label_and_covers_no_point() -> None:
    with style.context():
        figure = style.figure(3)
        axes = figure.subplots()
        places = [(0.1, 90.0), (0.12, 90.0), (0.15, 95.0), (0.05, 50.0)]
        axes.plot(*zip(*places, strict=True), "o")
        tradeoff.scale(axes)
        figure.draw_without_rendering()
        image = np.zeros((28, 28, 1), np.uint8)
        place_labels(axes, [Label(*place, "a method", 8, picture=image) for place in places])
        words, pictures = ([one.get_window_extent() for one in some] for some in (axes.texts, axes.artists))
        points = axes.transData.transform(places)
    for text, picture in zip(words, pictures, strict=True):
        assert picture.height == pytest.approx(picture.width) == pytest.approx(PICTURE / 72 * figure.dpi)
        assert picture.y0 > text.y0 + text.height / 2
        assert (picture.x0 + picture.x1) / 2 == pytest.approx((text.x0 + text.x1) / 2, abs=2)
    assert not any(box.count_contains(points) for box in [*words, *pictures])
    assert not any(one.overlaps(other) for one, other in itertools.combinations(pictures, 2))


def test_the_inputs_of_a_figure_are_those_of_all_its_data_sets_and_match_the_printed_patterns(
    whole: Path,
) -> None:
    study = config.read(whole / "study.yaml")
    assert figure_inputs(study, "accuracy") == ["summary.csv"]
    assert figure_inputs(study, "similarity") == ["similarity/mnist.csv", "similarity/cifar10.csv"]
    assert figure_inputs(study, "reconstructions", "mnist")[0] == "pictures/mnist/pca/seed1.npz"
    curves = figure_inputs(study, "curves", "mnist")
    assert curves == [
        f"curves/mnist/{method}/seed{k}.csv" for method in study.trained_methods for k in (1, 2, 3)
    ]
    for name, script, dataset in figure_targets(study):
        read, patterns = figure_inputs(study, script, dataset), figure_patterns(script, dataset)
        assert all(any(Path(one).match(pattern) for pattern in patterns) for one in read), name
        assert all(any(Path(one).match(pattern) for one in read) for pattern in patterns), name
    targets = [name for name, _, _ in figure_targets(study)]
    assert len(targets) == len(set(targets)) == 10 + 2 * 6
    assert {"accuracy", "tsne_mnist", "tsne_cifar10"} <= {*targets}


def without_sweeps(plain: dict) -> None:
    for dataset in plain["datasets"].values():
        dataset["sweeps"] = {}


def with_labels_alone(plain: dict) -> None:
    for dataset in plain["datasets"].values():
        sweeps = dataset["sweeps"]["guided"]
        dataset["sweeps"] = {"guided": {"labels": sweeps["labels"]}}


def without_shares(plain: dict) -> None:
    plain["measurement"]["label-shares"] = []


def without_training(plain: dict) -> None:
    without_sweeps(plain)
    for dataset in plain["datasets"].values():
        dataset["methods"] = {"pca": {}, "random": {}}


def without_neighbours(plain: dict) -> None:
    del plain["measurement"]["neighbours"]


def without_bits(plain: dict) -> None:
    del plain["measurement"]["bits"]


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (without_sweeps, {"sweeps", "budget"}),
        (without_bits, {"bits"}),
        (without_neighbours, {"neighbours_mnist", "neighbours_cifar10"}),
        (with_labels_alone, {"sweeps", "budget"}),
        (without_shares, {"few_labels"}),
        (
            without_training,
            {"sweeps", "budget"}
            | {f"{name}_{d}" for name in ("curves", "samples") for d in ("mnist", "cifar10")},
        ),
    ],
)
def test_a_study_does_not_have_the_figures_of_what_it_does_not_have(
    change: Callable[[dict], None], missing: set[str]
) -> None:
    plain = plain_study()
    all_of_them = {target.name for target in figure_targets(config.from_plain("study", plain))}
    change(plain)
    assert {target.name for target in figure_targets(config.from_plain("study", plain))} == (
        all_of_them - missing
    )


@pytest.mark.parametrize(
    ("name", "shown"), [("sweeps", "sweeps 'ablation' and 'trade'"), ("budget", "sweep 'budget'")]
)
def test_a_figure_of_sweeps_is_refused_for_a_study_without_them(
    whole: Path, tmp_path: Path, name: str, shown: str
) -> None:
    spoilt, plain = with_inputs_alone(whole, tmp_path, name), plain_study()
    without_sweeps(plain)
    (spoilt / "study.yaml").write_text(yaml.safe_dump(plain))
    script, _ = script_of(name)
    with pytest.raises(SystemExit, match=f"^error: study: this figure shows the {shown}"):
        call(script, *inputs(spoilt), "--out", spoilt / "x.pdf")


def test_a_missing_input_of_a_figure_is_named(whole: Path, tmp_path: Path) -> None:
    spoilt, missing = with_inputs_alone(whole, tmp_path, "reconstructions"), "yardsticks/mnist.json"
    (spoilt / "results" / missing).unlink()
    script, which = script_of("reconstructions")
    with pytest.raises(SystemExit, match=re.escape(f"{missing}: missing")):
        call(script, *inputs(spoilt), *which, "--out", spoilt / "x.pdf")
    assert not (spoilt / "x.pdf").exists()


def replaced(old: bytes, new: bytes, count: int = -1) -> Callable[[bytes], bytes]:
    return lambda content: content.replace(old, new, count)


def and_then(more: bytes) -> Callable[[bytes], bytes]:
    return lambda content: content + more


def with_mean(value: bytes) -> Callable[[bytes], bytes]:
    """Another mean in the first line of a summary."""
    return lambda content: re.sub(rb"(\n(?:[^,\n]+,){4})[^,]+", rb"\g<1>" + value, content, count=1)


def header(content: bytes) -> bytes:
    return content.splitlines(keepends=True)[0]


@pytest.mark.parametrize(
    ("name", "broken", "damage", "message"),
    [
        ("few_labels", "summary.csv", replaced(b",percent", b",percent,1", 1), "line 2 is broken"),
        (
            "separability",
            "summary.csv",
            replaced(b"silhouette", b"silhouettes"),
            r"summary\.csv: silhouette of mnist/pca on test is not in it",
        ),
        ("similarity", "similarity/mnist.csv", replaced(b"0.", b"zero.", 1), "line 2 is broken"),
        ("tsne", "tsne/cifar10/pca.csv", and_then(b"9,9\n"), "line .* is broken"),
        ("tsne", "tsne/cifar10/pca.csv", header, r"pca\.csv: not the file that its record describes"),
        ("curves", "curves/mnist/guided/seed1.csv", and_then(b"13,9\n"), "line 14 is broken"),
        ("curves", "curves/mnist/guided/seed1.csv", header, r"seed1\.csv: holds no loss"),
        (
            "interpolations",
            "pictures/cifar10/pca/seed1.npz",
            lambda content: content[:2000] + b"x" + content[2001:],
            "cannot be read",
        ),
        ("accuracy", "summary.csv", with_mean(b"nan"), "line 2 is broken"),
        ("separability", "summary.csv", with_mean(b"1e999"), "line 2 is broken"),
    ],
)
def test_a_damaged_input_of_a_figure_is_named_and_nothing_is_written(
    whole: Path, tmp_path: Path, name: str, broken: str, damage: Callable[[bytes], bytes], message: str
) -> None:
    spoilt = with_inputs_alone(whole, tmp_path, name)
    path = spoilt / "results" / broken
    path.write_bytes(damage(path.read_bytes()))
    script, which = script_of(name)
    with pytest.raises(SystemExit, match=message):
        call(script, *inputs(spoilt), *which, "--out", spoilt / "x.pdf")
    assert not (spoilt / "x.pdf").exists()


def test_pictures_of_other_test_images_are_refused(whole: Path, tmp_path: Path) -> None:
    spoilt = with_inputs_alone(whole, tmp_path, "reconstructions")
    path = spoilt / "results/pictures/mnist/supcon/seed1.npz"
    arrays = dict(np.load(path))
    np.savez(path, **arrays | {"originals": arrays["originals"][::-1]})
    script, which = script_of("reconstructions")
    with pytest.raises(SystemExit, match=r"supcon/seed1.npz: shows other test images than"):
        call(script, *inputs(spoilt), *which, "--out", spoilt / "x.pdf")


@pytest.mark.parametrize(
    ("script", "name", "array", "message"),
    [
        ("reconstructions", "reconstructions", None, "holds no array 'reconstructions'"),
        ("reconstructions", "originals", None, "holds no array 'originals'"),
        ("interpolations", "path_codes", None, "holds no array 'path_codes'"),
        (
            "reconstructions",
            "reconstructions",
            np.zeros((2, 28, 28, 1), np.uint8),
            "are no pictures of mnist",
        ),
        ("interpolations", "path_pixels", np.zeros((4, 10, 9, 9, 3), np.uint8), "are no pictures of cifar10"),
    ],
)
def test_pictures_that_lack_an_array_or_have_one_of_another_shape_are_named(
    whole: Path, tmp_path: Path, script: str, name: str, array: np.ndarray | None, message: str
) -> None:
    spoilt = with_inputs_alone(whole, tmp_path, script)
    path = spoilt / f"results/pictures/{DATASET[script]}/guided/seed1.npz"
    arrays = {key: value for key, value in np.load(path).items() if key != name}
    np.savez(path, **arrays | ({} if array is None else {name: array}))
    module, which = script_of(script)
    with pytest.raises(SystemExit, match=rf"guided/seed1\.npz: .*{message}"):
        call(module, *inputs(spoilt), *which, "--out", spoilt / "x.pdf")
    assert not (spoilt / "x.pdf").exists()


def test_reconstructions_show_the_first_image_of_each_class_and_errors_from_white_to_black(
    whole: Path,
) -> None:
    study = config.read(whole / "study.yaml")  # made up: the classes 0 to 9, then 0 and 1 again
    assert reconstructions.chosen(study, whole / "results", "mnist").tolist() == [*range(10)]
    median = reconstructions.median_image(whole / "results", "mnist")
    assert np.array_equal(median, np.full((28, 28, 1), 100))
    black, grey = np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 51, np.uint8)
    assert np.array_equal(reconstructions.error_map(grey, black), np.full((1, 2, 2, 1), 153))  # 0.2 of 0.5
    assert not reconstructions.error_map(grey + 204, black).any()


def test_the_median_image_is_the_last_row_of_reconstructions_where_the_yardsticks_have_it(
    whole: Path, tmp_path: Path
) -> None:
    spoilt = with_inputs_alone(whole, tmp_path, "reconstructions")
    path = spoilt / "results/yardsticks/mnist.json"
    before = draw(spoilt, spoilt, "reconstructions")
    assert "Median image" in text_of(before[0])
    made = record.read_json(path)
    del made["median_image"]
    record.write_json(path, made)
    assert "Median image" not in text_of(draw(spoilt, spoilt, "reconstructions")[0])


def test_interpolations_show_an_arc_beside_the_line_and_of_runs_without_arcs_the_lines_of_two_pairs() -> None:
    kept = {name: np.full((4, 3), place) for place, name in enumerate(("path_pixels", "path_codes"))}
    arcs = {"path_arcs": np.full((1, 3), 7)}
    both = interpolations.columns([kept | arcs, kept | arcs])
    assert [title for title, _ in both] == ["straight line", "arc about the mean code"]
    assert [[strip[0] for strip in strips] for _, strips in both] == [[0, 1, 1], [0, 7, 7]]
    for older in ([kept, kept], [kept | arcs, kept]):
        assert [(title, len(strips)) for title, strips in interpolations.columns(older)] == 2 * [("", 3)]


def test_fine_tuning_is_a_line_of_its_own_named_by_its_share_and_absent_where_it_was_not_run(
    whole: Path, tmp_path: Path
) -> None:
    spoilt, plain = with_inputs_alone(whole, tmp_path, "few_labels"), plain_study()
    assert text_of(draw(spoilt, spoilt, "few_labels")[0]).count("Fine-tuned") == 1
    for dataset in plain["datasets"].values():
        del dataset["sweeps"]["guided"]["finetuned"]
    (spoilt / "study.yaml").write_text(yaml.safe_dump(plain))
    assert "Fine-tuned" not in text_of(draw(spoilt, spoilt, "few_labels")[0])
    plain = plain_study()
    plain["datasets"]["mnist"]["sweeps"]["guided"]["finetuned"]["variants"]["1pct"]["labels"] = 0.02
    (spoilt / "study.yaml").write_text(yaml.safe_dump(plain))
    with pytest.raises(SystemExit, match=r"/guided\.finetuned\.1pct: sees a share of 0\.02 of the labels"):
        draw(spoilt, spoilt, "few_labels")


def test_a_png_has_its_colours_and_300_dots_an_inch(figure: tuple[str, Drawn]) -> None:
    image = Image.open(io.BytesIO(figure[1].png))
    # points, and pictures of noise, would make a large file
    assert image.mode == ("P" if figure[0] in ("tsne", "neighbours") else "RGB")
    assert round(image.info["dpi"][0]) == 300


def test_a_png_that_would_be_large_has_fewer_colours_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 90, 3), dtype=np.uint8))
    png = io.BytesIO()
    noise.save(png, format="png")
    whole, limit = style.compressed(png), 20_000
    monkeypatch.setattr(style, "LARGEST_PNG", limit)
    fewer = style.compressed(png)
    assert np.array_equal(Image.open(io.BytesIO(whole)), noise) and len(fewer) < limit < len(whole)


def test_class_numbers_are_moved_apart_and_no_further() -> None:
    places = np.array([[0.0, 0.0], [0.3, 0.0], [0.3, 0.2], [9.0, 9.0]])
    moved = tsne_figure.apart(places, 1.0)
    between = np.linalg.norm(moved[:, None] - moved, axis=2)[np.triu_indices(4, 1)]
    assert between.min() > 0.95 and np.array_equal(moved[3], places[3])
    assert np.array_equal(tsne_figure.apart(moved[[0, 3]], 1.0), moved[[0, 3]])
