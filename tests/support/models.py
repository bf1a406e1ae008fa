"""A small shape and its fresh weights, in this process."""

from __future__ import annotations

import torch

from megatron_heph.engine.init import init_weights
from megatron_heph.engine.weights import tensors_of, whole_model
from megatron_heph.recipe.shape import ModelShape

SHAPE = ModelShape(
    family="llama", layers=3, hidden=128, heads=8, kv_heads=4, head_dim=16, ffn=192, vocab=512, max_positions=64,
    rope_theta=10000.0, norm_eps=1e-5, tied=False,
)  # fmt: skip


def drawn(seed: int, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Fresh weights of SHAPE."""
    with whole_model(SHAPE, dtype) as model:
        init_weights([model], SHAPE, seed)
        return {name: tensor.detach().clone() for name, tensor in tensors_of(model).items()}
