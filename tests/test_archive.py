"""Archived runs: what `make archive` copies, and from when on the workflow takes a run from there."""

import shutil
from pathlib import Path

import made_up
import pytest
import yaml
from conftest import STUDY, counted, planned, run

from latents import config, data, record
from latents.faults.copies import SNAKEMAKE
from latents.plain import digest
from latents.record import FORMAT, ROOT, write_json
from latents.report import archive
from latents.study import Run, Study

CHANGED = ("config", "source", "data", "pictures", "sample", "curve", "weights", "codes")  # their hashes


def archive_a_run(study: Study, folder: Path, one: Run) -> dict:
    """Write the light files of a run below folder, all with the same content; returns its record."""
    place, light = f"{one.dataset}/{one.method}", record.sha256(b"light")
    for name in [item.format(one) for item in archive.LIGHT] + [
        item.format(place) for item in archive.LIGHT_TSNE
    ]:
        if name.endswith(".json"):
            write_json(folder / name, {"format": FORMAT})
        else:
            record.write_text(folder / name, "light")
    made = {
        "format": FORMAT,
        "codes_sha256": "c" * 64,
        "pictures_sha256": light,
        "sample_sha256": light,
        "curve_sha256": light,
        "weights_sha256": "w" * 64,
        "trained_by": {"source_sha256": record.source_sha256()},
        "config_sha256": record.config_sha256(study.measuring(one)),
        "source_sha256": record.source_sha256(),
        "data_sha256": digest(data.pins(study, one.dataset)),
    }
    write_json(folder / f"records/{one}.json", made)
    write_json(folder / f"train/{one}.json", {"format": FORMAT, "weights_sha256": "w" * 64})
    points = {
        "format": FORMAT,
        "codes_sha256": "c" * 64,
        "points_sha256": light,
        "seed": study.measurement.seed,
    }
    points["neighbours"] = study.measurement.tsne_neighbours
    write_json(folder / f"tsne/{place}.json", points)
    return made


def test_an_archived_run_is_taken_while_it_is_of_this_configuration_data_and_source(checkout):
    folder = checkout / "archive/study"
    machine = {"format": FORMAT, "processor": "A CPU", "precision": "float32"}
    write_json(folder / "machine.json", machine)  # the study was begun in this precision
    study = config.settled(config.read(ROOT / STUDY), folder / "machine.json")
    one = Run("mnist", "guided", 1)
    made = archive_a_run(study, folder, one)
    asked = ["results/records/mnist/guided/seed1.json", "results/tsne/mnist/guided.csv"]
    done = run(checkout, SNAKEMAKE, "--cores", "1", *asked)
    assert done.returncode == 0, done.stdout[-3000:]
    assert counted(done.stdout) == {"archived": 1, "archived_tsne": 1}
    assert (checkout / asked[1]).read_text() == "light"
    assert (checkout / f"results/curves/{one}.csv").read_text() == "light"
    assert counted(planned(checkout, *asked)) == {}
    # another run is trained, with the reference classifier
    assert counted(planned(checkout, "results/records/mnist/supcon/seed1.json"))["train"] == 2
    shutil.rmtree(checkout / "results")
    jobs = {"data": 1, "machine": 1, "train": 2, "evaluate": 1, "tsne": 1}
    for name in (*(f"{item}_sha256" for item in CHANGED), "trained_by"):
        write_json(folder / f"records/{one}.json", made | {name: {} if name == "trained_by" else "0" * 64})
        assert archive.finished(study, folder) == [], name
    assert counted(planned(checkout, *asked)) == jobs


def test_an_archived_run_whose_files_do_not_belong_together_is_not_taken(tmp_path):
    study = config.read(ROOT / STUDY)
    one = Run("mnist", "guided", 1)
    made = archive_a_run(study, tmp_path, one)
    assert archive.finished(study, tmp_path) == [one]
    for changed in (
        "tsne/mnist/guided.csv",
        f"timing/{one}.train.json",
    ):  # not the ones that the records describe
        content = (tmp_path / changed).read_bytes()
        (tmp_path / changed).write_bytes(content + b" 1")
        assert archive.finished(study, tmp_path) == [], changed
        (tmp_path / changed).write_bytes(content)
    assert archive.finished(study, tmp_path) == [one]
    (
        tmp_path / "tsne/mnist/guided.csv"
    ).unlink()  # the first seed of a method is not finished without its t-SNE
    assert archive.finished(study, tmp_path) == []
    record.write_text(tmp_path / "tsne/mnist/guided.csv", "light")
    assert archive.finished(study, tmp_path) == [one]
    (tmp_path / f"records/{one}.json").write_text("broken")
    assert archive.finished(study, tmp_path) == []
    write_json(tmp_path / f"records/{one}.json", made)
    assert archive.finished(study, tmp_path) == [one]


def test_archiving_copies_the_light_results_of_finished_runs_alone(tmp_path, capsys):
    folder = made_up.prepare(tmp_path, made_up.plain_study() | {"folder": f"{tmp_path}/"})
    study = config.read(folder / "study.yaml")
    runs = study.runs()
    for one in runs:  # as evaluation leaves a record, but for the last one, which another source made
        path = folder / f"results/records/{one}.json"
        changed = {"source_sha256": record.source_sha256() if one != runs[-1] else "0" * 64}
        changed |= {"trained_by": dict(changed), "data_sha256": digest(data.pins(study, one.dataset))}
        made = record.read_json(path) | changed
        write_json(path, made)
        trained = {"format": FORMAT, "weights_sha256": made["weights_sha256"]}
        write_json(folder / f"results/train/{one}.json", trained)
        for place in archive.embedded(study, [one]):
            points = record.read_json(folder / f"results/tsne/{place}.json")
            points |= {"seed": study.measurement.seed, "neighbours": study.measurement.tsne_neighbours}
            points |= {"codes_sha256": made["codes_sha256"]}
            write_json(folder / f"results/tsne/{place}.json", points)
            write_json(folder / f"results/timing/{place}/tsne.json", {"format": FORMAT, "seconds": 1.0})
    (folder / "results/samples/mnist/pca/seed1.npz").unlink()  # not whole
    made_up.call(archive, "--config", folder / "study.yaml", "--out", folder / "archive")
    assert f"{len(runs) - 2} of {len(runs)} runs are finished" in capsys.readouterr().out
    archived = archive.finished(study, folder / "archive" / study.study)
    assert archived == [one for one in runs[:-1] if one != Run("mnist", "pca", 1)]
    assert not list((folder / "archive").rglob("*.safetensors"))
    assert not list((folder / "archive").rglob("codes"))


def test_archiving_takes_the_precision_along_that_a_study_keeps_to(tmp_path):
    plain = made_up.plain_study() | {"folder": f"{tmp_path}/", "precision": "auto"}
    folder = made_up.prepare(tmp_path, plain | {"precision": "float32"})
    (folder / "study.yaml").write_text(yaml.safe_dump(plain))
    with pytest.raises(SystemExit, match=r"machine\.json: missing; run snakemake again"):
        made_up.call(archive, "--config", folder / "study.yaml", "--out", folder / "archive")
    write_json(folder / "results/machine.json", {"format": FORMAT, "precision": "float32"})
    made_up.call(archive, "--config", folder / "study.yaml", "--out", folder / "archive")
    archived = record.read_json(folder / "archive" / plain["study"] / "machine.json")
    assert archived["precision"] == "float32"
