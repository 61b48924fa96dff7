"""The workflow's own cost: a no-op, one figure, the whole paper, the start of a job, and the study's seconds by part."""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from latents import record
from latents.config import Problem
from latents.trials import copies

ESSENTIAL = ("training", "encode", "probe", "train decoder", "decode", "t-SNE")  # parts of jobs that are the study itself


def timed(*command: str, folder: Path, environment: dict[str, str]) -> float:
    """Seconds of a whole command; raises Problem with the end of its output when it fails."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise Problem(f"{' '.join(command)}: failed in the benchmark ({done.stdout[-800:]}); mend that and run again")
    return time.perf_counter() - started


def measure(rounds: int, reference: Path) -> dict[str, list[float]]:
    """Seconds, round by round, in a copy of the checkout: a no-op of the finished study, one figure and the paper from the reference, a job's start."""
    snakemake = copies.SNAKEMAKE
    with tempfile.TemporaryDirectory() as temporary:
        folder = copies.copy_checkout(Path(temporary) / "checkout", reference)
        environment = copies.environment(folder)
        figure = "from-reference/figures/tsne_cifar10.pdf"
        found: dict[str, list[float]] = {"figure": [], "paper": [], "noop": [], "start": []}
        finish(snakemake, folder, environment)
        for _ in range(rounds):
            shutil.rmtree(folder / "from-reference", ignore_errors=True)
            found["figure"].append(timed(snakemake, "--cores", "1", figure, "--config", "results=reference", folder=folder, environment=environment))
            found["paper"].append(timed(snakemake, "--cores", "2", "--config", "results=reference", folder=folder, environment=environment))
            found["noop"].append(timed(snakemake, "--cores", "2", folder=folder, environment=environment))
            found["start"].append(timed(sys.executable, "-m", "latents.train", "--help", folder=folder, environment=environment))
    return found


def finish(snakemake: str, folder: Path, environment: dict[str, str]) -> None:
    """Put a file under every name that the study makes, and have Snakemake take them for its own: a finished run."""
    done = subprocess.run([snakemake, "--summary"], cwd=folder, env=environment, text=True, capture_output=True)
    if done.returncode:
        raise Problem(f"snakemake --summary failed in a copy of the checkout ({(done.stdout + done.stderr)[-800:]}); mend that and run again")
    outputs = [line.split("\t")[0] for line in done.stdout.splitlines()[1:]]
    for name in outputs:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("made up for the time of a no-op\n")
    timed(snakemake, "--cores", "1", "--touch", folder=folder, environment=environment)
    done = subprocess.run([snakemake, "--dry-run"], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if "Nothing to be done" not in done.stdout:
        raise Problem(f"{folder}: a finished run has something to do there ({done.stdout[-800:]}); mend the Snakefile")


def overhead(reference: Path, seconds: dict[str, float]) -> dict[str, float]:
    """Seconds of the reference's study by part: its timing files; `seconds` of this machine for what has none.

    Those are a process start for each job (data, similarity and the summary have no timing of their own) and the
    workflow's: one pass over the jobs, a figure, all other figures, tables and the paper.
    """
    parts: dict[str, float] = {}
    files = sorted(reference.glob("timing/**/*.json"))
    for path in files:
        timing = record.read_json(path)
        for part, spent in timing.get("parts", {"t-SNE": timing["seconds"]}).items():
            parts[part] = parts.get(part, 0.0) + spent
    if missing := [part for part in ESSENTIAL if part not in parts]:
        raise Problem(f"{reference}/timing: no job has the part {missing[0]!r}; finish a study with this version and keep it (make reference)")
    untimed = 2 * len([*reference.glob("timing/*")]) + 1
    workflow = seconds["noop"] + seconds["figure"] + seconds["paper"]
    return parts | {"process starts": seconds["start"] * (len(files) + untimed), "workflow": workflow}


def peak_gib(reference: Path) -> float:
    """The most memory in GiB that a training or evaluation of the reference's study took on CIFAR-10."""
    files = reference.glob("timing/cifar10/**/*.json")
    return max((record.read_json(path).get("peak_memory_bytes", 0) for path in files), default=0) / 2**30


def overhead_share(parts: dict[str, float]) -> float:
    """Share of the seconds that is neither training, encoding, probing, decoding nor t-SNE."""
    return 1 - sum(parts.get(part, 0.0) for part in ESSENTIAL) / sum(parts.values())
