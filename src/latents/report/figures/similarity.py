"""Linear CKA of the test codes between every two rows (first seed); on the diagonal, between seeds of one row.

    python -m latents.report.figures.similarity --config config/study.yaml --results results \
        --note "" --out figures/similarity.pdf

Reads similarity/<dataset>.csv. A row with a single seed has an empty diagonal.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from latents.config import ROWS, Study
from latents.report import style
from latents.report.summarize import cka_matrix


def draw(study: Study, results: Path) -> Figure:
    figure = style.figure(2.3)
    names = [style.name(row) for row in ROWS]
    panels = figure.subplots(1, len(study.datasets), sharey=True, squeeze=False)[0]
    for axes, (dataset, chosen) in zip(panels, study.datasets.items(), strict=True):
        values = cka_matrix(results / "similarity" / f"{dataset}.csv", chosen.seeds[0])
        image = axes.imshow(values, vmin=0, vmax=1, cmap="Blues")
        for (a, b), value in np.ndenumerate(values):
            text = "–" if np.isnan(value) else f"{value:z.2f}"
            axes.text(b, a, text, ha="center", va="center", fontsize=7.5, color="white" if value > 0.6 else "black")
        axes.set_xticks(range(len(ROWS)), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(ROWS)), names)
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.set_title(style.dataset_name(study, dataset))
    figure.colorbar(image, ax=panels, shrink=0.7, pad=0.01, label="linear CKA")
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
