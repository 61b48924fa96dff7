"""What the workflow costs: a no-op, one figure, the whole paper, a job's start, the seconds of a study."""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from latents import record
from latents.cli import Problem
from latents.faults.copies import SNAKEMAKE, copy_checkout, environment

# parts of jobs that are the study itself
ESSENTIAL = ("training", "encode", "probe", "train decoder", "decode", "t-SNE")
FIGURE = "from-reference/figures/tsne_cifar10.pdf"


def timed(*command: str, folder: Path, environment: dict[str, str]) -> float:
    """Seconds of a whole command; raises Problem with the end of its output when it fails."""
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        tail = done.stdout[-800:]
        raise Problem(f"{' '.join(command)}: failed in the benchmark ({tail}); correct that and run again")
    return time.perf_counter() - started


def measure(rounds: int, reference: Path) -> dict[str, list[float]]:
    """Seconds in each round, in a copy of the checkout that has the reference's results.

    `noop`: the workflow of a finished study; `figure` and `paper`: from the reference; `start`: of a job's
    process.
    """
    from_reference = ("--config", "results=reference")
    with tempfile.TemporaryDirectory() as temporary:
        folder = copy_checkout(Path(temporary) / "checkout", reference)
        place = {"folder": folder, "environment": environment(folder)}
        found: dict[str, list[float]] = {"figure": [], "paper": [], "noop": [], "start": []}
        finish(folder, place["environment"])
        for _ in range(rounds):
            shutil.rmtree(folder / "from-reference", ignore_errors=True)
            found["figure"].append(timed(SNAKEMAKE, "--cores", "1", FIGURE, *from_reference, **place))
            found["paper"].append(timed(SNAKEMAKE, "--cores", "2", *from_reference, **place))
            found["noop"].append(timed(SNAKEMAKE, "--cores", "2", **place))
            found["start"].append(timed(sys.executable, "-m", "latents.train", "--help", **place))
    return found


def finish(folder: Path, environment: dict[str, str]) -> None:
    """Make every output of the study a file that Snakemake takes for its own, as after a finished run."""
    done = subprocess.run(
        [SNAKEMAKE, "--summary"], cwd=folder, env=environment, text=True, capture_output=True
    )
    if done.returncode:
        tail = (done.stdout + done.stderr)[-800:]
        raise Problem(
            f"snakemake --summary failed in a copy of the checkout ({tail}); correct that and run again"
        )
    outputs = [line.split("\t")[0] for line in done.stdout.splitlines()[1:]]
    for name in outputs:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a stub, for timing a no-op\n")
    # the one result that the workflow itself reads
    record.write_json(folder / "results/machine.json", {"format": record.FORMAT, "precision": "float32"})
    timed(SNAKEMAKE, "--cores", "1", "--touch", folder=folder, environment=environment)
    done = subprocess.run(
        [SNAKEMAKE, "--dry-run"],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if "Nothing to be done" not in done.stdout:
        tail = done.stdout[-800:]
        raise Problem(f"{folder}: a finished run still has jobs there ({tail}); correct the Snakefile")


def overhead(reference: Path, seconds: dict[str, float]) -> dict[str, float]:
    """Seconds of the reference's study by part, from its timing files; `seconds` are those of `measure` here.

    Added are the start of a process for each job, also for those without a timing file (data, similarity,
    summary), and the workflow: one pass over the jobs, one figure, and all other figures, tables and the
    paper.
    """
    parts: dict[str, float] = {}
    files = sorted(reference.glob("timing/**/*.json"))
    for path in files:
        timing = record.read_json(path)
        for part, spent in timing.get("parts", {"t-SNE": timing["seconds"]}).items():
            parts[part] = parts.get(part, 0.0) + spent
    if missing := [part for part in ESSENTIAL if part not in parts]:
        raise Problem(
            f"{reference}/timing: no job has the part {missing[0]!r}; "
            "finish a study with this version and keep its results (make reference)"
        )
    untimed = 2 * len([*reference.glob("timing/*")]) + 1
    workflow = seconds["noop"] + seconds["figure"] + seconds["paper"]
    return parts | {"process starts": seconds["start"] * (len(files) + untimed), "workflow": workflow}


def overhead_share(parts: dict[str, float]) -> float:
    """Share of the seconds that is neither training, encoding, probing, decoding nor t-SNE."""
    return 1 - sum(parts.get(part, 0.0) for part in ESSENTIAL) / sum(parts.values())


def peak_gib(reference: Path) -> float:
    """The peak memory in GiB of the trainings and evaluations of the reference's study on CIFAR-10."""
    files = reference.glob("timing/cifar10/**/*.json")
    return max((record.read_json(path).get("peak_memory_bytes", 0) for path in files), default=0) / 2**30
