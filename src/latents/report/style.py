"""The one look of every figure: the width of the text block, so that no figure is scaled; one palette, one way to save.

Colours are those of Okabe and Ito, told apart by colour-blind readers; each row has a marker and a hatch of its own
beside its colour, so that a figure reads in grey too. The fonts come with matplotlib.
"""

import argparse
import inspect
import io
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from latents import config, record
from latents.config import Problem, Study
from latents.report.summarize import Estimate

WIDTH = 6.3  # inches: the paper's text block
LABELS = 0.8  # inches left of a sheet of images, for the names of its rows
FOOTER = 0.14  # inches
PNG_DPI = 150

matplotlib.rcParams.update({
    "font.family": "STIXGeneral", "mathtext.fontset": "stix", "font.size": 8.5, "axes.titlesize": 8.5, "axes.labelsize": 8.5,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8, "legend.frameon": False, "figure.dpi": PNG_DPI,
    "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.major.size": 2.5, "ytick.major.size": 2.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
    "grid.color": "0.88", "grid.linewidth": 0.5, "lines.linewidth": 1.1, "lines.markersize": 4, "hatch.linewidth": 0.6,
    "axes.titlepad": 3, "axes.labelpad": 2, "xtick.major.pad": 2, "ytick.major.pad": 2, "pdf.fonttype": 42, "pdf.compression": 9, "savefig.dpi": 300, "image.interpolation": "none",
})  # fmt: skip


class Look(NamedTuple):
    """How a row is named and drawn."""

    name: str
    color: str
    marker: str
    hatch: str


ROWS = {
    "pca": Look("PCA", "#7f7f7f", "s", "...."),
    "random": Look("Random", "#000000", "X", "xxxx"),
    "autoencoder": Look("Autoencoder", "#56b4e9", "v", "////"),
    "autoencoder-plus": Look("Autoencoder+", "#0072b2", "^", "\\\\\\\\"),
    "guided": Look("Guided", "#d55e00", "D", "----"),
    "contrastive": Look("Contrastive", "#009e73", "o", "||||"),
    "supcon": Look("SupCon", "#cc79a7", "P", "oo"),
}
PUBLISHED = {"mnist": "MNIST", "cifar10": "CIFAR-10"}  # as their authors call them
LABELS_USED = "†"  # after the name of a row that is trained with labels
# ten classes: Tol's 'muted' set and black, ordered so that neighbours differ in lightness too
CLASSES = ("#332288", "#ddcc77", "#117733", "#88ccee", "#882255", "#44aa99", "#cc6677", "#999933", "#aa4499", "#000000")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def name(row: str) -> str:
    """A row's name as it is printed; the dagger marks the use of labels in training."""
    return ROWS[row].name + (LABELS_USED if row in config.ROWS_WITH_LABELS else "")


def dataset_name(study: Study, dataset: str) -> str:
    """A data set's name as it is printed; the demo's are never called by the name of the real ones."""
    if study.source == "download":
        return PUBLISHED[dataset]
    return {"mnist": "MNIST subset", "cifar10": "CIFAR-10 stand-in"}[dataset]


def class_names(study: Study, dataset: str) -> list[str]:
    """What the ten labels stand for."""
    if dataset == "mnist":
        return [f"digit {k}" for k in range(10)]
    names = {"cifar10": CIFAR10}[dataset]
    if study.source != "download":
        from latents.standin import NAMES as names  # here: it loads the demo's libraries
    return [f"{k} {name}" for k, name in enumerate(names)]


def figure(height: float) -> Figure:
    """An empty figure of the paper's width; height in inches, without the footer."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def spans(estimates: Iterable[Estimate]) -> np.ndarray:
    """[2, n] distances from the mean to the interval's ends, NaN where there is none (nothing is drawn): errorbar's `xerr`."""
    return np.array([(np.nan, np.nan) if e.low is None else (e.mean - e.low, e.high - e.mean) for e in estimates]).reshape(-1, 2).T


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of pictures. Raises Problem when it is missing or broken."""
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        raise Problem(f"{path}: missing; run the step that makes it (snakemake {path})") from None
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise Problem(f"{path}: cannot be read ({error}); delete it and run again, its step will be repeated") from None


def read_pictures(study: Study, results: Path, dataset: str, shared: str) -> list[dict[str, np.ndarray]]:
    """Every row's pictures, of the first seed. Raises Problem where `shared`, made of the test images alone, is not the same in all."""
    paths = [results / "pictures" / dataset / row / f"seed{study.dataset(dataset).seeds[0]}.npz" for row in ROWS]
    found = [read_npz(path) for path in paths]
    for path, pictures in zip(paths, found, strict=True):
        if not np.array_equal(pictures[shared], found[0][shared]):
            raise Problem(f"{path}: shows other test images than {paths[0]}; delete both and run again")
    return found


def sheet(rows: list[np.ndarray]) -> np.ndarray:
    """Rows of images [n, h, w, c] on one white sheet, a pixel apart, each pixel drawn as 4 x 4."""
    lines = []
    for images in rows:
        n, h, w, c = images.shape
        line = np.full((h + 1, n * (w + 1), 3), 255, np.uint8)
        for k, image in enumerate(images):
            line[:h, k * (w + 1) : k * (w + 1) + w] = image  # one channel is repeated to three
        lines.append(line[:, :-1])
    return np.concatenate(lines)[:-1].repeat(4, 0).repeat(4, 1)


def show_sheet(axes: Axes, drawing: np.ndarray, labels: list[str], *, named: bool = True) -> np.ndarray:
    """Show a sheet without a frame, its rows named on the left; returns the rows' centres in pixels."""
    axes.imshow(drawing)
    centres = (np.arange(len(labels)) + 0.5) * drawing.shape[0] / len(labels)
    axes.set_yticks(centres, labels if named else [])
    axes.tick_params(length=0)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.grid(False)
    return centres


def save(figure: Figure, out: Path, note: str) -> None:
    """Write NAME.pdf and NAME.png, the note as a footer. The same figure gives the same bytes."""
    if note:
        # the page grows by a line, which the drawing leaves free
        height = figure.get_figheight() + FOOTER
        figure.set_figheight(height)
        figure.get_layout_engine().set(rect=(0, FOOTER / height, 1, 1 - FOOTER / height))
        figure.text(0.5, 0.02 / height, note, ha="center", va="bottom", fontsize=8, color="0.25")
    figure.draw_without_rendering()  # the layout settles at its second pass: the first would cut titles off
    pdf, png = io.BytesIO(), io.BytesIO()
    figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})
    figure.savefig(png, format="png", dpi=PNG_DPI)
    # 256 colours are enough for a screen and keep the file small
    small = Image.open(png).convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    png = io.BytesIO()
    small.save(png, format="png", optimize=True, dpi=(PNG_DPI, PNG_DPI))
    record.write_bytes(out.with_suffix(".png"), png.getvalue())
    record.write_bytes(out, pdf.getvalue())


def script(draw: Callable[..., Figure]) -> Callable[[], None]:
    """The entry point of a figure's script: draw(study, results) or draw(study, results, dataset)."""

    @config.command
    def main() -> None:
        parser = argparse.ArgumentParser(description=inspect.getmodule(draw).__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--config", required=True)
        parser.add_argument("--results", type=Path, required=True)
        one = "dataset" in inspect.signature(draw).parameters
        if one:
            parser.add_argument("--dataset", required=True)
        parser.add_argument("--note", default="")
        parser.add_argument("--out", type=Path, required=True)
        arguments = parser.parse_args()
        study = config.read(arguments.config)
        if one:
            study.dataset(arguments.dataset)  # refuses an unknown one
        drawn = draw(study, arguments.results, *([arguments.dataset] if one else []))
        save(drawn, arguments.out, arguments.note)

    return main
