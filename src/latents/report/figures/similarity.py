"""Linear CKA of the test codes between every two methods (first seed); on the diagonal, between seeds of one
method.

    python -m latents.report.figures.similarity --config config/study.yaml --results results \
        --note "" --out figures/similarity.pdf

Reads similarity/<dataset>.csv. A method with a single seed has an empty diagonal.
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from latents.metrics import fixed
from latents.report import style
from latents.report.read import cka_matrix
from latents.study import Study

FITS = 17  # columns of numbers that the page is wide enough for, at the usual size


def matrix(axes: Axes, values: np.ndarray, names: list[str], fontsize: float) -> AxesImage:
    """Values [method, method] in [0, 1], or NaN, as colours and numbers."""
    image = axes.imshow(values, vmin=0, vmax=1, cmap="Blues")
    for (a, b), value in np.ndenumerate(values):
        text = "–" if np.isnan(value) else fixed(value, 2)
        color = "white" if value > 0.6 else "black"
        axes.text(b, a, text, ha="center", va="center", fontsize=fontsize, color=color)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return image


def draw(study: Study, results: Path) -> Figure:
    figure = style.figure(0.75 + 0.22 * len(study.methods))  # cells of like size, whatever their number
    names = [style.name(method) for method in study.methods]
    fontsize = 7.5 * min(1.0, FITS / (len(names) * len(study.datasets)))
    panels = figure.subplots(1, len(study.datasets), sharey=True, squeeze=False)[0]
    for axes, (dataset, chosen) in zip(panels, study.datasets.items(), strict=True):
        path = results / "similarity" / f"{dataset}.csv"
        image = matrix(axes, cka_matrix(path, study.methods, chosen.seeds[0]), names, fontsize)
        axes.set_title(style.dataset_name(study, dataset))
    figure.colorbar(image, ax=panels, shrink=0.7, pad=0.02, panchor=False).set_label("linear CKA", labelpad=8)
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
