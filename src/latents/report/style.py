"""How every figure looks: as wide as the paper's text, so that none is scaled; one palette, one way to save.

The table of methods gives each method a colour of Okabe and Ito, told apart by colour-blind readers, and
a marker and a hatch, so that figures work in grey too. Settings and fonts are those that come with
matplotlib, never a user's.
"""

import inspect
import io
import os
import string
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from latents import cli, config, record
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.methods import METHODS
from latents.report.summarize import Estimate
from latents.study import Study

WIDTH = 6.3  # inches: the paper's text block
FOOTER = 0.14  # inches
PNG_DPI = 300
LARGEST_PNG = 600_000  # bytes in full colour

STYLE = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlepad": 3,
    "axes.labelpad": 2,
    "axes.grid": True,
    "grid.color": "0.88",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "lines.linewidth": 1.1,
    "lines.markersize": 4,
    "hatch.linewidth": 0.6,
    "image.interpolation": "none",
    "figure.dpi": PNG_DPI,
    "savefig.dpi": PNG_DPI,
    "pdf.fonttype": 42,
    "pdf.compression": 9,
}
LABELS_USED = "†"  # after the name of a method that sees labels in training
# ten classes: Tol's 'muted' set and black, ordered so that neighbours differ in lightness too
CLASS_COLORS = (
    *("#332288", "#ddcc77", "#117733", "#88ccee", "#882255"),
    *("#44aa99", "#cc6677", "#999933", "#aa4499", "#000000"),
)


@contextmanager
def context() -> Iterator[None]:
    """The settings and fonts of every figure, while it is drawn and saved: matplotlib's own, then STYLE."""
    own = {key: value for key, value in matplotlib.rcParamsDefault.items() if key != "backend"}
    fonts = sorted(Path(matplotlib.get_data_path(), "fonts/ttf").glob("*.ttf"))
    manager = font_manager.fontManager
    before, manager.ttflist = manager.ttflist, []
    try:
        for font in fonts:  # a list kept from another day may name a user's font for one of these
            manager.addfont(font)
        with matplotlib.rc_context(own | STYLE):
            yield
    finally:
        manager.ttflist = before


def name(method: str) -> str:
    """A method's name as it is printed; the dagger marks the use of labels in training."""
    return METHODS[method].label + (LABELS_USED if METHODS[method].sees_labels else "")


def dataset_name(study: Study, dataset: str) -> str:
    """A data set's name as it is printed; a stand-in is never called by the name of the real data."""
    spec = DATASETS[dataset]
    return spec.label if study.source == "download" else spec.stand_in.label


def class_names(study: Study, dataset: str) -> list[str]:
    """The classes as printed in legends, each with the number of its label."""
    spec = DATASETS[dataset]
    classes = spec.classes if study.source == "download" else spec.stand_in.classes
    return [text if text.split()[-1] == str(k) else f"{k} {text}" for k, text in enumerate(classes)]


def class_colors(n: int) -> list[str]:
    """Colours of n classes; they repeat after the tenth."""
    return [CLASS_COLORS[k % len(CLASS_COLORS)] for k in range(n)]


def figure(height: float) -> Figure:
    """An empty figure of the paper's width; height in inches, without the footer."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def height(frame: float, each: float, methods: Sequence[str]) -> float:
    """Inches of a figure with the methods below one another: frame and each of them; at least four fit."""
    return round(frame + each * max(4, len(methods)), 2)


def list_methods(axes: Axes, methods: Iterable[str]) -> None:
    """A vertical axis with the methods from top to bottom, the k-th at height k."""
    names = [name(method) for method in methods]
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)


def letter(panels: Iterable[Axes]) -> None:
    """Put (a), (b) and so on before the title of each panel, or where it has none before the label below."""
    for sign, axes in zip(string.ascii_lowercase, panels, strict=False):
        if title := axes.get_title():
            axes.set_title(f"({sign}) {title}")
        else:
            axes.set_xlabel(f"({sign}) {axes.get_xlabel()}")


def spans(estimates: Iterable[Estimate]) -> np.ndarray:
    """[2, n] distances from the mean to the interval's ends, for errorbar; NaN (not drawn) without one."""
    ends = [(np.nan, np.nan) if e.low is None else (e.mean - e.low, e.high - e.mean) for e in estimates]
    return np.array(ends).reshape(-1, 2).T


def compressed(png: io.BytesIO) -> bytes:
    """A picture as a small PNG: in full colour, or in 256 colours where it would be larger than LARGEST_PNG.

    That happens to thousands of points in a few colours, not to photographs, which fewer colours would spoil.
    """
    image = Image.open(png).convert("RGB")
    fewer = image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    for one in (image, fewer):
        small = io.BytesIO()
        one.save(small, format="png", optimize=True, dpi=(PNG_DPI, PNG_DPI))
        if small.tell() <= LARGEST_PNG:
            break
    return small.getvalue()


def save(figure: Figure, out: Path, note: str) -> None:
    """Write NAME.pdf and NAME.png, the note as a footer. The same figure gives the same bytes."""
    if note:
        # the page grows by a line, which the drawing leaves free
        height = figure.get_figheight() + FOOTER
        figure.set_figheight(height)
        figure.get_layout_engine().set(rect=(0, FOOTER / height, 1, 1 - FOOTER / height))
        look = {"ha": "center", "va": "bottom", "fontsize": 8, "color": "0.25", "parse_math": False}
        figure.text(0.5, 0.02 / height, note, **look)
    figure.draw_without_rendering()  # the layout settles at its second pass: the first would cut titles off
    pdf, png = io.BytesIO(), io.BytesIO()
    figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})
    figure.savefig(png, format="png", dpi=PNG_DPI)
    record.write_bytes(out.with_suffix(".png"), compressed(png))
    record.write_bytes(out, pdf.getvalue())


def script(draw: Callable[..., Figure]) -> Callable[[], None]:
    """The entry point of a figure's script: draw(study, results) or draw(study, results, dataset)."""

    @cli.command
    def main() -> None:
        per_dataset = "dataset" in inspect.signature(draw).parameters
        names = ["config", *(["dataset"] if per_dataset else [])]
        parser = cli.parser(inspect.getmodule(draw).__doc__, *names, paths=("results", "out"))
        parser.add_argument("--note", default="", help="printed below the figure")
        options = parser.parse_args()
        if options.out.suffix != ".pdf":
            raise Problem(f"--out {options.out}: name a .pdf file; the .png is written beside it")
        os.environ.pop("SOURCE_DATE_EPOCH", None)  # read by matplotlib though no date is written
        study = config.read(options.config)
        if per_dataset:
            study.dataset(options.dataset)  # refuses an unknown one
        with context():
            drawn = draw(study, options.results, *([options.dataset] if per_dataset else []))
            save(drawn, options.out, options.note)

    return main
