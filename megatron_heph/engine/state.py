"""Saving and loading the model and the optimizer on any grid (megatron-core's dist_checkpointing, torch_dist)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from megatron_heph.engine.core import dist_checkpointing
from megatron_heph.engine.shims import cpu_tensors_pass_for_cuda
from megatron_heph.engine.step import Engine

# Adam's moments under the names and shapes of their weights: readable on any grid, also with another
# number of data parallel ranks or with HybridModel.
_SHARDING = {"distrib_optim_sharding_type": "fully_reshardable"}


def _sharded(engine: Engine, *, optimizer: bool, loading: bool) -> dict[str, Any]:
    models = engine.models
    names = ["model"] if len(models) == 1 else [f"model{i}" for i in range(len(models))]
    state: dict[str, Any] = {name: model.sharded_state_dict() for name, model in zip(names, models, strict=True)}
    if optimizer:
        assert engine.optimizer is not None
        state["optimizer"] = engine.optimizer.inner.sharded_state_dict(state, is_loading=loading, metadata=_SHARDING)
    return state


def save(engine: Engine, folder: Path) -> None:
    """Writes weights and optimizer state into `folder` (made if missing); all processes take part."""
    if engine.grid.is_first:
        folder.mkdir(parents=True, exist_ok=True)
    engine.grid.barrier()
    with cpu_tensors_pass_for_cuda():
        state = _sharded(engine, optimizer=engine.optimizer is not None, loading=False)
        dist_checkpointing.save(state, str(folder))


def load(engine: Engine, folder: Path, *, optimizer: bool) -> None:
    """Reads the weights that any grid wrote, and with `optimizer` also its state; all processes take part.

    Without `optimizer` Adam starts anew on the loaded weights.
    """
    models = engine.models
    with torch.no_grad(), cpu_tensors_pass_for_cuda():  # the distributed optimizer copies into views of leaf parameters
        state = dist_checkpointing.load(_sharded(engine, optimizer=optimizer, loading=True), str(folder))
        for i, model in enumerate(models):
            model.load_state_dict(state["model" if len(models) == 1 else f"model{i}"])
        if engine.optimizer is not None:
            if optimizer:
                engine.optimizer.inner.load_state_dict(state["optimizer"])
            else:
                engine.optimizer.inner.reload_model_params()
