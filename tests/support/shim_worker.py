"""Trains the tiny model with one shim left out, in processes forked after the slow imports.

`python -m support.shim_worker JOBS.json`; prints one JSON object: shim -> what happened on each rank.
"""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.connection
import os
import socket
import sys
import traceback
from pathlib import Path
from typing import Any


def train_without(shim: str, table: dict[str, Any], rank: int, world: int, port: str, log: Path) -> None:
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        os.environ.update(RANK=str(rank), WORLD_SIZE=str(world), MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        from megatron_heph.engine import shims

        shims.install(without=[shim])
        if shim == "cpu_tensors_pass_for_cuda":
            import contextlib

            shims.cpu_tensors_pass_for_cuda = contextlib.nullcontext
        try:
            from support.grid_worker import run_jobs

            run_jobs([table])
        except BaseException:
            traceback.print_exc()
            file.flush()
            os._exit(1)
        os._exit(0)


def outcome(shim: str, table: dict[str, Any], folder: Path) -> str:
    """"" if every rank finished, else the ends of the logs of those that failed."""
    sizes = table["parallel"]
    world = sizes.get("tensor", 1) * sizes.get("pipeline", 1) * sizes.get("context", 1) * sizes.get("data", 1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    context = multiprocessing.get_context("fork")
    logs = [folder / f"{shim}-{rank}.log" for rank in range(world)]
    ranks = [context.Process(target=train_without, args=(shim, table, r, world, port, logs[r])) for r in range(world)]
    for process in ranks:
        process.start()
    try:
        while any(p.is_alive() for p in ranks) and not any(p.exitcode for p in ranks):
            multiprocessing.connection.wait([p.sentinel for p in ranks if p.is_alive()], timeout=60)
        for process in ranks if any(p.exitcode for p in ranks) else ():
            process.join(timeout=5)  # one rank met the reason, the other perhaps only the end of its peer
        return "\n".join(logs[i].read_text()[-2000:] for i, p in enumerate(ranks) if p.exitcode)
    finally:
        for process in ranks:
            process.kill()
            process.join()


def main() -> None:
    import torch

    torch.set_num_threads(1)
    from megatron_heph.engine import shims

    shims.SHIMS["triton"]()  # without it 0.19 cannot even be imported; it is tried on its own
    import megatron.core.models.gpt
    import megatron.core.optimizer  # noqa: F401

    jobs, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[1]).parent
    print(json.dumps({shim: outcome(shim, table, folder) for shim, table in jobs.items()}))


if __name__ == "__main__":
    main()
