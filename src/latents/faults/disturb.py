"""What is done to a run in each fault trial; every function returns the trial's part of the record.

`count` is how often the fault was injected, `unlike` names the outputs that then differ from those of an
undisturbed run, and `said`, where a message is due, counts how often it was printed.
"""

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

from latents.cli import Problem
from latents.faults.copies import environment
from latents.faults.short import OUT, WorkflowRun, unlike, unlock

SEED = 20  # of the random moments
EARLIEST = 3.0  # seconds; Snakemake takes about four to start its first job
FIRST_SIZE = 200_000  # bytes of the small disk
PATIENCE = 600.0  # seconds for what takes seconds, on a machine that does much else


def inject_signals(
    folder: Path,
    expected: dict[str, str],
    times: int,
    kinds: tuple[signal.Signals, ...],
    parts: tuple[str, ...],
    longest: float,
) -> dict[str, Any]:
    """Send signals to runs of one folder at random moments, until each kind was sent `times` times.

    A moment lies between EARLIEST and `longest` seconds after the start. A stopped run is started again. A
    run that ends is compared, and then these parts of its outputs are removed, so that the next one has
    something to do.
    """
    moments, steps, slowest, wrong = random.Random(SEED), Counter(), 0.0, []
    left = [kind for _ in range(times) for kind in kinds]
    runs = 0
    while True:
        with WorkflowRun(folder) as run:
            try:
                run.process.wait(moments.uniform(EARLIEST, longest) if left else None)
            except subprocess.TimeoutExpired:
                step, kind = run.step(), left.pop()
                steps[step] += 1
                slowest = max(slowest, run.stop(kind))
                print(f"{kind.name} in {step}; {len(left)} to go", flush=True)
                unlock(folder)
                continue
            run.end()
        runs += 1
        wrong += unlike(folder, expected)
        if not left:
            break
        without(folder, parts)
    return {
        "count": times * len(kinds),
        "steps": dict(steps),
        "runs": runs,
        "slowest": round(slowest, 2),
        "unlike": wrong,
    }


def without(folder: Path, parts: tuple[str, ...]) -> Path:
    """Remove these parts of the folder's outputs; returns the folder."""
    for part in parts:
        rmtree(folder / OUT / part)
    return folder


def second(folder: Path, expected: dict[str, str]) -> dict[str, Any]:
    """A second run in the same folder is refused while the first one goes on."""
    with WorkflowRun(folder) as first:
        refused = refuses(folder, first)
        first.end()
    return {"count": 1, "said": int(refused), "unlike": unlike(folder, expected)}


def refuses(folder: Path, first: WorkflowRun) -> bool:
    """Whether a second run in the folder is refused, with the reason, once the first has its lock."""
    started = time.monotonic()
    while not first.locked() and time.monotonic() - started < PATIENCE:
        time.sleep(0.1)
    done = subprocess.run(
        first.process.args,
        cwd=folder,
        env=environment(folder),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode != 0 and "cannot be locked" in done.stdout


def odd(folder: Path, expected: dict[str, str]) -> dict[str, Any]:
    """A run on one core, in another time zone, without a home folder or a locale."""
    with WorkflowRun(folder, cores=1, **elsewhere(folder)) as run:
        run.end()
    return {"count": 1, "unlike": unlike(folder, expected)}


def elsewhere(folder: Path) -> dict[str, str]:
    """Environment variables: another time zone, no locale, and a home folder that not even root can make.

    Snakemake, which does not start without a folder for its cache, is given one.
    """
    home = {"HOME": "/dev/null/home", "XDG_CACHE_HOME": f"{folder}/.cache"}
    return home | {"TZ": "Asia/Kathmandu", "LANG": "", "LC_ALL": ""}


def can_mount(folder: Path) -> bool:
    """Whether a tmpfs can be mounted here; the folder is made."""
    folder.mkdir(exist_ok=True)
    try:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True, capture_output=True)
    except (subprocess.CalledProcessError, FileNotFoundError):
        return False
    subprocess.run(["umount", folder], check=True)
    return True


@contextmanager
def disk(place: Path, option: str) -> Iterator[None]:
    """A tmpfs at a new folder, which is unmounted at the end."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", option, "tmpfs", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


def full_disk(folder: Path, expected: dict[str, str], total: int) -> dict[str, Any]:
    """Outputs on a disk that is full again and again, each time with a little more room.

    No file under a final name is ever incomplete. `total` is the size in bytes of all outputs.
    """
    place = folder / OUT
    size, step, count, said, wrong = FIRST_SIZE, total // 20, 0, 0, []
    with disk(place, f"size={size}"):
        while True:
            with WorkflowRun(folder) as run:
                if run.process.wait() == 0:
                    break
                printed = run.printed()
            if size > 3 * total:
                tail = printed[-800:]
                raise Problem(f"{folder}: fails with room to spare ({tail}); correct that and run again")
            count += 1
            said += "No space left on device" in printed
            wrong += unlike(folder, expected, whole=False)
            size += step
            subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)
        wrong += unlike(folder, expected)
    return {"count": count, "said": said, "unlike": wrong}


def read_only(folder: Path) -> dict[str, Any]:
    """Outputs on a disk that cannot be written: the run fails with a message that gives the reason."""
    with disk(folder / OUT, "ro"), WorkflowRun(folder) as run:
        failed = run.process.wait() != 0
    return {"count": 1, "said": int(failed and "Read-only file system" in run.printed()), "unlike": []}
