"""Straight lines between the codes of two test images, decoded, for every method; above them the cross-fade
of the pixels.

    python -m latents.report.figures.interpolations --config config/study.yaml --results results \
        --dataset cifar10 --note "" --out figures/interpolations_cifar10.pdf

Reads the pictures of the first seed: two pairs, ten steps each, the same pairs for every method.
"""

from pathlib import Path

from matplotlib.figure import Figure

from latents.report import style
from latents.study import Study

PAIRS = 2


def draw(study: Study, results: Path, dataset: str) -> Figure:
    pictures = style.read_pictures(study, results, dataset, "path_pixels", "path_codes")
    labels = ["Cross-fade", *map(style.name, study.methods)]
    strips = [pictures[0]["path_pixels"], *(picture["path_codes"] for picture in pictures)]
    sheets = [style.sheet([strip[pair] for strip in strips]) for pair in range(PAIRS)]
    width = (style.WIDTH - style.LABELS) / PAIRS
    figure = style.figure(width * sheets[0].shape[0] / sheets[0].shape[1] + 0.04)
    for pair, (axes, drawing) in enumerate(zip(figure.subplots(1, PAIRS), sheets, strict=True)):
        style.show_sheet(axes, drawing, labels, named=pair == 0)
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
