"""Core attention over PyTorch's scaled_dot_product_attention, with context parallelism by gathering K and V.

Shapes: S sequence on this rank, B batch, H query heads, K key-value heads, D head size.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F

from megatron_heph.engine.core import MegatronModule, TransformerConfig, parallel_state


def zigzag(x: torch.Tensor, dim: int, size: int, rank: int) -> torch.Tensor:
    """The part of a sequence that context rank `rank` of `size` holds: chunks `rank` and `2 * size - 1 - rank`.

    Pairing an early chunk with a late one gives every rank the same share of the causal triangle.
    """
    parts = x.chunk(2 * size, dim=dim)
    return torch.cat([parts[rank], parts[2 * size - 1 - rank]], dim=dim).contiguous()


class _GatherSequence(torch.autograd.Function):
    """All-gather of zigzag parts into the whole sequence (dim 0); the gradient is summed and cut again."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, group: dist.ProcessGroup) -> torch.Tensor:
        ctx.group = group
        parts = [torch.empty_like(x) for _ in range(group.size())]
        dist.all_gather(parts, x.contiguous(), group=group)
        early, late = zip(*(part.chunk(2, dim=0) for part in parts), strict=True)
        return torch.cat([*early, *reversed(late)], dim=0)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        grad = grads[0].clone(memory_format=torch.contiguous_format)  # what autograd hands over may be used again
        dist.all_reduce(grad, group=ctx.group)
        return zigzag(grad, 0, ctx.group.size(), ctx.group.rank()), None


class CoreAttention(MegatronModule):
    """Causal attention of one layer.  No dropout: continual pretraining uses none.

    Input `query` [S, B, H, D], `key` and `value` [S, B, K, D]; output [S, B, H * D], in the input's dtype.
    """

    def __init__(
        self,
        config: TransformerConfig,
        layer_number: int,
        attn_mask_type: Any,
        attention_type: str,
        softmax_scale: float | None = None,
        **_: Any,
    ) -> None:
        super().__init__(config=config)
        assert attention_type == "self", attention_type
        self.scale = softmax_scale  # None: 1 / sqrt(D)
        sharded = config.context_parallel_size > 1
        self.context_group = parallel_state.get_context_parallel_group() if sharded else None

    def forward(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any
    ) -> torch.Tensor:
        """Attends; see the class for shapes."""
        mask = None
        if self.context_group is not None:
            key, value = (_GatherSequence.apply(x, self.context_group) for x in (key, value))
            mask = self._causal_mask(key.size(0), query.device)
        q, k, v = (x.permute(1, 2, 0, 3) for x in (query, key, value))  # [B, heads, S, D]
        if q.size(1) != k.size(1):  # repeating beats enable_gqa on the CPU, and costs little elsewhere
            k, v = (x.repeat_interleave(q.size(1) // k.size(1), dim=1) for x in (k, v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, scale=self.scale)
        return out.permute(2, 0, 1, 3).flatten(2)

    def _causal_mask(self, length: int, device: torch.device) -> torch.Tensor:
        """[S, length] booleans: this rank's queries may look at positions up to their own."""
        assert self.context_group is not None
        positions = torch.arange(length, device=device)
        mine = zigzag(positions, 0, self.context_group.size(), self.context_group.rank())
        return mine[:, None] >= positions[None]

    def sharded_state_dict(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Attention has no weights."""
        return {}
