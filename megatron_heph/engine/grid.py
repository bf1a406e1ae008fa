"""The grid of processes: made from a launcher's variables, and torn down again."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from megatron_heph.engine.core import model_parallel_cuda_manual_seed, parallel_state
from megatron_heph.recipe.resolved import GridSize


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """This process's place on the grid, and its device.  Groups are asked of megatron's parallel state."""

    size: GridSize
    rank: int
    device: torch.device

    @property
    def data_rank(self) -> int:
        """The index among data parallel ranks, from 0."""
        return int(parallel_state.get_data_parallel_rank())

    @property
    def context_rank(self) -> int:
        """The index among context parallel ranks, from 0."""
        return int(parallel_state.get_context_parallel_rank())

    @property
    def tensor_rank(self) -> int:
        """The index among tensor parallel ranks, from 0."""
        return int(parallel_state.get_tensor_model_parallel_rank())

    @property
    def is_first(self) -> bool:
        """Whether this is global rank 0, which writes files and speaks."""
        return self.rank == 0

    def barrier(self) -> None:
        """Waits for all processes."""
        dist.barrier()

    def any(self, flag: bool) -> bool:
        """Whether any process raised its flag; all get the same answer."""
        votes = torch.tensor([float(flag)], device=self.device)
        return bool(self.sum_over_all(votes).item())

    def sum_over_all(self, values: torch.Tensor) -> torch.Tensor:
        """Adds `values` over all processes, in place; each process must hold a part that no other holds."""
        dist.all_reduce(values)
        return values


@contextlib.contextmanager
def start_grid(size: GridSize, *, virtual: int = 1, seed: int = 1234, timeout: float = 1800.0) -> Iterator[Grid]:
    """Joins this process to the grid, from RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT; alone without them.

    gloo on a CPU, NCCL on CUDA.  A process group that exists already is used and left standing.
    `timeout` is in seconds.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    assert world == size.world, f"{world} processes for a grid of {size.world}"
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    outer = dist.is_initialized()
    if not outer:
        _join("nccl" if cuda else "gloo", rank, world, timeout)
    try:
        parallel_state.initialize_model_parallel(
            size.tensor, size.pipeline, virtual if virtual > 1 else None, context_parallel_size=size.context
        )
        torch.manual_seed(seed)
        model_parallel_cuda_manual_seed(seed)
        yield Grid(size=size, rank=rank, device=device)
    finally:
        parallel_state.destroy_model_parallel()
        if not outer and dist.is_initialized():
            dist.destroy_process_group()


def _join(backend: str, rank: int, world: int, timeout: float) -> None:
    if world == 1 and "MASTER_ADDR" not in os.environ:
        store = dist.HashStore()  # a lone process needs no port
        dist.init_process_group(backend, store=store, rank=0, world_size=1, timeout=timedelta(seconds=timeout))
    else:
        dist.init_process_group(backend, rank=rank, world_size=world, timeout=timedelta(seconds=timeout))


def free_port() -> int:
    """A TCP port that is free on this machine now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
