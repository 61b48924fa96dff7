"""Do to a run what a real machine does to it, and compare what it leaves with an undisturbed run, byte by byte.

    python -m latents.trials --out results/trials.json [--kills 40] [--signals 5] [--folder /somewhere/with/room]

Over a shortened demo: SIGKILL at random moments, SIGTERM and SIGINT, a disk that fills up, a folder with an odd name on one core
in another time zone, a second run in the same folder, a folder that cannot be written. Each disturbed run is
started again by the same command, as often as it takes. Prints a line for each trial, writes all of it, and ends with
status 1 when one did not hold. An hour on two cores; a small disk is a tmpfs, which takes root (else it is left out, and said).
Stopped and started again, or after one that did not hold, it repeats no trial that held.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

from latents import config, record
from latents.config import Problem
from latents.trials.copies import environment
from latents.trials.short import OUT, Run, outputs, prepare, unlike, unlock

SEED = 20  # of the moments
GRACE = 5.0  # seconds in which a stopped run must be gone
ODD = "latente Räume, drei Wege"
DISKS = ("full_disk", "read_only")  # trials that need a small disk of their own


def struck(folder: Path, expected: dict[str, str], times: int, kinds: tuple[signal.Signals, ...], parts: tuple[str, ...], longest: float) -> dict[str, Any]:
    """Strike runs of one folder at random moments, until each signal was sent `times` times; a run that ends is compared.

    Then these parts of its outputs are removed, so that there is something to strike. Snakemake needs some four seconds to start a
    first job; a moment lies between 3 and `longest` seconds.
    """
    draw, steps, slowest, wrong = random.Random(SEED), Counter(), 0.0, []
    left = [kind for _ in range(times) for kind in kinds]
    runs = 0
    while True:
        run = Run(folder)
        try:
            run.process.wait(draw.uniform(3.0, longest) if left else None)
        except subprocess.TimeoutExpired:
            step, kind = run.running(), left.pop()
            steps[step] += 1
            slowest = max(slowest, run.strike(kind))
            print(f"{kind.name} in {step}; {len(left)} to go", flush=True)
            unlock(folder)
            continue
        run.end()
        runs += 1
        wrong += unlike(folder, expected)
        if not left:
            break
        without(folder, parts)
    return {"count": times * len(kinds), "steps": dict(steps), "runs": runs, "slowest": round(slowest, 2), "unlike": wrong}


def without(folder: Path, parts: tuple[str, ...]) -> Path:
    """The folder, these parts of its outputs removed."""
    for part in parts:
        rmtree(folder / OUT / part)
    return folder


def mounts(folder: Path) -> bool:
    """Whether a tmpfs can be mounted here."""
    folder.mkdir(exist_ok=True)
    try:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True, capture_output=True)
    except (subprocess.CalledProcessError, FileNotFoundError):
        return False
    subprocess.run(["umount", folder], check=True)
    return True


def full_disk(folder: Path, expected: dict[str, str], total: int) -> dict[str, Any]:
    """Outputs on a disk that is full again and again, each time with a little more room; nothing half-written under a final name."""
    place = folder / OUT
    place.mkdir()
    size, step, count, said, wrong = 200_000, total // 20, 0, 0, []
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
    try:
        while True:
            run = Run(folder)
            if run.process.wait() == 0:
                break
            if size > 3 * total:
                raise Problem(f"{folder}: fails with room to spare ({run.printed()[-800:]}); mend that and run again")
            count += 1
            printed = run.printed()
            said += "No space left on device" in printed
            wrong += unlike(folder, expected, whole=False)
            size += step
            subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)
        wrong += unlike(folder, expected)
    finally:
        subprocess.run(["umount", place], check=True)
    return {"count": count, "said": said, "unlike": wrong}


def read_only(folder: Path) -> dict[str, Any]:
    """Outputs on a disk that cannot be written: one line says so."""
    place = folder / OUT
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", place], check=True)
    try:
        run = Run(folder)
        failed = run.process.wait() != 0
    finally:
        subprocess.run(["umount", place], check=True)
    return {"count": 1, "said": int(failed and "Read-only file system" in run.printed()), "unlike": []}


def second(folder: Path, expected: dict[str, str]) -> dict[str, Any]:
    """A second run in the same folder is refused while the first one goes on."""
    first = Run(folder)
    time.sleep(10)
    done = subprocess.run(
        [*first.process.args], cwd=folder, env=environment(folder), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False
    )
    refused = done.returncode != 0 and "cannot be locked" in done.stdout
    first.end()
    return {"count": 1, "said": int(refused), "unlike": unlike(folder, expected)}


def odd(folder: Path, expected: dict[str, str]) -> dict[str, Any]:
    """A run on one core, in another time zone, without a home or a language."""
    Run(folder, cores=1, TZ="Asia/Kathmandu", HOME="/nowhere", LANG="", LC_ALL="").end()
    return {"count": 1, "unlike": unlike(folder, expected)}


def held(path: Path, made: dict[str, Any]) -> dict[str, Any]:
    """The trials of an earlier record that held, where they were made of the same source on the same processor."""
    if not path.exists():
        return {}
    earlier = record.read_json(path)
    same = all(earlier.get(key) == value for key, value in made.items())
    return {name: one for name, one in earlier["trials"].items() if same and one["holds"]}


def holds(found: dict[str, Any]) -> bool:
    return not found["unlike"] and found.get("said", found["count"]) == found["count"] and found.get("slowest", 0.0) <= GRACE


@config.command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folder", type=Path, help="where the copies go; the system's temporary folder otherwise")
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--signals", type=int, default=5, help="of each of SIGTERM and SIGINT")
    options = parser.parse_args()
    late = options.kills // 4  # figures and paper are a small part of a run's time: some are meant for them
    drawn, cells = ("figures", "paper"), ("checkpoints", "results")
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        work = Path(temporary)
        whole = prepare(work / "whole")
        Run(whole).end()
        expected = outputs(whole)
        total = sum((whole / OUT / name).stat().st_size for name in expected)
        again = lambda name, parts: without(Path(copytree(whole, work / name)), parts)  # noqa: E731
        trials = {
            "kill": lambda: struck(prepare(work / "kill"), expected, options.kills - late, (signal.SIGKILL,), ("",), 25.0),
            "kill_late": lambda: struck(again("late", drawn), expected, late, (signal.SIGKILL,), drawn, 9.0),
            "stop": lambda: struck(again("stop", cells), expected, options.signals, (signal.SIGTERM, signal.SIGINT), cells, 15.0),
            "second": lambda: second(again("second", drawn), expected),
            "odd": lambda: odd(prepare(work / ODD), expected),
            "full_disk": lambda: full_disk(prepare(work / "full"), expected, total),
            "read_only": lambda: read_only(prepare(work / "read")),
        }
        made = {"format": record.FORMAT, "outputs": len(expected), "source_sha256": record.source_sha256(), "processor": record.processor()}
        found = held(options.out, made)
        for name in (name for name in trials if name not in found):
            if name in DISKS and not mounts(work / "probe"):
                print(f"{name} is left out: no tmpfs can be mounted here", file=sys.stderr)
                continue
            one = trials[name]()
            found[name] = one | {"holds": holds(one)}
            record.write_json(options.out, made | {"trials": found})
    for name, one in found.items():
        print(f"{name:10} {'holds' if one['holds'] else 'DOES NOT HOLD':14} {({key: value for key, value in one.items() if key != 'holds'})}")
    sys.exit(not all(one["holds"] for one in found.values()))


if __name__ == "__main__":
    main()
