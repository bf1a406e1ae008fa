"""What megatron-core needs to run on a CPU: a small set of named shims, none of which acts where CUDA is.

megatron-core writes `device="cuda"` and `torch.cuda.current_device()` in many places.  Instead of
lying about `torch.cuda` to the whole process, each shim gives single megatron modules a stand-in for
the name `torch` that makes tensors on the CPU.  Everything outside those modules sees the real torch.

`tests/engine/test_shims.py` runs megatron without each shim in turn, and fails once one is no longer needed.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch

_FACTORIES = ("arange", "empty", "empty_like", "full", "ones", "tensor", "zeros")


class _NoStream:
    """Stands in for a CUDA stream or event where there is one queue anyway: the program's own order."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def _nothing(self, *_: object, **__: object) -> _NoStream:
        return self

    wait_stream = wait_event = wait = record_event = record = synchronize = _nothing


class _CpuCuda(types.ModuleType):
    """Stands in for `torch.cuda` inside one megatron module."""

    Stream = Event = _NoStream

    def __init__(self) -> None:
        super().__init__("torch.cuda")
        self.current_device = lambda: torch.device("cpu")
        self.current_stream = _NoStream
        self.stream = lambda _=None: contextlib.nullcontext()
        self.synchronize = lambda *_: None
        self.get_rng_state = lambda *_: torch.get_rng_state()
        self.set_rng_state = lambda state, *_: torch.set_rng_state(state)
        self.manual_seed = torch.manual_seed

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cuda, name)


class _CpuTorch(types.ModuleType):
    """Stands in for the name `torch` inside one megatron module: tensors meant for CUDA stay on the CPU."""

    def __init__(self) -> None:
        super().__init__("torch")
        self.cuda = _CpuCuda()
        for name in _FACTORIES:
            setattr(self, name, _on_cpu(getattr(torch, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def _on_cpu(factory: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def make(*args: Any, **kwargs: Any) -> torch.Tensor:
        if str(kwargs.get("device", "")).startswith("cuda"):
            kwargs["device"] = "cpu"
        return factory(*args, **kwargs)

    return make


def _in_modules(*names: str) -> Callable[[], None]:
    def install() -> None:
        for name in names:
            importlib.import_module(f"megatron.core.{name}").__dict__["torch"] = _CpuTorch()

    return install


def _no_triton() -> None:
    """0.19 imports triton for a mixture-of-experts kernel, unguarded; triton is 1 GB and useless here."""
    if importlib.util.find_spec("triton") is None:
        name = "megatron.core.transformer.moe.ops.paged_stash"
        stub = types.ModuleType(name)
        stub.__dict__.update(GLOBAL_BLOCK_SIZE=1024, paged_stash_copy_kernel=None, paged_stash_pop_kernel=None)
        sys.modules[name] = stub


def _cpu_rng() -> None:
    """The tensor parallel random state is kept in the CPU's generator."""
    random = importlib.import_module("megatron.core.tensor_parallel.random")
    random.__dict__["torch"] = _CpuTorch()
    random.__dict__["_get_cuda_rng_state"] = lambda *_, **__: torch.get_rng_state()
    random.__dict__["_set_cuda_rng_state"] = lambda state, *_, **__: torch.set_rng_state(state)


def _context_rope() -> None:
    """Rotary angles of a context parallel rank, without pinned memory and `.cuda()`."""

    def on_this_rank(pos_emb: torch.Tensor, seq_dim: int, cp_group: Any) -> torch.Tensor:
        size, rank = cp_group.size(), cp_group.rank()
        parts = pos_emb.chunk(2 * size, dim=seq_dim)
        return torch.cat([parts[rank], parts[2 * size - 1 - rank]], dim=seq_dim)

    for name in ("rotary_pos_embedding", "rope_utils"):
        module = importlib.import_module(f"megatron.core.models.common.embeddings.{name}")
        module.__dict__["get_pos_emb_on_this_cp_rank"] = on_this_rank


SHIMS: dict[str, Callable[[], None]] = {
    "triton": _no_triton,               # first: the others import modules that import triton
    "gradient-buffers": _in_modules("distributed.param_and_grad_buffer"),
    "optimizer": _in_modules("optimizer.optimizer"),
    "schedules": _in_modules("pipeline_parallel.schedules"),
    "pipeline-messages": _in_modules("pipeline_parallel.p2p_communication"),
    "tensor-mappings": _in_modules("tensor_parallel.mappings", "tensor_parallel.layers"),
    "rotary": _in_modules("models.common.embeddings.rotary_pos_embedding"),
    "sequence-buffers": _in_modules("utils"),
    "context-rotary": _context_rope,
    "rng": _cpu_rng,
    "distributed-optimizer": _in_modules("optimizer.distrib_optimizer"),
    "checkpoint-writer": _in_modules(
        "dist_checkpointing.strategies.filesystem_async", "dist_checkpointing.strategies.state_dict_saver"
    ),
}

_installed = False


def install(without: Collection[str] = ()) -> None:
    """Installs the shims once per process, before anything else imports megatron; nothing where CUDA is.

    `without` leaves shims out by name: for the tests that ask whether they are still needed.
    """
    global _installed
    if _installed or torch.cuda.is_available():
        return
    for name, shim in SHIMS.items():
        if name not in without:
            shim()
    _installed = True


@contextlib.contextmanager
def cpu_tensors_pass_for_cuda() -> Iterator[None]:
    """Two methods of Tensor answer as on CUDA, while a model or an optimizer is built, saved or loaded.

    megatron moves the tied embedding of the last pipeline stage and the moments of a checkpoint with
    `.cuda()`, and the distributed optimizer compares `.type()` with names of CUDA types.  A method
    cannot be shimmed in one module, so this shim is bounded in time instead.
    """
    if torch.cuda.is_available():
        yield
        return
    move, name = torch.Tensor.cuda, torch.Tensor.type

    def cuda_name(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        answer = name(self, *args, **kwargs)
        return answer.replace("torch.", "torch.cuda.", 1) if isinstance(answer, str) else answer

    torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign,assignment]
    torch.Tensor.type = cuda_name  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        torch.Tensor.cuda, torch.Tensor.type = move, name  # type: ignore[method-assign]
