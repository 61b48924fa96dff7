"""Images that the variational autoencoder decodes from codes drawn from its prior: none is of the data set.

    python -m latents.report.figures.samples --config config/study.yaml --dataset cifar10 \
        --results results --note "" --out figures/samples_cifar10.pdf

Reads the pictures of the method's first seed. All samples that were drawn are shown.
"""

from pathlib import Path

from matplotlib.figure import Figure

from latents.cli import Problem
from latents.datasets import DATASETS
from latents.record import again
from latents.report import sheets, style, summarize
from latents.report.figures import SAMPLED
from latents.report.read import read_npz
from latents.study import Run, Study

COLUMNS = 12


def draw(study: Study, results: Path, dataset: str) -> Figure:
    run = Run(dataset, SAMPLED, study.dataset(dataset).seeds[0])
    path = results / "pictures" / f"{run}.npz"
    samples = read_npz(path, "samples")["samples"]
    if samples.shape[1:] != DATASETS[dataset].shape or len(samples) % COLUMNS:
        raise Problem(f"{path}: samples are no pictures of {dataset}, {COLUMNS} to a row; {again(path)}")
    summarize.check_beside(run, results, "pictures/{}.npz")
    rows = list(samples.reshape(-1, COLUMNS, *samples.shape[1:]))
    drawing = sheets.sheet(rows)
    figure = style.figure(0.2 + (style.WIDTH - sheets.LABELS) * drawing.shape[0] / drawing.shape[1])
    axes = figure.subplots()
    sheets.show_sheet(axes, drawing, [""] * len(rows))
    axes.set_title(f"{style.dataset_name(study, dataset)}: {style.name(SAMPLED)}, samples from the prior")
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
