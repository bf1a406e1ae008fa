"""Context parallelism: which part of a sequence a rank holds, and the whole of it again."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


def zigzag(x: torch.Tensor, dim: int, size: int, rank: int) -> torch.Tensor:
    """The part of a sequence that context rank `rank` of `size` holds: chunks `rank` and `2 * size - 1 - rank`.

    Pairing an early chunk with a late one gives every rank the same share of the causal triangle.
    """
    parts = x.chunk(2 * size, dim=dim)
    return torch.cat([parts[rank], parts[2 * size - 1 - rank]], dim=dim).contiguous()


class GatherSequence(torch.autograd.Function):
    """All-gather of zigzag parts into the whole sequence (dim 0); the gradient is summed and cut again."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, group: dist.ProcessGroup) -> torch.Tensor:
        """`x` [S, ...] of every rank of `group` -> [S * size, ...]."""
        ctx.group = group
        parts = [torch.empty_like(x) for _ in range(group.size())]
        dist.all_gather(parts, x.contiguous(), group=group)
        early, late = zip(*(part.chunk(2, dim=0) for part in parts), strict=True)
        return torch.cat([*early, *reversed(late)], dim=0)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        """The gradient of this rank's part."""
        grad = grads[0].clone(memory_format=torch.contiguous_format)  # what autograd hands over may be used again
        dist.all_reduce(grad, group=ctx.group)
        return zigzag(grad, 0, ctx.group.size(), ctx.group.rank()), None
