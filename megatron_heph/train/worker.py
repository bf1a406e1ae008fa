"""One process of a grid: `python -m megatron_heph.train.worker RUN`, started by the local launcher or by Slurm."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

from megatron_heph.errors import HephError
from megatron_heph.recipe.resolve import Machine, Resolved
from megatron_heph.train.run_folder import RunFolder
from megatron_heph.train.stop import StopRequest


def run_here(resolved: Resolved, folder: RunFolder) -> None:
    """Trains as this process of the grid, listening for requests to stop."""
    # Notes of torch and megatron about their own future: no user can act on them, every process repeats them.
    warnings.simplefilter("ignore", FutureWarning)
    warnings.filterwarnings("ignore", message=".*(overwrite|existing checkpoint|no current CUDA).*")
    stop = StopRequest()
    stop.listen()
    from megatron_heph.train.session import train

    train(resolved, folder, stop)


def this_machine(world: int | None = None) -> Machine:
    """The cores and GPUs that this process may use."""
    import torch

    return Machine(cores=len(os.sched_getaffinity(0)), gpus=torch.cuda.device_count(), world=world)


def main() -> int:
    """Runs the worker of the folder in argv; its exit code is the error's."""
    try:
        folder = RunFolder(Path(sys.argv[1]))
        run_here(folder.resolved(this_machine(int(os.environ["WORLD_SIZE"]))), folder)
    except HephError as error:
        if os.environ.get("RANK", "0") == "0":
            print(f"heph train: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
