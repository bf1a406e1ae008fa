"""Weights of a fresh model: each drawn from a generator named after the weight, so that any grid gets the same."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import torch

from megatron_heph.engine.core import GPTModel, ShardedTensor, ShardedTensorFactory
from megatron_heph.recipe.shape import ModelShape

STD = 0.02


@torch.no_grad()
def init_weights(chunks: list[GPTModel], shape: ModelShape, seed: int) -> None:
    """Fills all weights in place: normal with 0.02, projections back to the residual scaled by
    1 / sqrt(2 * layers) (Radford et al. 2019, section 2.3), norms with 1.

    A whole tensor is drawn in fp32 on the CPU and this rank's part is cut out of it.
    """
    for chunk in chunks:
        for shard in _shards(chunk.sharded_state_dict()):
            layer = shard.global_offset[: shard.prepend_axis_num]
            shard.data.copy_(_part(_draw(shard, layer, shape, seed), shard))


def _shards(tree: Any) -> Iterator[ShardedTensor]:
    """Every tensor of a sharded state dict; factories (the halves of SwiGLU) are opened."""
    if isinstance(tree, ShardedTensor):
        if tree.data is not None:
            yield tree
    elif isinstance(tree, ShardedTensorFactory):
        yield from _shards(tree.build())
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from _shards(value)
    elif isinstance(tree, (list, tuple)):
        for value in tree:
            yield from _shards(value)


def _draw(shard: ShardedTensor, layer: tuple[int, ...], shape: ModelShape, seed: int) -> torch.Tensor:
    full = shard.global_shape[shard.prepend_axis_num :]
    if len(full) == 1:
        return torch.ones(full)
    name = f"{seed}/{shard.key}/{layer}".encode()
    generator = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(name).digest()[:7], "big"))
    to_residual = "linear_proj" in shard.key or "linear_fc2" in shard.key
    std = STD / math.sqrt(2 * shape.layers) if to_residual else STD
    return torch.randn(full, generator=generator) * std


def _part(full: torch.Tensor, shard: ShardedTensor) -> torch.Tensor:
    offsets = shard.global_offset[shard.prepend_axis_num :]
    for dim, (start, length) in enumerate(zip(offsets, shard.local_shape, strict=True)):
        full = full.narrow(dim, start, length)
    return full
