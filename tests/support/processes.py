"""Starts real processes for tests: a grid of workers, or the command line."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def environment(megatron: Path | None = None, **more: str) -> dict[str, str]:
    """This environment, with the tree on the path, one thread, and another megatron-core first if one is given."""
    folders = [str(megatron)] if megatron else []
    path = os.pathsep.join([*folders, str(ROOT), str(ROOT / "tests")])
    clean = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")}
    return {**clean, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


def run_grid(
    jobs: list[dict[str, Any]], world: int, scratch: Path, megatron: Path | None = None,
    worker: str = "support.grid_worker",
) -> None:
    """Runs jobs (for this worker: recipes as plain tables) one after another on a grid of `world` processes."""
    listing = scratch / f"jobs-{world}-{len(list(scratch.glob('jobs-*')))}.json"
    listing.write_text(json.dumps(jobs))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = environment(megatron, WORLD_SIZE=str(world), MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    command = [sys.executable, "-m", worker, str(listing)]
    outputs = [scratch / f"{listing.stem}-rank-{rank}.log" for rank in range(world)]
    workers = []
    for rank, output in enumerate(outputs):
        with output.open("w") as file:
            workers.append(subprocess.Popen(command, env={**shared, "RANK": str(rank)}, stdout=file, stderr=file))
    try:
        codes = [worker.wait(timeout=600) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert codes == [0] * world, "\n".join(output.read_text()[-3000:] for output in outputs)


def heph(*arguments: str | Path, megatron: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs `heph` as a user does; returns its exit code and what it printed."""
    command = [sys.executable, "-m", "megatron_heph.cli.main", *map(str, arguments)]
    return subprocess.run(command, env=environment(megatron), capture_output=True, text=True, timeout=600, **options)
