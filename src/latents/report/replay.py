r"""The paper's macros on what was done to runs, from the record of the trials.

    python -m latents.report.replay --trials reference/trials.json --out paper/generated/macros_replay.tex

Defines fact@trials/<name> as plain text. Takes a second.
"""

import argparse
from pathlib import Path

from latents import config, record
from latents.config import Problem
from latents.report.tex import definitions, escape

TOLD = ("kill", "kill_late", "stop", "second", "odd", "full_disk")  # trials that the paper tells of


def facts(path: Path) -> dict[str, str]:
    """How often each thing was done. Raises Problem where one was left out or did not hold: the paper says that all did."""
    made = record.read_json(path)
    trials = made["trials"]
    if failed := [name for name in TOLD if not trials.get(name, {}).get("holds")]:
        raise Problem(f"{path}: {', '.join(failed)} did not hold or is not in it; mend that and run make trials again")
    steps = {name: sum(trials[kind]["steps"].get(name, 0) for kind in ("kill", "kill_late")) for name in ("train", "evaluate", "figures", "paper")}
    found = {
        "kills": str(trials["kill"]["count"] + trials["kill_late"]["count"]), "stops": str(trials["stop"]["count"]),
        "slowest": f"{trials['stop']['slowest']:.1f}", "outputs": str(made["outputs"]), "processor": made["processor"],
        "full": str(trials["full_disk"]["count"]), "kills-late": str(trials["kill_late"]["count"]), "source-hash": made["source_sha256"][:12],
    }  # fmt: skip
    return found | {f"kills-{name}": str(number) for name, number in steps.items()}


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("trials", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    found = facts(options.trials)
    record.write_text(options.out, definitions({f"fact@trials/{name}": escape(text) for name, text in found.items()}))


if __name__ == "__main__":
    main()
