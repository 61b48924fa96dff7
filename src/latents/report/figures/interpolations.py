"""Paths between the codes of two test images, decoded, for every method: a straight line and, where that was
kept, an arc; above them the cross-fade of the pixels.

    python -m latents.report.figures.interpolations --config config/study.yaml --results results \
        --dataset cifar10 --note "" --out figures/interpolations_cifar10.pdf

Reads the pictures of the first seed, ten steps to a path: of one pair, the same for every method, both paths;
of runs that kept no arcs, as older ones, the straight lines of two pairs.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from latents.report import sheets, style
from latents.study import Study


def columns(pictures: list[dict[str, np.ndarray]]) -> list[tuple[str, list[np.ndarray]]]:
    """Two columns, each a title and its strips [steps, h, w, c]: the cross-fade, then every method's path."""
    if all("path_arcs" in one for one in pictures):
        shown = [("straight line", "path_codes", 0), ("arc about the mean code", "path_arcs", 0)]
    else:
        shown = [("", "path_codes", pair) for pair in (0, 1)]
    faded = pictures[0]["path_pixels"]
    return [(title, [faded[pair], *(one[name][pair] for one in pictures)]) for title, name, pair in shown]


def draw(study: Study, results: Path, dataset: str) -> Figure:
    found = columns(sheets.read_pictures(study, results, dataset, "path_pixels", "path_codes", "path_arcs"))
    labels = ["Cross-fade", *map(style.name, study.methods)]
    titles, drawings = zip(*((title, sheets.sheet(strips)) for title, strips in found), strict=True)
    width = (style.WIDTH - sheets.LABELS) / len(drawings)
    figure = style.figure(width * drawings[0].shape[0] / drawings[0].shape[1] + 0.24)
    for place, axes in enumerate(figure.subplots(1, len(drawings))):
        sheets.show_sheet(axes, drawings[place], labels, named=place == 0)
        axes.set_title(": ".join(filter(None, (style.dataset_name(study, dataset), titles[place]))))
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
