"""Finished cells of a study in progress: their light results, kept between sittings or machines.

    python -m latents.report.kept --config config/study.yaml --results results --out kept

copies what is light of every finished cell (all but weights and codes, some 0.4 MB) from results/ to kept/. The
workflow takes a cell from there instead of training it, where configuration, data and source are those of now.
"""

import argparse
from pathlib import Path

from latents import config, record
from latents.config import ROWS, Study

LIGHT = ("records/{}.json", "train/{}.json", "curves/{}.csv", "timing/{}.train.json", "timing/{}.evaluate.json", "pictures/{}.npz", "samples/{}.npz")
LIGHT_TSNE = ("tsne/{}.csv", "tsne/{}.json", "timing/{}/tsne.json")


def finished(study: Study, folder: Path) -> list[str]:
    """Cells (`<data set>/<run>/seed<k>`) below folder that are whole, and of this configuration, data and source."""
    found = []
    if not (folder / "records").is_dir():
        return found
    from latents import data  # here: the workflow reads this module first, and need not wait for scikit-learn

    source, hashes = record.source_sha256(), {}
    for dataset, run, seed in study.cells():
        cell = f"{dataset}/{run}/seed{seed}"
        if not all((folder / name.format(cell)).is_file() for name in LIGHT):
            continue
        made = record.read_json(folder / LIGHT[0].format(cell))
        if dataset not in hashes:
            hashes[dataset] = config.digest(data.pins(study, dataset)) if study.source == "download" else made["data_sha256"]
        wanted = {"config_sha256": record.config_sha256(study.measuring(dataset, run, seed)), "source_sha256": source, "data_sha256": hashes[dataset]}
        if all(made.get(key) == value for key, value in wanted.items()):
            found.append(cell)
    return found


def embedded(study: Study, folder: Path, cells: list[str]) -> list[str]:
    """Those of the cells (`<data set>/<run>`, a row's first seed) that have their t-SNE below folder."""
    firsts = [(f"{name}/{row}", f"{name}/{row}/seed{one.seeds[0]}") for name, one in study.datasets.items() for row in ROWS]
    return [place for place, cell in firsts if cell in cells and all((folder / name.format(place)).is_file() for name in LIGHT_TSNE)]


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    study = config.read(options.config)
    cells = finished(study, options.results)
    places = [(name.format(cell)) for cell in cells for name in LIGHT]
    places += [name.format(place) for place in embedded(study, options.results, cells) for name in LIGHT_TSNE]
    for place in places:
        content = (options.results / place).read_bytes()
        if not (options.out / place).is_file() or (options.out / place).read_bytes() != content:
            record.write_bytes(options.out / place, content)
    print(f"{len(cells)} of {len(study.cells())} cells are finished; their light results are in {options.out}/")


if __name__ == "__main__":
    main()
