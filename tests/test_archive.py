"""Archived runs: what `make archive` copies, and from when on the workflow takes a run from there."""

import shutil
from pathlib import Path

import made_up
import pytest
import yaml
from conftest import STUDY, counted, planned, run, shipped_study

from latents import config, data, record
from latents.faults.copies import SNAKEMAKE
from latents.plain import digest
from latents.record import FORMAT, write_json
from latents.report import archive, plan
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


def leave_a_classifier(study: Study, folder: Path, weights: Path) -> None:
    """Write below folder what is kept of MNIST's reference classifier, and the yardsticks."""
    one = study.reference_classifiers()["mnist"]
    content, origin = bytes(range(256)), {"format": FORMAT, "source_sha256": record.source_sha256()}
    origin["data_sha256"] = digest(data.pins(study, "mnist"))
    record.write_bytes(weights, content)
    record.write_text(folder / f"curves/{one}.csv", "light")
    hashes = {"weights_sha256": record.sha256(content), "curve_sha256": record.sha256(b"light")}
    hashes["config_sha256"] = record.config_sha256(study.training(one))
    write_json(folder / f"train/{one}.json", origin | hashes)
    yardsticks = {"config_sha256": record.config_sha256(study.yardsticks("mnist"))}
    write_json(folder / "yardsticks/mnist.json", origin | yardsticks)
    for name in (f"timing/{one}.train.json", "timing/mnist/yardsticks.json"):
        write_json(folder / name, {"format": FORMAT})


def test_an_archived_run_is_taken_while_it_is_of_this_configuration_data_and_source(checkout):
    folder = checkout / "archive/study"
    machine = {"format": FORMAT, "processor": "A CPU", "precision": "float32"}
    write_json(folder / "machine.json", machine)  # the study was begun in this precision
    study = config.settled(shipped_study(), folder / "machine.json")
    one = Run("mnist", "guided", 1)
    made = archive_a_run(study, folder, one)
    asked = ["results/records/mnist/guided/seed1.json", "results/tsne/mnist/guided.csv"]
    done = run(checkout, SNAKEMAKE, "--cores", "1", *asked)
    assert done.returncode == 0, done.stdout[-3000:]
    assert counted(done.stdout) == {"archived": 1, "archived_tsne": 1}
    assert (checkout / asked[1]).read_text() == "light"
    assert (checkout / f"results/curves/{one}.csv").read_text() == "light"
    # another run is trained, with the reference classifier
    more = counted(planned(checkout, *asked, "results/records/mnist/supcon/seed1.json"))
    assert more == {"data": 1, "machine": 1, "train": 2, "evaluate": 1}
    refused = run(checkout, SNAKEMAKE, "--dry-run", "explorer/mnist/guided/card.json")
    said = (
        "mnist/guided: taken from archive/study/, without weights and codes, which the explorer needs; move"
    )
    assert refused.returncode and said in refused.stdout
    shutil.rmtree(checkout / "results")
    jobs = {"data": 1, "machine": 1, "train": 2, "evaluate": 1, "tsne": 1}
    for name in (*(f"{item}_sha256" for item in CHANGED), "trained_by"):
        write_json(folder / f"records/{one}.json", made | {name: {} if name == "trained_by" else "0" * 64})
        assert archive.finished(study, folder) == [], name
    assert counted(planned(checkout, *asked)) == jobs


def test_the_next_machine_measures_with_the_archived_classifier_and_trains_none(checkout):
    folder, asked = checkout / "archive/study", "results/records/mnist/supcon/seed1.json"
    write_json(folder / "machine.json", {"format": FORMAT, "processor": "A CPU", "precision": "float32"})
    study = config.settled(shipped_study(), folder / "machine.json")
    one = study.reference_classifiers()["mnist"]
    weights = folder / archive.WEIGHTS.format(one)
    leave_a_classifier(study, folder, weights)
    jobs = {"data": 1, "machine": 1, "train": 1, "evaluate": 1, "archived_classifier": 1}
    printed = planned(checkout, asked)
    assert counted(printed) == jobs
    assert f"archive/study/{archive.WEIGHTS.format(one)}" in printed
    restored = [f"results/train/{one}.json", "results/yardsticks/mnist.json"]
    done = run(checkout, SNAKEMAKE, "--cores", "1", *restored)
    assert counted(done.stdout) == {"archived_classifier": 1, "archived_yardsticks": 1}, done.stdout[-3000:]
    for name in restored:
        assert (checkout / name).read_bytes() == (folder / name.removeprefix("results/")).read_bytes()
    assert counted(planned(checkout, *restored)) == {}
    weights.write_bytes(weights.read_bytes() + b"1")  # not those that the record describes
    assert archive.classifiers(study, folder, folder / "weights") == []
    assert counted(planned(checkout, asked))["train"] == 2


def test_a_run_from_which_another_starts_is_taken_with_its_weights_or_not_at_all(checkout):
    folder, one = checkout / "archive/study", Run("mnist", "contrastive", 1)
    write_json(folder / "machine.json", {"format": FORMAT, "processor": "A CPU", "precision": "float32"})
    study = config.settled(shipped_study(), folder / "machine.json")
    other = Run("mnist", "guided.finetuned.1pct", 1)
    assert study.start(other) == one
    asked = [f"results/records/{run_of}.json" for run_of in (one, other)]
    hashes = {"weights_sha256": record.sha256(b"weights")}
    write_json(folder / f"records/{one}.json", archive_a_run(study, folder, one) | hashes)
    write_json(folder / f"train/{one}.json", {"format": FORMAT} | hashes)
    assert archive.started_from(study, archive.finished(study, folder)) == [one]
    jobs = {"data": 1, "machine": 1, "train": 3, "evaluate": 2}
    assert counted(planned(checkout, *asked)) == jobs
    record.write_bytes(folder / archive.WEIGHTS.format(one), b"weights")
    printed = planned(checkout, *asked)
    assert counted(printed) == jobs | {"train": 2, "evaluate": 1, "archived": 1}
    assert f"--start archive/study/{archive.WEIGHTS.format(one)}" in printed
    split = Run("mnist", "split", 1)
    for started in (each for each in study.runs() if study.start(each) in (one, split)):
        archive_a_run(study, folder, started)
    done = archive.finished(study, folder)
    assert {one, other, split} <= {*done} and archive.started_from(study, done) == []
    leave_a_classifier(study, folder, folder / archive.WEIGHTS.format(study.reference_classifiers()["mnist"]))
    whole = counted(planned(checkout, "--config", f"study={STUDY}"))
    assert (
        whole["archived"] == len(done) and whole["archived_classifier"] == whole["archived_yardsticks"] == 1
    )
    assert plan.jobs(study, folder) == {
        rule: n for rule, n in whole.items() if rule not in ("all", "machine")
    }


def test_a_classifier_and_yardsticks_of_another_configuration_data_or_source_are_not_taken(tmp_path):
    study = shipped_study()
    one = study.reference_classifiers()["mnist"]
    leave_a_classifier(study, tmp_path, weights=tmp_path / f"{one}.safetensors")
    found = {
        f"train/{one}.json": lambda: archive.classifiers(study, tmp_path, tmp_path),
        "yardsticks/mnist.json": lambda: archive.measured(study, tmp_path),
    }
    assert [look() for look in found.values()] == [[one], ["mnist"]]
    for name, look in found.items():
        made = record.read_json(tmp_path / name)
        for key in (key for key in made if key.endswith("_sha256")):
            write_json(tmp_path / name, made | {key: "0" * 64})
            assert look() == [], (name, key)
        write_json(tmp_path / name, made)
        assert look() != []
    (tmp_path / "timing/mnist/yardsticks.json").unlink()
    (tmp_path / f"timing/{one}.train.json").write_text("broken")
    assert [look() for look in found.values()] == [[], []]


def test_an_archived_run_whose_files_do_not_belong_together_is_not_taken(tmp_path):
    study = shipped_study()
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


def test_archiving_copies_yardsticks_and_the_reference_classifiers_weights_byte_for_byte(tmp_path):
    plain = made_up.plain_study() | {"folder": f"{tmp_path}/"}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(plain))
    study = config.read(tmp_path / "study.yaml")
    one = study.reference_classifiers()["mnist"]
    weights = Path(study.checkpoints) / f"{one}.safetensors"
    leave_a_classifier(study, tmp_path / "results", weights)
    made_up.call(archive, "--config", tmp_path / "study.yaml", "--out", tmp_path / "archive")
    archived = tmp_path / "archive" / study.study
    assert (archived / archive.WEIGHTS.format(one)).read_bytes() == weights.read_bytes()
    assert archive.classifiers(study, archived, archived / "weights") == [one]
    assert archive.measured(study, archived) == ["mnist"]


def test_archiving_takes_the_precision_along_as_soon_as_a_run_was_made_in_it(tmp_path):
    plain = made_up.plain_study() | {"folder": f"{tmp_path}/", "precision": "auto"}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(plain))
    options = ("--config", tmp_path / "study.yaml", "--out", tmp_path / "archive")
    with pytest.raises(SystemExit, match=r"machine\.json: missing; run snakemake again"):
        made_up.call(archive, *options)
    machine, out = tmp_path / "results/machine.json", tmp_path / "archive" / plain["study"] / "machine.json"
    write_json(machine, {"format": FORMAT, "precision": "bfloat16"})
    study = config.settled(config.read(tmp_path / "study.yaml"), machine)
    for name in study.datasets:
        archive_a_run(study, tmp_path / "results", Run(name, "pca", 1))
    shutil.move(tmp_path / "results/records/cifar10", tmp_path / "away")
    made_up.call(archive, *options)  # MNIST has a precision of its own
    assert (out.parent / "records/mnist").is_dir() and not out.exists()
    shutil.move(tmp_path / "away", tmp_path / "results/records/cifar10")
    made_up.call(archive, *options)
    assert record.read_json(out)["precision"] == "bfloat16"
