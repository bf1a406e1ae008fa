"""One process of a grid: `python -m megatron_heph.train.worker RUN`, started by the local launcher or a cluster's.

Imports stand inside the functions, so that a request to stop is heard from the first moment and not
only once torch is there.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from megatron_heph.errors import HephError
from megatron_heph.train.stop import StopRequest

if TYPE_CHECKING:
    from megatron_heph.recipe.resolved import Machine, Resolved
    from megatron_heph.train.run_folder import RunFolder

LAUNCHER = "HEPH_LAUNCHER"              # the variable with the local launcher's process id
_PR_SET_PDEATHSIG = 1                   # of prctl(2)


def run_here(resolved: Resolved, folder: RunFolder, stop: StopRequest | None = None) -> None:
    """Trains as this process of the grid, listening for requests to stop."""
    if stop is None:
        stop = StopRequest()
        stop.listen()
    from megatron_heph.train.session import train

    silence_notes()
    train(resolved, folder, stop)


def silence_notes() -> None:
    """Hides notes of torch and megatron about their own future: no user can act on them, every process repeats them."""
    warnings.simplefilter("ignore", FutureWarning)
    for text in ("overwrite", "existing checkpoint", "not a leaf Tensor", "no current CUDA"):
        warnings.filterwarnings("ignore", message=f".*{text}.*")


def this_machine(world: int | None = None) -> Machine:
    """The cores and GPUs that this process may use; `world` is how many processes a launcher started."""
    import torch

    from megatron_heph.recipe.resolved import Machine

    return Machine(cores=len(os.sched_getaffinity(0)), gpus=torch.cuda.device_count(), world=world)


def main() -> int:
    """Runs the worker of the folder in argv; its exit code is the error's."""
    _end_with_launcher()
    stop = StopRequest()
    stop.listen()
    from megatron_heph.train.run_folder import RunFolder

    try:
        folder = RunFolder(Path(sys.argv[1]))
        run_here(folder.resolved(this_machine(int(os.environ["WORLD_SIZE"]))), folder, stop)
    except HephError as error:
        rank = os.environ.get("RANK", "0")
        where = "" if rank == "0" else f" (process {rank} of the grid)"
        print(f"heph train{where}: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


def _end_with_launcher() -> None:
    """Has the kernel kill this process when the local launcher is gone, whatever ended it.

    Otherwise a killed launcher would leave a run that nobody sees, in a folder that the next one writes to.
    """
    if launcher := os.environ.get(LAUNCHER):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(launcher):  # it was gone before we asked
            raise SystemExit(1)


if __name__ == "__main__":
    raise SystemExit(main())
