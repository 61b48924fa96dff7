"""Records: written whole or not at all, read only when whole and of this version, with their origin."""

import csv
import json
import math
import os
import shutil
from pathlib import Path

import pytest

from latents import config, record
from latents.cli import Problem
from latents.study import Run


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_read_again_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "deep/er/record.json"
    record.write_json(path, {"format": record.FORMAT, "b": [1, 2.5], "a": "ä"})
    assert record.read_json(path) == {"format": record.FORMAT, "b": [1, 2.5], "a": "ä"}
    assert left(path.parent) == ["record.json"]


def test_equal_content_gives_equal_bytes_whatever_the_order_of_its_keys(tmp_path: Path) -> None:
    record.write_json(tmp_path / "one.json", {"a": 1, "b": {"c": 2, "d": 3}})
    record.write_json(tmp_path / "two.json", {"b": {"d": 3, "c": 2}, "a": 1})
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    # a value a line, so that git can show what changed
    assert (tmp_path / "one.json").read_text().count("\n") > 4


def test_a_record_that_was_changed_after_it_was_written_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    record.write_json(path, {"format": record.FORMAT, "value": 0.1 + 0.2, "list": [1e-30, 2**60]})
    whole = path.read_text()
    said = r"record\.json: changed since it was written \(its seal is broken\); delete it and run again"
    for changed in (
        whole.replace("0.30000000000000004", "0.3"),
        whole.replace('"value"', '"other"'),
        whole.replace('"sha256"', '"sha255"'),
    ):
        assert changed != whole
        path.write_text(changed)
        with pytest.raises(Problem, match=said):
            record.read_json(path)
    path.write_text(json.dumps(json.loads(whole)))  # another layout is not another content
    assert record.read_json(path)["value"] == 0.1 + 0.2


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_never_written(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        record.write_json(tmp_path / "record.json", {"value": value})
    assert left(tmp_path) == []


@pytest.mark.parametrize("fault", ["replace", "fsync"])
@pytest.mark.parametrize("old", [b"old", None])
def test_where_writing_fails_the_old_file_stays_and_no_half_of_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, old: bytes | None
) -> None:
    path = tmp_path / "record.json"
    if old is not None:
        path.write_bytes(old)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, fault, refuse)
    said = r"record\.json: cannot be written \(No space left on device\); free space"
    with pytest.raises(Problem, match=said):
        record.write_bytes(path, b"new")
    assert left(tmp_path) == ([] if old is None else ["record.json"])
    assert old is None or path.read_bytes() == old


def test_where_the_disk_is_full_in_the_middle_nothing_half_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Full:
        """A file that takes half of what it is given."""

        def __init__(self, file: object) -> None:
            self.file = file

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, content: bytes) -> None:
            self.file.write(content[: len(content) // 2])
            self.file.flush()
            seen.extend(left(tmp_path))
            raise OSError(28, "No space left on device")

    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda *arguments: Full(opened(*arguments)))
    with pytest.raises(Problem, match="cannot be written"):
        record.write_bytes(tmp_path / "codes.npz", b"x" * 1000)
    assert len(seen) == 1 and seen != ["codes.npz"]  # the half was there, under another name
    assert left(tmp_path) == []


def test_a_place_that_cannot_be_a_folder_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(Problem, match=r"file/record\.json: cannot be written"):
        record.write_text(tmp_path / "file/record.json", "text")


def test_a_missing_record_is_refused_with_the_step_that_makes_it(tmp_path: Path) -> None:
    said = r"absent\.json: missing; run snakemake again"
    with pytest.raises(Problem, match=said):
        record.read_json(tmp_path / "absent.json")


@pytest.mark.parametrize("content", [b"", b'{"format": 1, "met', b"\xff\xfe\x00", b"not json"])
def test_a_broken_record_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(Problem, match=r"broken\.json: not valid JSON \(.*\); delete it and run again"):
        record.read_json(path)


@pytest.mark.parametrize(
    "content", [{"format": record.FORMAT + 1}, {"format": "1"}, {"no": "format"}, [1, 2], "text"]
)
def test_a_record_of_another_format_is_refused_by_name(tmp_path: Path, content: object) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(content))
    said = rf"old\.json: not a record of format {record.FORMAT}; delete it and run again"
    with pytest.raises(Problem, match=said):
        record.read_json(path)


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
def test_a_record_that_holds_no_number_where_one_belongs_is_refused_by_name(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "nan.json"
    path.write_text(f'{{"format": {record.FORMAT}, "sha256": "0", "value": {name}}}')
    with pytest.raises(Problem, match=rf"nan\.json: not valid JSON \(it holds {name}, which is not a number"):
        record.read_json(path)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_files_have_the_modes_that_the_users_umask_leaves(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        record.write_bytes(tmp_path / "record.json", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "record.json").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_number_beyond_the_range_of_floats_in_a_record_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    path.write_text(f'{{"format": {record.FORMAT}, "sha256": "0", "value": 1e999}}')
    with pytest.raises(Problem, match=r"large\.json: not valid JSON \(it holds 1e999, which is beyond"):
        record.read_json(path)


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(Problem, match="is not a regular file; name another place"):
            record.write_bytes(place, b"new")
    assert (tmp_path / "pipe").is_fifo() and not Path("/dev/null").is_file()


def test_nobody_is_told_to_delete_or_make_what_no_step_can_make_again(tmp_path: Path) -> None:
    committed = record.ROOT / "reference/records/absent.json"
    with pytest.raises(
        Problem, match=r"restore it from the repository \(git checkout -- reference/records/abs"
    ):
        record.read_json(committed)
    assert "delete" not in record.again("reference/summary.csv")
    assert record.again(tmp_path) == "delete it and run again, its step will be repeated"


def test_the_hash_of_a_file_is_the_hash_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert record.sha256(b"abc") == record.sha256(tmp_path / "file") == known


def test_a_table_is_read_back_with_the_same_floats_and_texts(tmp_path: Path) -> None:
    path = tmp_path / "deep/table.csv"
    lines = [(0.1 + 0.2, 1e-30, 7, "a, b"), (2.0, -1 / 3, 2**60, 'with "quotes"')]
    record.write_csv(path, ("x", "y", "n", "text"), lines)
    with path.open(newline="") as file:
        header, *found = csv.reader(file)
    assert header == ["x", "y", "n", "text"]
    assert [(float(x), float(y), int(n), text) for x, y, n, text in found] == lines
    assert b"\r" not in path.read_bytes()


# the hash of the source


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the source, in the place of the checkout."""
    folder = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(record.ROOT / "src/latents", folder / "src/latents", ignore=ignored)
    shutil.copy(record.ROOT / "requirements.lock", folder)
    monkeypatch.setattr(record, "ROOT", folder)
    return folder


@pytest.mark.parametrize("folder", ["methods", "datasets"])
def test_the_source_hash_covers_every_file_of_the_methods_and_of_the_data_sets(
    copy: Path, folder: str
) -> None:
    files = sorted((copy / "src/latents" / folder).glob("*.py"))
    assert len(files) > 3
    before = record.source_sha256()
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content + b"\n# changed\n")
        assert record.source_sha256() != before, file.name
        file.write_bytes(content)
        assert record.source_sha256() == before
    files[-1].rename(files[-1].with_name("renamed.py"))
    assert record.source_sha256() != before


def test_the_source_hash_covers_the_lock_and_every_other_module_but_what_prints_or_fetches(
    copy: Path,
) -> None:
    core = copy / "src/latents"

    def change(path: Path) -> str:
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as file:
            file.write(b"\n# changed\n")
        return record.source_sha256()

    before = record.source_sha256()
    apart = (
        "cli.py",
        "explorer.py",
        "export.py",
        "fetch.py",
        "host.py",
        "images.py",
        "machine.py",
        "standin.py",
    )
    others = ("report/style.py", "report/figures/__init__.py", "bench/loops.py", "faults/short.py")
    for path in (*(core / name for name in (*others, *apart)), copy / "config/study.yaml"):
        assert change(path) == before, path
    deciding = [path for path in core.glob("*.py") if path.name not in apart]
    for path in (*deciding, core / "new.py", copy / "requirements.lock"):
        after = change(path)
        assert after != before, path
        before = after


def test_a_record_begins_with_its_configuration_its_hashes_and_the_versions_it_ran_with() -> None:
    study = config.read(record.ROOT / "config/demo.yaml")
    settings = study.training(Run("mnist", "guided", 1))
    head = record.header(settings)
    assert head["format"] == record.FORMAT and head["config"]["method"]["label-smoothing"] == 0.1
    assert head["config_sha256"] == record.sha256(json.dumps(head["config"], sort_keys=True).encode())
    assert head["source_sha256"] == record.source_sha256() and len(head["source_sha256"]) == 64
    assert {"python", "torch", "numpy", "scikit-learn", "latents"} <= set(head["versions"])
    assert head["processor"].endswith("cores)")
    other = record.header(study.training(Run("mnist", "guided", 2)))
    assert other["config_sha256"] != head["config_sha256"]


def test_a_record_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="cannot be read"):
        record.read_json(tmp_path)
