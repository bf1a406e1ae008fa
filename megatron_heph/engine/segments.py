"""Segments of a micro-batch: which positions attend to each other, as every layer of every rank needs to know it.

Shapes: B samples, L positions of a sample, S = L / context parallel size positions on this rank.
"""

from __future__ import annotations

import torch

from megatron_heph.engine.context import zigzag
from megatron_heph.engine.core import PackedSeqParams


class Segments(PackedSeqParams):
    """What megatron hands from the model's call down to core attention, also where layers are recomputed.

    It does so with any PackedSeqParams, but for the format `thd` it also drops the batch dimension and
    wants padding for context parallelism.  Here samples stay rows ("sbhd"), whatever segments they hold.

    Attention is cut into pieces: the queries of one segment that lie next to each other on this rank, and
    the keys from the segment's beginning to the last of those queries.  A piece is a whole segment, unless
    context parallelism cuts sequences: then a segment may lie in several chunks, and its later pieces have
    more keys than queries.
    """

    queries: list[int]
    """How many each piece has; pieces follow each other through this rank's positions, row by row."""
    keys: list[int]
    """How many each piece has; the last of them are at the positions of its queries."""
    key_index: torch.Tensor | None
    """The pieces' keys one after another: where each lies among the B * L keys of all ranks; int32.  None: all."""
    positions_SB: torch.Tensor
    """Of this rank's positions, the place in their segment; int32."""

    def __init__(
        self,
        cu_seqlens: torch.Tensor,
        shape: tuple[int, int],
        device: torch.device,
        *,
        context: int = 1,
        context_rank: int = 0,
    ) -> None:
        """`cu_seqlens` [segments + 1], integers on the CPU, ascends from 0 to B * L; `shape` is (B, L).

        No segment is empty and none goes over a row's end.
        """
        samples, length = shape
        cu = cu_seqlens.long()
        lengths = cu.diff()
        assert cu[0] == 0 and cu[-1] == samples * length and bool((lengths > 0).all()), cu_seqlens
        assert bool(torch.isin(torch.arange(0, samples * length, length), cu).all()), (cu_seqlens, length)
        on_device = cu_seqlens.to(device, non_blocking=True)
        longest = int(lengths.max())
        super().__init__(
            qkv_format="sbhd", cu_seqlens_q=on_device, cu_seqlens_kv=on_device, max_seqlen_q=longest,
            max_seqlen_kv=longest,
        )  # fmt: skip
        self.length = length
        self.positions_SB = _positions(on_device, shape, context, context_rank)
        self.queries, keys = _pieces(cu, length, context, context_rank)
        self.keys = (keys[:, 1] - keys[:, 0]).tolist()
        self.key_index = _ranges(keys).int().to(device, non_blocking=True) if context > 1 else None


def _positions(cu_seqlens: torch.Tensor, shape: tuple[int, int], context: int, rank: int) -> torch.Tensor:
    total = shape[0] * shape[1]
    starts = torch.repeat_interleave(cu_seqlens[:-1], cu_seqlens.diff(), output_size=total)  # given a size: no sync
    places = torch.arange(total, dtype=torch.int32, device=cu_seqlens.device).sub_(starts).view(shape)
    return (zigzag(places, 1, context, rank) if context > 1 else places).T


def _pieces(cu: torch.Tensor, length: int, context: int, rank: int) -> tuple[list[int], torch.Tensor]:
    """Number of queries of each piece, and (first key, end of keys) of each, int64 [pieces, 2]."""
    chunk = length // (2 * context) if context > 1 else length
    edges = torch.unique(torch.cat([cu, torch.arange(0, int(cu[-1]), chunk)]))  # ascending
    begins, ends = edges[:-1], edges[1:]
    place = begins % length // chunk
    mine = (place == rank) | (place == 2 * context - 1 - rank)
    begins, ends = begins[mine], ends[mine]
    starts = cu[torch.searchsorted(cu, begins, right=True) - 1]
    return (ends - begins).tolist(), torch.stack([starts, ends], 1)


def _ranges(keys: torch.Tensor) -> torch.Tensor:
    """The numbers from begin to end of every row of `keys` (begin, end), one row after another."""
    sizes = keys[:, 1] - keys[:, 0]
    shift = keys[:, 0] - (sizes.cumsum(0) - sizes)
    return torch.arange(int(sizes.sum())) + torch.repeat_interleave(shift, sizes)
