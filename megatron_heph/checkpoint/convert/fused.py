"""The two tensors that megatron-core fuses: QKV, and the MLP's gate with its up projection.

Legend: K number of KV groups, R heads per group, D head_dim, H hidden, F ffn.
"""

from __future__ import annotations

import torch
from torch import Tensor


def fuse_qkv(q: Tensor, k: Tensor, v: Tensor, groups: int) -> Tensor:
    """[K*R*D, ...], [K*D, ...], [K*D, ...] -> [K*(R+2)*D, ...]: per group its R heads, its key, its value.

    With this order a slice of whole groups is a tensor-parallel rank's share.  Works on biases too.
    """
    tail = q.shape[1:]
    per_group = [part.reshape(groups, -1, *tail) for part in (q, k, v)]
    return torch.cat(per_group, dim=1).reshape(-1, *tail).contiguous()


def split_qkv(qkv: Tensor, groups: int, head_dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """The exact inverse of `fuse_qkv`."""
    tail = qkv.shape[1:]
    per_group = qkv.reshape(groups, -1, *tail)
    sizes = [per_group.shape[1] - 2 * head_dim, head_dim, head_dim]
    q, k, v = (part.reshape(-1, *tail).contiguous() for part in per_group.split(sizes, dim=1))
    return q, k, v


def fuse_gate_up(gate_FH: Tensor, up_FH: Tensor) -> Tensor:
    """[F, H] twice -> [2F, H], the gate first."""
    return torch.cat([gate_FH, up_FH], dim=0)


def split_gate_up(fc1: Tensor) -> tuple[Tensor, Tensor]:
    """The exact inverse of `fuse_gate_up`."""
    gate_FH, up_FH = fc1.chunk(2, dim=0)
    return gate_FH.contiguous(), up_FH.contiguous()
