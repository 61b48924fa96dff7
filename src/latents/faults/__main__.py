"""Fault trials: disturb runs of the workflow, and compare their outputs with an undisturbed run's.

    python -m latents.faults --out results/fault_trials.json [--folder /tmp]

The runs are of a shortened demo, and outputs are compared byte by byte. The faults are SIGKILL at random
moments, SIGTERM and SIGINT, a disk that fills up, a disk that cannot be written, a second run in the same
folder, and a folder with an odd name on one core in another time zone. A disturbed run is started again by
the same command until it ends. Prints a line for each trial, writes the record, and ends with status 1 when
a trial did not hold. Takes about an hour on two cores. The two trials of disks need a tmpfs, which only
root can mount; without it they are left out, with a message. Started again with the same code on the same
kind of processor, it does not repeat a trial that held.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

from latents import cli, record
from latents.faults.disturb import can_mount, full_disk, inject_signals, odd, read_only, second, without
from latents.faults.short import OUT, WorkflowRun, outputs, prepare

KILLS = 40
SIGNALS = 5  # of each of SIGTERM and SIGINT
GRACE = 5.0  # seconds within which a stopped run must be gone
ODD = "latente Räume, drei Wege"  # the odd name of a folder
DISKS = ("full_disk", "read_only")  # trials that need a tmpfs
PRINTED, MEASURED = ("figures", "paper"), ("checkpoints", "results")  # parts of the outputs


def trials_of(work: Path, whole: Path, expected: dict[str, str]) -> dict[str, Callable[[], dict[str, Any]]]:
    """Name -> trial, in folders below `work`; `whole` is the undisturbed run, `expected` its outputs.

    A quarter of the kills come late: figures and paper are a small part of a run's time.
    """
    late, stops = KILLS // 4, (signal.SIGTERM, signal.SIGINT)
    total = sum((whole / OUT / name).stat().st_size for name in expected)

    def finished(name: str, parts: tuple[str, ...]) -> Path:
        """A copy of the undisturbed run without these parts of its outputs."""
        return without(Path(copytree(whole, work / name)), parts)

    return {
        "kill": lambda: inject_signals(
            prepare(work / "kill"), expected, KILLS - late, (signal.SIGKILL,), ("",), 25.0
        ),
        "kill_late": lambda: inject_signals(
            finished("late", PRINTED), expected, late, (signal.SIGKILL,), PRINTED, 9.0
        ),
        "stop": lambda: inject_signals(finished("stop", MEASURED), expected, SIGNALS, stops, MEASURED, 15.0),
        "second": lambda: second(finished("second", PRINTED), expected),
        "odd": lambda: odd(prepare(work / ODD), expected),
        "full_disk": lambda: full_disk(prepare(work / "full"), expected, total),
        "read_only": lambda: read_only(prepare(work / "read")),
    }


def held(path: Path, made: dict[str, Any]) -> dict[str, Any]:
    """The trials of an earlier record at `path` that held, if it has the same header `made`; else none.

    The header names the code, workflow included, and the processor.
    """
    earlier = record.read_json(path) if path.exists() else {}
    if any(earlier.get(key) != value for key, value in made.items()):
        return {}
    return {name: one for name, one in earlier["trials"].items() if one["holds"]}


def holds(found: dict[str, Any]) -> bool:
    """Whether no output differs, all messages were printed, and stopped runs ended within GRACE seconds."""
    printed = found.get("said", found["count"]) == found["count"]
    return not found["unlike"] and printed and found.get("slowest", 0.0) <= GRACE


def run_trials(options: argparse.Namespace) -> dict[str, Any]:
    """Make the undisturbed run and every trial that has not held yet; the record is written after each."""
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        work = Path(temporary)
        whole = prepare(work / "whole")
        with WorkflowRun(whole) as run:
            run.end()
        expected = outputs(whole)
        trials = trials_of(work, whole, expected)
        made = {"format": record.FORMAT, "outputs": len(expected), "source_sha256": record.source_sha256()}
        workflow = [record.ROOT / "Snakefile", *(record.ROOT / "rules").glob("*.smk"), *record.build_files()]
        made["workflow_sha256"] = record.tree_sha256([*{*workflow, *Path(__file__).parent.glob("*.py")}])
        made["processor"] = record.processor()
        found = held(options.out, made)
        for name in (name for name in trials if name not in found):
            if name in DISKS and not can_mount(work / "probe"):
                print(f"{name} is left out: no tmpfs can be mounted here", file=sys.stderr)
                continue
            one = trials[name]()
            found[name] = one | {"holds": holds(one)}
            record.write_json(options.out, made | {"trials": found})
    return found


def interrupted(number: int, _: object) -> None:
    """End by a signal as by an error, so that what was started is stopped and the copies are removed."""
    signal.signal(number, signal.SIG_IGN)  # once is enough: a second would interrupt the tidying
    print(f"stopped by {signal.Signals(number).name}; the same command goes on", file=sys.stderr)
    sys.exit(128 + number)


@cli.command
def main() -> None:
    for kind in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(kind) != signal.SIG_IGN:  # as under nohup
            signal.signal(kind, interrupted)
    parser = cli.parser(__doc__, paths=("out",))
    parser.add_argument(
        "--folder", type=Path, help="where the copies go (default: the system's temporary folder)"
    )
    found = run_trials(parser.parse_args())
    for name, one in found.items():
        details = {key: value for key, value in one.items() if key != "holds"}
        print(f"{name:10} {'holds' if one['holds'] else 'DOES NOT HOLD':14} {details}")
    sys.exit(not all(one["holds"] for one in found.values()))


if __name__ == "__main__":
    main()
