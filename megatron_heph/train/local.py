"""Starts the processes of a grid on this machine, and ends them together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from megatron_heph.engine.grid import free_port
from megatron_heph.errors import HephError, StoppedError
from megatron_heph.train.run_folder import RunFolder
from megatron_heph.train.stop import SIGNALS
from megatron_heph.train.worker import LAUNCHER

_GRACE = 30.0                           # seconds that the others get once one process has ended otherwise than well


class WorkerError(HephError):
    """A process of the grid failed; `exit_code` is its own where it has a meaning."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def run_local(folder: RunFolder, world: int, cores: int) -> None:
    """Runs `world` workers on this machine to their end.

    Rank 0 keeps the terminal, the others write to `logs/rank-N.log`.  Requests to stop are passed on; no
    worker outlives this process.  Raises StoppedError if the run was stopped on request, WorkerError if
    a process failed.
    """
    environment = dict(os.environ, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()), WORLD_SIZE=str(world))
    environment.setdefault("OMP_NUM_THREADS", str(max(1, cores // world)))
    environment[LAUNCHER] = str(os.getpid())
    workers: list[subprocess.Popen[bytes]] = []
    asked: list[int] = []               # the signals that asked to stop

    def pass_on(number: int, _: FrameType | None) -> None:
        asked.append(number)
        for worker in workers:
            worker.send_signal(number)

    previous = {number: signal.signal(number, pass_on) for number in SIGNALS}
    try:
        for rank in range(world) if not asked else ():
            workers.append(_start(folder, rank, environment))
        codes = _wait(workers)
    finally:
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.wait()
        for number, handler in previous.items():
            signal.signal(number, handler)
    _judge(folder, codes, asked)


def _start(folder: RunFolder, rank: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "megatron_heph.train.worker", str(folder.path)]
    variables = dict(environment, RANK=str(rank), LOCAL_RANK=str(rank))
    if rank == 0:
        return subprocess.Popen(command, env=variables)
    folder.log(rank).parent.mkdir(parents=True, exist_ok=True)
    with folder.log(rank).open("ab") as log:
        return subprocess.Popen(command, env=variables, stdout=log, stderr=log)


def _wait(workers: Sequence[subprocess.Popen[bytes]]) -> list[int | None]:
    """The exit codes; once one process has failed the others get a while, then None for those still running."""
    deadline: float | None = None
    while True:
        codes = [worker.poll() for worker in workers]
        if None not in codes or (deadline is not None and time.monotonic() > deadline):
            return codes
        if deadline is None and any(code not in (None, 0) for code in codes):
            deadline = time.monotonic() + _GRACE
        time.sleep(0.05)


def _judge(folder: RunFolder, codes: Sequence[int | None], asked: Sequence[int]) -> None:
    """Raises what the exit codes mean; those that a signal of ours ended had not begun to listen."""
    if codes and all(code == 0 for code in codes):
        return
    failed = {rank: code for rank, code in enumerate(codes) if code not in (0, None)}
    if {StoppedError.exit_code, *(-number for number in asked)}.issuperset(failed.values()):
        raise StoppedError("stopped as asked; the same command goes on from the last checkpoint")
    meant = sorted(code for code in failed.values() if code in (2, 3))
    if 0 in failed and meant:
        raise WorkerError("training did not go on (the reason stands above)", meant[0])
    rank, code = next(iter(failed.items()))
    log = folder.log(rank)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if rank and log.is_file() else ""
    where = f"; the end of {log}:\n{tail}" if tail else ""
    name = f"was ended by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with {code}"
    raise WorkerError(f"process {rank} of the grid {name}{where}", meant[0] if meant else 1)
