"""One process of a test grid: runs several recipes one after another, so that imports are paid once.

`python -m support.grid_worker JOBS.json`, with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def run_jobs(tables: list[dict[str, Any]]) -> None:
    import torch

    torch.set_num_threads(1)
    import torch.distributed as dist

    from megatron_heph.recipe.resolve import recipe_from_table, resolve
    from megatron_heph.recipe.resolved import Machine
    from megatron_heph.train.run_folder import RunFolder
    from megatron_heph.train.session import train
    from megatron_heph.train.stop import StopRequest
    from megatron_heph.train.worker import silence_notes

    silence_notes()
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    dist.init_process_group("gloo", rank=rank, world_size=world)
    for table in tables:
        resolved = resolve(recipe_from_table(table), Machine(cores=world, gpus=0, world=world))
        folder = RunFolder(resolved.run)
        resolved = folder.settle(resolved)
        if rank == 0:
            folder.prepare(resolved)
        dist.barrier()
        train(resolved, folder, StopRequest())
    dist.destroy_process_group()


if __name__ == "__main__":
    run_jobs(json.loads(Path(sys.argv[1]).read_text()))
