"""A command run as a child process, and what it cost: CPU time, wall time, peak memory of all its processes."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SAMPLE_SECONDS = 0.02


class CommandFailedError(Exception):
    """A measured command ended with another code than 0; the text is the end of what it said."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process and its descendants used.

    Attributes:
        cpu: seconds, user + system, of the process and all descendants that were waited for.
        wall: seconds.
        peak_memory: bytes, sampled every 20 ms: of one process its resident set (not less than the
            kernel's own high-water mark), of several the sum of their proportional sets, in which a page
            that n of them share counts 1/n in each.
    """

    cpu: float
    wall: float
    peak_memory: int


def run_measured(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Usage:
    """Runs a command to its end, its output in `log`, and says what it used.

    `environment` is added to this process's own.  Raises CommandFailedError if it fails.
    """
    began = time.perf_counter()
    with log.open("wb") as out:
        child = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(environment or {})}
        )
        with _PeakMemory(child.pid) as memory:
            # wait4, not RUSAGE_CHILDREN: this child alone.  Its own maximum of memory is not used, since a
            # child begins with what its parent held when it was forked.
            _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        said = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
        raise CommandFailedError(f"exit code {child.returncode}: {said[-1]}")
    return Usage(used.ru_utime + used.ru_stime, time.perf_counter() - began, memory.peak)


class _PeakMemory:
    """Samples the memory of a process and its descendants in a thread, from /proc."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> _PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            pids = _tree(self._pid)
            proportional = sum(_field(pid, "smaps_rollup", "Pss:") for pid in pids) if len(pids) > 1 else 0
            self.peak = max(self.peak, proportional, *(_field(pid, "status", "VmHWM:") for pid in pids))


def _tree(pid: int) -> list[int]:
    """A process and its descendants, as far as they still run."""
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        for path in Path(f"/proc/{found[-1]}/task").glob("*/children"):
            waiting += map(int, _text(path).split())
    return found


def _field(pid: int, file: str, name: str) -> int:
    """Bytes, from a line `name: N kB` of one of a process's files; 0 if it has ended."""
    lines = _text(Path(f"/proc/{pid}/{file}")).splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(name)), 0)


def _text(path: Path) -> str:
    """A file's text; empty if its process has ended."""
    try:
        return path.read_text()
    except OSError:
        return ""
