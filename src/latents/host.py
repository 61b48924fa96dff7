"""What the machine has, found out without torch, which takes seconds to import."""

import os
from pathlib import Path

SHARE = 0.9  # of the memory, for jobs
JOB = 3_500_000_000  # bytes for which an evaluation asks in the Snakefile


def memory() -> int:
    """Bytes of memory of this machine, or of this container where it is allowed less."""
    here = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    allowed = limit.read_text().strip() if limit.exists() else "max"
    return min(here, int(allowed)) if allowed.isdigit() else here


def jobs_at_once(cores: int, threads: int) -> int:
    """How many jobs of a study run at once here: as many as cores and memory allow, at least one."""
    return max(1, min(cores // threads, int(SHARE * memory()) // JOB))


def has_gpu() -> bool:
    """Whether the driver of a GPU of NVIDIA or AMD shows one."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/kfd").exists()
