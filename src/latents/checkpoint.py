"""Training checkpoints: written atomically, with a checksum.

A training resumes only from a checkpoint of the same configuration and source.
"""

import contextlib
import io
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from latents import record


@dataclass(frozen=True)
class Checkpoint:
    """A file of training state; `identity` is a hash of everything the state depends on."""

    path: Path
    identity: str

    def write(self, state: dict[str, Any]) -> None:
        """Replace the file by this state, preceded by its SHA-256."""
        buffer = io.BytesIO()
        torch.save(state | {"identity": self.identity}, buffer)
        content = buffer.getvalue()
        record.write_bytes(self.path, bytes.fromhex(record.sha256(content)) + content)

    def read(self, device: torch.device) -> dict[str, Any] | None:
        """The state, or None if there is no file.

        Also None, with a message on stderr, if the file is damaged or has another identity.
        """
        if not self.path.exists():
            return None
        content = self.path.read_bytes()
        seal, content = content[:32], content[32:]
        if record.sha256(content) == seal.hex():
            state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
            if state["identity"] == self.identity:
                return state
            reason = "is of another configuration or source"
        else:
            reason = "is damaged"
        print(f"{self.path}: {reason}; training starts from the beginning", file=sys.stderr)
        return None


@contextlib.contextmanager
def stop_signals() -> Iterator[list[signal.Signals]]:
    """Collect SIGTERM (a scheduler's preemption) and SIGINT (Ctrl-C) in a list instead of ending the process.

    The training loop reads the list and stops before its next step. On exit the old handlers are restored.
    """
    caught: list[signal.Signals] = []
    kinds = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(kind, lambda number, _: caught.append(signal.Signals(number))) for kind in kinds]
    try:
        yield caught
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
