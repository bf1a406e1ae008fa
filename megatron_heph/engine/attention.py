"""Core attention over PyTorch's scaled_dot_product_attention, with context parallelism by gathering K and V.

Shapes: S sequence on this rank, B batch, H query heads, K key-value heads, D head size.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from megatron_heph.engine.context import GatherSequence, zigzag
from megatron_heph.engine.core import MegatronModule, TransformerConfig, parallel_state
from megatron_heph.engine.segments import Segments


class CoreAttention(MegatronModule):
    """Causal attention of one layer, within segments where there are any.

    No dropout: continual pretraining uses none.
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
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *_: Any,
        packed_seq_params: Segments | None = None,
        **__: Any,
    ) -> torch.Tensor:
        """Attends; see the class for shapes.  Without `packed_seq_params` every row is one segment."""
        if self.context_group is not None:
            key, value = (GatherSequence.apply(x, self.context_group) for x in (key, value))
        if packed_seq_params is not None:
            return self._within(packed_seq_params, query, key, value)
        mask = self._causal_mask(key.size(0), query.device) if self.context_group is not None else None
        q, k, v = (x.permute(1, 2, 0, 3) for x in (query, key, value))  # [B, heads, S, D]
        return self._attend(q, *_repeated(q, k, v), mask).permute(2, 0, 1, 3).flatten(2)

    def _within(
        self, segments: Segments, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Piece by piece: less work than a mask over the whole window, of which only blocks would be open.

        Rows are laid end to end and split, not sliced: the gradient of a split is one concatenation, that
        of every slice a zero tensor of the whole.
        """
        rows, heads = query.shape[1], query.shape[2]
        query, key, value = (x.transpose(0, 1).flatten(0, 1) for x in (query, key, value))  # [B * S, heads, D]
        if segments.key_index is not None:
            key, value = (x.index_select(0, segments.key_index) for x in (key, value))
        q, k, v = (x.transpose(0, 1).unsqueeze(0) for x in (query, key, value))  # [1, heads, B * S, D]
        k, v = _repeated(q, k, v)
        pieces = zip(q.split(segments.queries, 2), k.split(segments.keys, 2), v.split(segments.keys, 2), strict=True)
        outs = [self._attend(*piece, _later_queries(*piece[:2])) for piece in pieces]
        flat = torch.cat([out.squeeze(0).transpose(0, 1) for out in outs])  # [B * S, H, D]
        return flat.view(rows, -1, heads * flat.size(2)).transpose(0, 1)

    def _attend(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, scale=self.scale)

    def _causal_mask(self, length: int, device: torch.device) -> torch.Tensor:
        """[S, length] booleans: this rank's queries may look at positions up to their own."""
        assert self.context_group is not None
        positions = torch.arange(length, device=device)
        mine = zigzag(positions, 0, self.context_group.size(), self.context_group.rank())
        return mine[:, None] >= positions[None]

    def sharded_state_dict(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Attention has no weights."""
        return {}


def _repeated(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`k` and `v` [B, K, S, D] with a head for every query head; faster than enable_gqa on the CPU."""
    shared = q.size(1) // k.size(1)
    return (k, v) if shared == 1 else (k.repeat_interleave(shared, dim=1), v.repeat_interleave(shared, dim=1))


def _later_queries(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor | None:
    """The causal mask of queries at the end of more keys; None where there are equally many."""
    queries, keys = q.size(2), k.size(2)
    if queries == keys:
        return None
    return torch.ones(queries, keys, dtype=torch.bool, device=q.device).tril_(keys - queries)
