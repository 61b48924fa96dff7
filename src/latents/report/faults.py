r"""The paper's macros on injected faults, from the record of the fault trials.

    python -m latents.report.faults --trials reference/fault_trials.json \
        --out paper/generated/macros_faults.tex

Defines fact@faults/<name> as plain text. Takes a second.
"""

from pathlib import Path

from latents import cli, record
from latents.cli import Problem
from latents.report.tex import definitions, escape

REPORTED = ("kill", "kill_late", "stop", "second", "odd", "full_disk")  # trials that the paper reports
KILLED = ("train", "evaluate", "figures", "paper")  # steps in which runs were killed


def facts(path: Path) -> dict[str, str]:
    """How often each fault was injected.

    Raises Problem where a trial is missing or failed: the paper says that all passed.
    """
    made = record.read_json(path)
    trials = made["trials"]
    failed = [name for name in REPORTED if not trials.get(name, {}).get("holds")]
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
