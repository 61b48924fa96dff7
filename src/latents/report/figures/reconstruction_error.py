"""Mean absolute error of the decoded test images by row, both data sets; PCA, the bar to clear, as a line. In brackets, where a row has a decoder of its own: that of the decoder trained on its frozen code.

    python -m latents.report.figures.reconstruction_error --config config/study.yaml --results results \
        --note "" --out figures/reconstruction_error.pdf

Reads summary.csv.
"""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from latents.config import ROWS, Study
from latents.report import style
from latents.report.summarize import read_summary


def draw(study: Study, results: Path) -> Figure:
    summary = read_summary(results / "summary.csv")
    figure = style.figure(1.7)
    panels = figure.subplots(1, len(study.datasets), sharey=True, squeeze=False)[0]
    for axes, dataset in zip(panels, study.datasets, strict=True):
        for place, row in enumerate(ROWS):
            error, frozen = (summary[dataset, row, metric, "test"] for metric in ("mae", "mae_frozen"))
            look = style.ROWS[row]
            other = f" ({frozen.mean:.4f})" if frozen != error else ""
            axes.barh(place, error.mean, 0.68, color="white", edgecolor=look.color, hatch=look.hatch, linewidth=0.9)
            axes.errorbar(error.mean, place, xerr=style.spans([error]), color="black", capsize=2, elinewidth=0.9)
            axes.annotate(f"{error.mean:.4f}{other}", (error.high or error.mean, place), (4, 0), textcoords="offset points", va="center",
                          fontsize=8, bbox={"color": "white", "pad": 0.5})  # fmt: skip
        axes.axvline(summary[dataset, "pca", "mae", "test"].mean, color="black", linestyle="--", linewidth=0.8)
        axes.margins(x=0.2)
        axes.set_xlim(left=0)
        axes.grid(False, axis="y")
        axes.set(title=style.dataset_name(study, dataset), xlabel="test MAE, pixels in [0, 1]", ylim=(len(ROWS) - 0.5, -0.5))
        axes.set_yticks(range(len(ROWS)), map(style.name, ROWS))
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
