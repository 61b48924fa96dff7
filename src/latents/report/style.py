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
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, NullLocator
from PIL import Image

from latents import cli, config, record
from latents.cli import Problem
from latents.datasets import DATASETS
from latents.methods import METHODS
from latents.metrics import YARDSTICKS
from latents.record import again
from latents.report import summarize
from latents.report.read import read_npz
from latents.report.summarize import Estimate, Estimates
from latents.study import Run, Study

WIDTH = 6.3  # inches: the paper's text block
LABELS = 0.8  # inches left of a sheet of images, for the names of its rows
FOOTER = 0.14  # inches
PNG_DPI = 300
LARGEST_PNG = 600_000  # bytes in full colour
ROUND = (*range(0, 80, 10), 80, 85, 90, 92, 94, 96, 97, 98, 99, 99.5, 99.7, 99.9)  # ticks, in percent

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


def ticks(axis: Axis, values: Iterable[float]) -> None:
    """Of these values, those within the limits as the axis's ticks, written as they are."""
    low, high = sorted(axis.get_view_interval())
    axis.set_ticks([value for value in values if low <= value <= high])
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def accuracy_scale(axes: Axes, values: Iterable[float] = ROUND) -> None:
    """A vertical axis of percentages, logarithmic in the distance from 100 %, with ticks at round values.

    Accuracies above 99.95 %, and ends of intervals beyond, are drawn there.
    """
    axes.set_yscale(
        "function", functions=(lambda y: -np.log10(np.maximum(100 - y, 0.05)), lambda v: 100 - 10**-v)
    )
    ticks(axes.yaxis, values)


def mark_yardsticks(axes: Axes, found: Estimates, dataset: str) -> list[Annotation]:
    """A dotted line at each yardstick of reconstruction, MAE from left to right; returns their names above.

    One that the median image beats is left out: it is no scale. Older runs have none.
    """
    measured = {name: found.get((dataset, f"yardsticks.{name}", "mae", "test")) for name in YARDSTICKS}
    errors = {name: one.mean for name, one in measured.items() if one}
    names, line = [], {"color": "0.4", "linestyle": ":", "linewidth": 0.8}
    for name, error in errors.items():
        if error <= errors["median-image"]:
            axes.axvline(error, zorder=0.5, **line)
            written = axes.annotate(
                YARDSTICKS[name].short,
                (error, 1),
                (0, 7),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "relpos": (0, 0), "shrinkA": 0, "shrinkB": 0} | line,
                rotation=45,
                rotation_mode="anchor",
                fontsize=6.5,
                color="0.3",
            )
            names.append(written)
    return names


def spread(names: Iterable[Annotation], gap: float = 8.5) -> None:
    """Move the names of yardsticks apart, so that there are `gap` points between neighbours.

    The layout of their figure must be settled.
    """
    names = sorted(names, key=lambda name: name.xy[0])
    places = [name.axes.transData.transform((name.xy[0], 1))[0] / name.figure.dpi * 72 for name in names]
    up, down = list(places), list(places)
    for k in range(1, len(places)):
        up[k] = max(up[k], up[k - 1] + gap)
        down[-k - 1] = min(down[-k - 1], down[-k] - gap)
    for name, place, low, high in zip(names, places, down, up, strict=True):
        name.set_position(((low + high) / 2 - place, 7))


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


def read_pictures(
    study: Study, results: Path, dataset: str, shared: str, own: str, *optional: str
) -> list[dict[str, np.ndarray]]:
    """The pictures of each method's first seed, two arrays of the same shape [n, ..., h, w, c].

    Also those of the optional arrays that it has, whose n may be another. Raises Problem where one is
    missing, of another shape or of another run, or where `shared`, which depends on the test images alone, is
    not the same in all.
    """
    first = study.dataset(dataset).seeds[0]
    runs = [Run(dataset, method, first) for method in study.methods]
    paths = [results / "pictures" / f"{run}.npz" for run in runs]
    found = [read_npz(path, shared, own, optional=optional) for path in paths]
    for path, pictures in zip(paths, found, strict=True):
        shape = pictures[shared].shape
        of_one = {pictures[name].shape[1:] for name in pictures}
        if shape[-3:] != DATASETS[dataset].shape or pictures[own].shape != shape or len(of_one) > 1:
            raise Problem(f"{path}: {', '.join(pictures)} are no pictures of {dataset}; {again(path)}")
        if not np.array_equal(pictures[shared], found[0][shared]):
            raise Problem(f"{path}: shows other test images than {paths[0]}; delete both and run again")
    for run in runs:
        summarize.check_beside(run, results, "pictures/{}.npz")
    return found


def sheet(rows: list[np.ndarray]) -> np.ndarray:
    """Rows of images [n, h, w, c] on one white sheet, a pixel apart, each pixel drawn as 4 x 4."""
    lines = []
    for images in rows:
        n, h, w, _ = images.shape
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
        figure.text(0.5, 0.02 / height, note, ha="center", va="bottom", fontsize=8, color="0.25")
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
