"""One process of a grid: `python -m megatron_heph.train.worker RUN`, started by the local launcher or a cluster's.

Imports stand inside the functions: megatron's checkpoint writer starts a helper process that imports
this module again, and it should not wait for torch.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from megatron_heph.errors import HephError

if TYPE_CHECKING:
    from megatron_heph.recipe.resolve import Machine, Resolved
    from megatron_heph.train.run_folder import RunFolder


def run_here(resolved: Resolved, folder: RunFolder) -> None:
    """Trains as this process of the grid, listening for requests to stop."""
    from megatron_heph.train.session import train
    from megatron_heph.train.stop import StopRequest

    silence_notes()
    stop = StopRequest()
    stop.listen()
    train(resolved, folder, stop)


def silence_notes() -> None:
    """Hides notes of torch and megatron about their own future: no user can act on them, every process repeats them."""
    warnings.simplefilter("ignore", FutureWarning)
    for text in ("overwrite", "existing checkpoint", "not a leaf Tensor", "no current CUDA"):
        warnings.filterwarnings("ignore", message=f".*{text}.*")


def this_machine(world: int | None = None) -> Machine:
    """The cores and GPUs that this process may use; `world` is how many processes a launcher started."""
    import torch

    from megatron_heph.recipe.resolve import Machine

    return Machine(cores=len(os.sched_getaffinity(0)), gpus=torch.cuda.device_count(), world=world)


def main() -> int:
    """Runs the worker of the folder in argv; its exit code is the error's."""
    from megatron_heph.train.run_folder import RunFolder

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
