r"""The paper's macros on what was done to runs, from the record of the trials.

    python -m latents.report.replay --trials reference/trials.json --out paper/generated/macros_replay.tex

Defines fact@trials/<name> as plain text. Takes a second.
"""

import argparse
from pathlib import Path
from typing import Any

from latents import config, record
from latents.config import Problem
from latents.report.tex import escape


def facts(made: dict[str, Any]) -> dict[str, str]:
    """How often each thing was done, and what held. Raises Problem where one did not: the paper says that all did."""
    trials = made["trials"]
    if failed := [name for name, one in trials.items() if not one["holds"]]:
        raise Problem(f"reference/trials.json: {', '.join(failed)} did not hold; mend that and run make trials again")
    steps = {name: sum(trials[kind]["steps"].get(name, 0) for kind in ("kill", "kill_late")) for name in ("train", "evaluate", "figures", "paper")}
    found = {
        "kills": str(trials["kill"]["count"] + trials["kill_late"]["count"]), "stops": str(trials["stop"]["count"]),
        "slowest": f"{trials['stop']['slowest']:.1f}", "outputs": str(made["outputs"]), "processor": made["processor"],
        "full": str(trials["full_disk"]["count"]) if "full_disk" in trials else "no",
    }  # fmt: skip
    return found | {f"kills-{name}": str(number) for name, number in steps.items()}


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("trials", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    lines = (rf"\expandafter\def\csname fact@trials/{name}\endcsname{{{escape(text)}}}" + "\n" for name, text in facts(record.read_json(options.trials)).items())
    record.write_text(options.out, "".join(lines))


if __name__ == "__main__":
    main()
