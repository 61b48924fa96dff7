"""Finished cells of a study in progress: their light results, kept between sittings or machines.

    python -m latents.report.kept --config config/study.yaml --out kept

copies what is light of every finished cell (all but weights and codes, some 0.6 MB) from the study's results/ to kept/<study>/. The
workflow takes a cell from there instead of training it, where configuration, data and source are those of now.
"""

import argparse
from pathlib import Path
from typing import Any

from latents import config, record
from latents.config import ROWS, Problem, Study

LIGHT = ("records/{}.json", "train/{}.json", "curves/{}.csv", "timing/{}.train.json", "timing/{}.evaluate.json", "pictures/{}.npz", "samples/{}.npz")
BESIDE = {"curves/{}.csv": "curve_sha256", "pictures/{}.npz": "pictures_sha256", "samples/{}.npz": "sample_sha256"}  # and the key of their hash in the record
LIGHT_TSNE = ("tsne/{}.csv", "tsne/{}.json", "timing/{}/tsne.json")  # of a row's first seed


def embedded(study: Study, cells: list[str]) -> list[str]:
    """Those of the cells that have a t-SNE, as `<data set>/<row>`: the first seed of each row."""
    firsts = [f"{name}/{row}/seed{one.seeds[0]}" for name, one in study.datasets.items() for row in ROWS]
    return [cell.rpartition("/")[0] for cell in firsts if cell in cells]


def files(study: Study, cell: str) -> list[str]:
    """Names of the light files of a cell (`<data set>/<run>/seed<k>`)."""
    return [name.format(cell) for name in LIGHT] + [name.format(place) for place in embedded(study, [cell]) for name in LIGHT_TSNE]


def data_sha256(study: Study, dataset: str) -> str:
    """Hash of the data set's files, as it stands in a record; read without the loader, which takes a second to import."""
    if study.source == "download":
        archives = config.plain(record.ROOT / "config/data.yaml")[dataset]["archives"]
        return config.digest({name: sha256 for archive in archives for name, sha256 in archive["files"].items()})
    return config.digest(record.read_json(Path(study.data) / f"{dataset}.json")["files"])


def whole(study: Study, folder: Path, cell: str, wanted: dict[str, Any]) -> bool:
    """Whether a cell's light files below folder belong together, and its record has the wanted values."""
    if not all((folder / name).is_file() for name in files(study, cell)):
        return False
    try:
        made, trained = (record.read_json(folder / name.format(cell)) for name in ("records/{}.json", "train/{}.json"))
        drawn = [
            record.read_json(folder / LIGHT_TSNE[1].format(place)) | {"points": record.sha256(folder / LIGHT_TSNE[0].format(place))}
            for place in embedded(study, [cell])
        ]
        for step in ("train", "evaluate"):
            record.read_json(folder / f"timing/{cell}.{step}.json")
    except Problem:  # broken, or of an older version: as if it were not there
        return False
    wanted = wanted | {key: record.sha256(folder / place.format(cell)) for place, key in BESIDE.items()} | {"weights_sha256": trained.get("weights_sha256")}
    same = all(made.get(key) == value for key, value in wanted.items())
    same &= made.get("trained_by", {}).get("source_sha256") == wanted["source_sha256"]
    settings = {"seed": study.measurement.seed, "neighbours": study.measurement.tsne_neighbours, "codes_sha256": made.get("codes_sha256")}
    return same and all(one.get(key) == value for one in drawn for key, value in (settings | {"points_sha256": one["points"]}).items())


def finished(study: Study, folder: Path) -> list[str]:
    """Cells below folder that are whole, and of this configuration, data and source."""
    if not (folder / "records").is_dir():
        return []
    found, source = [], record.source_sha256()
    try:
        hashes = {dataset: data_sha256(study, dataset) for dataset in study.datasets}
    except Problem:  # a stand-in that is not here yet
        return []
    for dataset, run, seed in study.cells():
        cell = f"{dataset}/{run}/seed{seed}"
        wanted = {"config_sha256": record.config_sha256(study.measuring(dataset, run, seed)), "source_sha256": source, "data_sha256": hashes[dataset]}
        if whole(study, folder, cell, wanted):
            found.append(cell)
    return found


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    study = config.read(options.config)
    results, out = Path(f"{study.folder}results"), options.out / study.study
    cells = finished(study, results)
    for name in (name for cell in cells for name in files(study, cell)):
        content = (results / name).read_bytes()
        if not (out / name).is_file() or (out / name).read_bytes() != content:
            record.write_bytes(out / name, content)
    print(f"{len(cells)} of {len(study.cells())} cells are finished; their light results are in {out}/")


if __name__ == "__main__":
    main()
