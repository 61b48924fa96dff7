"""Test accuracy of the MLP probe, and mean absolute error of the reconstructed images, when each number of
the code is rounded to a few bits; probe and decoder are those of the exact code. Grey: JPEG and WebP with as
many bytes as the code. The accuracy's scale is logarithmic in the share of wrong classes.

    python -m latents.report.figures.bits --config config/study.yaml --results results \
        --note "" --out figures/bits.pdf

Reads summary.csv. The errors are those of a sample of the test images; one seed.
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from latents.methods import METHODS
from latents.report import scales, style
from latents.report.summarize import Estimates, read_summary
from latents.settings import CODE_SIZE
from latents.study import Study

EXACT = 32  # bits of a float
PANELS = {"accuracy_mlp": "test accuracy, MLP (%)", "mae": "test MAE"}
CODECS = {"jpeg": ("JPEG", "--"), "webp": ("WebP", ":")}


def panel(axes: Axes, study: Study, found: Estimates, dataset: str, metric: str) -> None:
    """One number of one data set: a line for each method and, of errors, one for each codec."""
    bits = [*sorted(study.measurement.bits), EXACT]
    for method in study.methods:
        look = METHODS[method]
        values = [found[dataset, method, f"{metric}_{one}bit", "test"].mean for one in bits]
        axes.plot(bits, values, marker=look.marker, color=look.color, label=style.name(method))
    for codec, (label, line) in CODECS.items() if metric == "mae" else ():
        sizes = [-(-CODE_SIZE * one // 8) for one in bits[:-1]]
        places = [(dataset, f"yardsticks.{codec}-{size}-bytes", "mae", "test") for size in sizes]
        axes.plot(bits[:-1], [found[place].mean for place in places], line, color="0.35", label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(bits, ["exact" if one == EXACT else str(one) for one in bits])
    axes.xaxis.set_minor_locator(NullLocator())
    if metric == "mae":
        axes.set_ylim(bottom=0)
    else:
        scales.accuracy_scale(axes, scales.COARSE)


def draw(study: Study, results: Path) -> Figure:
    found = read_summary(results / "summary.csv")
    figure = style.figure(3.4)
    panels = figure.subplots(len(PANELS), len(study.datasets), sharex=True, squeeze=False)
    for row, (metric, label) in zip(panels, PANELS.items(), strict=True):
        row[0].set_ylabel(label)
        for axes, dataset in zip(row, study.datasets, strict=True):
            panel(axes, study, found, dataset, metric)
            if metric == "mae":
                axes.set_xlabel("bits a number of the code")
            else:
                axes.set_title(style.dataset_name(study, dataset))
    figure.legend(*panels[-1, 0].get_legend_handles_labels(), loc="outside right center", handlelength=2.2)
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
