"""The structure of a data set's description, and the check of its files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from latents import record
from latents.cli import Problem

Part = Literal["train", "test"]
Shape = tuple[int, int, int]  # height, width, channels


@dataclass(frozen=True)
class Archive:
    """A published archive: its path in the data folder, and the files in it (name -> SHA-256)."""

    place: str
    bytes: int
    md5: str  # published with the archive; torchvision checks the same one
    files: dict[str, str]


@dataclass(frozen=True)
class StandIn:
    """The demo's replacement for a data set, which is never printed under the name of the real one."""

    label: str
    classes: tuple[str, ...]
    write: str  # module:function that writes the files below a folder, under the published names


@dataclass(frozen=True)
class DatasetSpec:
    """The description of a data set.

    `read(part, files)` returns images uint8 [n, c, h, w] and labels int64 [n] of a part. Its `files` are the
    path and checked content of each file in `parts[part]`, in this order.
    """

    label: str  # the name its authors use
    shape: Shape
    images: tuple[int, int]  # number in the published training and test files
    classes: tuple[str, ...]  # as printed in legends
    marker: str
    filling: str
    sources: tuple[str, ...]  # addresses that have all archives; the canonical one is first
    archives: tuple[Archive, ...]
    parts: dict[Part, tuple[str, ...]]  # names of the files of each part
    read: Callable[[Part, list["Content"]], tuple[np.ndarray, np.ndarray]]
    stand_in: StandIn | None = None
    white_on_black: bool = False  # on a black background, which a user's own images must have too

    @property
    def files(self) -> dict[str, str]:
        """Name -> SHA-256 of every published file."""
        return {name: sha256 for archive in self.archives for name, sha256 in archive.files.items()}


ANEW = "run again with `--forcerun data` behind the command, and the data will be put in place anew"
Content = tuple[Path, bytes]  # of a file; the path is for messages


def checked(root: Path, name: str, sha256: str) -> Content:
    """Read a file below root and check its SHA-256. Raises Problem."""
    path = root / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Problem(f"{path}: cannot be read ({error.strerror}); {ANEW}") from None
    if record.sha256(content) != sha256:
        raise Problem(f"{path}: corrupt or truncated ({len(content)} bytes, the wrong SHA-256); {ANEW}")
    return path, content
