"""What the machine has, found out without torch, which takes seconds to import."""

import os
from pathlib import Path


def memory() -> int:
    """Bytes of memory of this machine, or of this container where it is allowed less."""
    here = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    allowed = limit.read_text().strip() if limit.exists() else "max"
    return min(here, int(allowed)) if allowed.isdigit() else here


def has_gpu() -> bool:
    """Whether the driver of a GPU of NVIDIA or AMD shows one."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/kfd").exists()
