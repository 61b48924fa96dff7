"""The hashes beside the paper: of its PDF, configuration, source and data, and the seal of every record."""

import json
from pathlib import Path

from conftest import text
from made_up import call, inputs

from latents import config, record
from latents.report import provenance


def written(folder: Path) -> dict:
    """The record that the command writes beside a paper of the folder."""
    (folder / "paper.pdf").write_bytes(b"%PDF")
    call(provenance, *inputs(folder), "--paper", folder / "paper.pdf", "--out", folder / "provenance.json")
    return record.read_json(folder / "provenance.json")


def test_every_hash_is_whole_and_that_of_its_file_or_record(spoilt: Path) -> None:
    found, runs = written(spoilt), config.read(spoilt / "study.yaml").runs()
    assert found["paper_sha256"] == record.sha256(b"%PDF")
    assert found["source_sha256"] == {32 * "c3": len(runs)}
    assert found["tables"]["summary.csv"] == record.sha256(spoilt / "results/summary.csv")
    assert found["data"]["mnist"]["data_sha256"] == 32 * "b2"
    assert list(found["records"]) == sorted(map(str, runs))
    for name, seal in found["records"].items():
        assert seal == json.loads((spoilt / f"results/records/{name}.json").read_text())["sha256"]
    yardsticks = json.loads((spoilt / "results/yardsticks/cifar10.json").read_text())
    assert found["data"]["cifar10"]["yardsticks"] == yardsticks["sha256"]


def test_a_changed_number_of_a_run_and_a_changed_setting_change_their_hashes(spoilt: Path) -> None:
    before, path = written(spoilt), spoilt / "results/records/mnist/pca/seed1.json"
    record.write_json(path, record.read_json(path) | {"parameters": 1})
    study = (spoilt / "study.yaml").read_text()
    assert "pairs: 300" in study
    (spoilt / "study.yaml").write_text(study.replace("pairs: 300", "pairs: 301"))
    after = written(spoilt)
    assert before["config_sha256"] != after["config_sha256"]
    assert {name for name in before["records"] if before["records"][name] != after["records"][name]} == {
        "mnist/pca/seed1"
    }


def test_the_paper_names_the_file_that_lies_beside_it_and_that_the_committed_run_keeps() -> None:
    assert r"\file{provenance.json}" in text("paper/paper.tex")
    assert "cp paper/paper.pdf paper/provenance.json reference/" in text("Makefile")
