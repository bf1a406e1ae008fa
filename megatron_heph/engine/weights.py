"""Whole models in one process: full tensors to and from torch_dist checkpoints, and logits.

Names are those of megatron-core's GPTModel with its local layers, such as
`decoder.layers.0.self_attention.linear_qkv.weight`.  What is written here loads on any grid.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
import torch.distributed as dist

from megatron_heph.engine.core import GPTModel, dist_checkpointing
from megatron_heph.engine.grid import start_grid
from megatron_heph.engine.model import build_model, transformer_config
from megatron_heph.engine.step import Engine
from megatron_heph.errors import InputError
from megatron_heph.recipe.resolved import GridSize
from megatron_heph.recipe.shape import ModelShape
from megatron_heph.recipe.tree import Parallel


@contextlib.contextmanager
def whole_model(shape: ModelShape, dtype: torch.dtype = torch.float32) -> Iterator[GPTModel]:
    """A model of `shape` on this process alone, weights unset, with the logits of the whole vocabulary."""
    assert not dist.is_initialized(), "a whole model lives in a process of its own"
    with start_grid(GridSize()):
        config = transformer_config(shape, GridSize(), Parallel(), dtype)
        yield build_model(shape, config, gather_logits=True)[0].eval()


def write(shape: ModelShape, tensors: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Writes full tensors as a torch_dist checkpoint, in their own dtype (all must share one).

    Raises InputError if names or shapes are not those of the model.
    """
    dtypes = {tensor.dtype for tensor in tensors.values()}
    assert len(dtypes) == 1, dtypes
    with whole_model(shape, dtypes.pop()) as model:
        fill(model, tensors)
        folder.mkdir(parents=True, exist_ok=True)
        dist_checkpointing.save({"model": model.sharded_state_dict()}, str(folder))


def read(shape: ModelShape, folder: Path, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Reads the full tensors of a torch_dist checkpoint that any grid wrote (model weights only)."""
    with whole_model(shape, dtype) as model:
        loaded = dist_checkpointing.load({"model": model.sharded_state_dict()}, str(folder))
        model.load_state_dict(loaded["model"])
        return {name: tensor.detach().clone() for name, tensor in tensors_of(model).items()}


@torch.inference_mode()
def logits(shape: ModelShape, tensors: Mapping[str, torch.Tensor], tokens_BL: torch.Tensor) -> torch.Tensor:
    """The model's logits [B, L, vocab] in fp32 for `tokens_BL` (int64), computed in fp32."""
    with whole_model(shape) as model:
        fill(model, tensors)
        device = next(model.parameters()).device
        return model(tokens_BL.to(device), None, None).float().cpu()


@contextlib.contextmanager
def meter(shape: ModelShape, tensors: Mapping[str, torch.Tensor]) -> Iterator[Engine]:
    """An engine that measures losses with full tensors, in fp32, on this process alone."""
    with start_grid(GridSize()) as grid:
        config = transformer_config(shape, GridSize(), Parallel(), torch.float32)
        model = build_model(shape, config)[0]
        fill(model, tensors)
        yield Engine(grid, config, [model], sources=1)


def fill(model: GPTModel, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copies full tensors into a whole model; InputError names the first one that does not fit."""
    own = tensors_of(model)
    for name in sorted(own.keys() | tensors.keys()):
        if name not in tensors or name not in own:
            state = "is missing from the weights" if name not in tensors else "belongs to no layer of the model"
            raise InputError(f"The tensor {name} {state}: the weights and the model's shape are of different models.")
        if own[name].shape != tensors[name].shape:
            raise InputError(
                f"The tensor {name} has the shape {tuple(tensors[name].shape)}, but the model's shape "
                f"makes it {tuple(own[name].shape)}: the weights and the shape are of different models."
            )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def tensors_of(model: GPTModel) -> dict[str, torch.Tensor]:
    """The named weights of a model, without megatron's empty extra states."""
    return dict(model.named_parameters())
