"""Rotary positions that begin anew in every segment; the frequencies are megatron's."""

from __future__ import annotations

from typing import Any

import torch

from megatron_heph.engine.segments import Segments


class SegmentRotary(torch.nn.Module):
    """Stands in for a model's `rotary_pos_emb` and asks that one for the angles.

    megatron calls `get_rotary_seq_len` and hands the answer, unread, to `forward`: where the micro-batch
    has segments, the answer is the segments.  Scores hang on differences of positions alone (Su et al., arXiv
    2104.09864), so this changes rounding, not meaning: a document gives the same losses wherever it lies.
    """

    def __init__(self, rotary: Any) -> None:
        super().__init__()
        self.rotary = rotary

    def get_rotary_seq_len(
        self,
        inference_context: Any,
        transformer: Any,
        transformer_input: Any,
        transformer_config: Any,
        packed_seq_params: Segments | None = None,
    ) -> Segments | int:
        """The segments, or without them the length of the whole sequence."""
        if packed_seq_params is not None:
            return packed_seq_params
        around = (inference_context, transformer, transformer_input, transformer_config)
        return int(self.rotary.get_rotary_seq_len(*around))

    def forward(self, where: Segments | int, **options: Any) -> torch.Tensor:
        """The angles of this rank's positions: fp32 [S, 1, 1, D] for a length, [S, B, 1, D] for segments."""
        if isinstance(where, int):
            return torch.as_tensor(self.rotary(where, **options))
        whole = self.rotary(where.length, packed_seq=True)  # [L, 1, 1, D], kept by megatron; not cut over ranks
        return torch.nn.functional.embedding(where.positions_SB, whole[:, 0, 0]).unsqueeze(2)
