"""Loss against epoch of every trained row, on train and on val, one line for each seed.

    python -m latents.report.figures.curves --config config/study.yaml --results results \
        --dataset cifar10 --note "" --out figures/curves_cifar10.pdf

Reads curves/<dataset>/<row>/seed<k>.csv. The objectives differ, so each panel has a scale of its own.
"""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from latents.config import ROWS, Problem, Study
from latents.report import style
from latents.report.summarize import read_csv

TRAINED = ROWS[2:]  # pca and random are not
LOSSES = ("loss", "val_loss")


def draw(study: Study, results: Path, dataset: str) -> Figure:
    figure = style.figure(1.2)
    panels = figure.subplots(1, len(TRAINED))
    for axes, row in zip(panels, TRAINED, strict=True):
        for seed in study.dataset(dataset).seeds:
            path = results / "curves" / dataset / row / f"seed{seed}.csv"
            lines = read_csv(path, ("epoch", *LOSSES), lambda line: (int(line["epoch"]), *(float(line[name]) if line[name] else None for name in LOSSES)))
            for column, look, dot in ((1, "-", "full"), (2, "--", "none")):
                points = [(line[0], line[column]) for line in lines if line[column] is not None]
                if not points:
                    raise Problem(f"{path}: holds no {LOSSES[column - 1]}; delete it and run again, its cell will be trained again")
                marker = "o" if len(lines) == 1 else ""  # keeps a single epoch visible: full is train, empty is validation
                axes.plot(*zip(*points, strict=True), look, color=style.ROWS[row].color, marker=marker, markersize=4, fillstyle=dot)
        if len(lines) == 1:
            axes.set_xlim(0, 2)
        axes.set_title(style.name(row))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_xlabel("epoch")
        axes.yaxis.set_major_locator(MaxNLocator(4))
    panels[0].set_ylabel(f"{style.dataset_name(study, dataset)}\nloss")
    handles = [Line2D([], [], color="black", linestyle=look) for look in ("-", "--")]
    panels[0].legend(handles, ["train", "val"], loc="upper right", handlelength=1.6, borderaxespad=0)  # a loss falls: this corner is free
    return figure


main = style.script(draw)
if __name__ == "__main__":
    main()
