r"""The paper's macros on injected faults, from the record of the fault trials.

    python -m latents.report.faults --trials reference/fault_trials.json \
        --out paper/generated/macros_faults.tex

Defines fact@faults/<name> as plain text. Takes a second.
"""

from pathlib import Path
from typing import TypedDict

from latents import cli, record
from latents.cli import Problem
from latents.report.read import read_record
from latents.report.tex import definitions, escape

KILLED = ("train", "evaluate", "figures", "paper")  # steps in which runs were killed


class Trial(TypedDict):
    """A kind of fault."""

    count: int
    holds: bool


class Stopped(Trial):
    """Faults that end a run: in which steps, and the seconds until it was gone."""

    steps: dict[str, int]
    slowest: float


class Trials(TypedDict, total=False):
    """The trials that the paper reports; a missing one is a failure."""

    kill: Stopped
    kill_late: Stopped
    stop: Stopped
    second: Trial
    odd: Trial
    full_disk: Trial


class Faults(TypedDict):
    """What is read of the record of the fault trials, which holds more."""

    outputs: int
    processor: str
    source_sha256: str
    trials: Trials


def facts(path: Path) -> dict[str, str]:
    """How often each fault was injected.

    Raises Problem when the record is missing or broken, and where a trial is missing or failed: the paper
    says that all passed.
    """
    made = read_record(path, Faults, "make fault-trials")
    trials = made["trials"]
    failed = [name for name in Trials.__annotations__ if not trials.get(name, {}).get("holds")]
    if failed:
        raise Problem(
            f"{path}: {', '.join(failed)} failed or is missing; mend that and run make fault-trials again"
        )
    killed = [trials["kill"], trials["kill_late"]]
    found = {
        "kills": str(sum(one["count"] for one in killed)),
        "stops": str(trials["stop"]["count"]),
        "slowest": f"{trials['stop']['slowest']:.1f}",
        "outputs": str(made["outputs"]),
        "processor": made["processor"],
        "full": str(trials["full_disk"]["count"]),
        "kills-late": str(trials["kill_late"]["count"]),
        "source-hash": made["source_sha256"][:12],
    }
    return found | {f"kills-{step}": str(sum(one["steps"].get(step, 0) for one in killed)) for step in KILLED}


@cli.command
def main() -> None:
    options = cli.parser(__doc__, paths=("trials", "out")).parse_args()
    found = facts(options.trials)
    macros = {f"fact@faults/{name}": escape(text) for name, text in found.items()}
    record.write_text(options.out, definitions(macros))


if __name__ == "__main__":
    main()
