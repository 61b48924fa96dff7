"""The whole hashes behind a copy of the paper, in a file beside its PDF.

    python -m latents.report.provenance --config config/study.yaml --results results --paper paper/paper.pdf \
        --out paper/provenance.json

writes a record with the SHA-256 of the PDF, of the configuration as it was read, of the build (source,
workflow, configuration and lock), of the files of numbers and, by data set, of data and split; the seal of
every run's record and of the yardsticks; and each source that measured, with its number of runs. Takes a
second.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from latents import cli, config, record
from latents.cli import Problem
from latents.plain import digest
from latents.report import summarize
from latents.report.read import read_record
from latents.report.summarize import Yardsticks
from latents.study import Run, Study


def hashed(path: Path) -> str:
    """SHA-256 of a file. Raises Problem where it is missing."""
    if not path.is_file():
        raise Problem(f"{path}: missing; {record.again(path)}")
    return record.sha256(path)


def provenance(study: Study, results: Path, paper: Path) -> dict[str, Any]:
    """The record. Raises Problem where a record is missing, foreign or mixed."""
    records = list(summarize.records(study, results))
    of_dataset = {one["dataset"]: one for one in records}
    return {
        "format": record.FORMAT,
        "study": study.study,
        "paper_sha256": hashed(paper),
        "config_sha256": digest(study),
        "build_sha256": record.tree_sha256(record.build_files()),
        "source_sha256": dict(Counter(one["source_sha256"] for one in records)),
        "tables": {name: hashed(results / name) for name in ("runs.csv", "summary.csv")},
        "data": {
            dataset: {
                "data_sha256": one["data_sha256"],
                "split_sha256": one["split_sha256"],
                "yardsticks": record.seal(read_record(results / f"yardsticks/{dataset}.json", Yardsticks)),
            }
            for dataset, one in of_dataset.items()
        },
        "records": {str(Run(one["dataset"], one["run"], one["seed"])): record.seal(one) for one in records},
    }


@cli.command
def main() -> None:
    options = cli.parser(__doc__, "config", paths=("results", "paper", "out")).parse_args()
    study = config.read(options.config)
    record.write_json(options.out, provenance(study, options.results, options.paper))


if __name__ == "__main__":
    main()
