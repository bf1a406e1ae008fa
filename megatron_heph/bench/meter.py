"""What a part of a program costs, measured inside it: CPU, wall time, and memory that was not there before.

Standard library alone: the programs of peers use it too, so that all are measured alike.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """Of this process with all of its threads.

    Attributes:
        cpu: seconds, user + system.
        wall: seconds.
        memory: bytes by which the resident set's peak exceeds what was resident at the start.
    """

    cpu: float
    wall: float
    memory: int


class Meter:
    """Runs from its making on."""

    def __init__(self) -> None:
        # The peak begins anew from what is resident now (proc(5), clear_refs).  Where the kernel does not
        # let us, an earlier peak counts as ours: too much, never too little.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self._resident = _status("VmRSS:")
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def cost(self) -> Cost:
        """Since the start."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        return Cost(cpu, wall, max(_status("VmHWM:") - self._resident, 0))


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))
