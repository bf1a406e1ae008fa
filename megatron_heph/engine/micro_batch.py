"""What one forward pass reads: narrow on its way to the device, widened and cut there.

Shapes: B samples, L positions of a sample, S = L / context parallel size positions on this rank.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch

from megatron_heph.engine.context import zigzag
from megatron_heph.engine.grid import Grid
from megatron_heph.engine.segments import Segments


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """A micro-batch as the model takes it: this rank's part of its sequences, on its device."""

    tokens_BS: torch.Tensor             # int64
    labels_BS: torch.Tensor             # int64, the next token of each position
    weights_BS: torch.Tensor            # float32, 1 where a label carries loss, else 0
    sources_B: torch.Tensor             # int64, index of each sample's source
    segments: Segments | None           # None: every sample is one


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """Whole sequences, the same on all tensor, pipeline and context parallel ranks."""

    tokens_BL: torch.Tensor             # uint16, int32 or int64
    labels_BL: torch.Tensor             # the same, the next token of each position
    loss_BL: torch.Tensor               # bool, which labels carry loss
    sources_B: torch.Tensor             # int64, index of each sample's source
    cu_seqlens: torch.Tensor | None = None
    """[segments + 1], int32 on the CPU: ascends from 0 to B * L, rows' ends among them.  None: each sample is one."""

    def on(self, device: torch.device) -> MicroBatch:
        """The same on the device, still narrow; copies from pinned memory do not hold up the caller."""
        moved = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "cu_seqlens"}
        return MicroBatch(
            **{name: tensor.to(device, non_blocking=True) for name, tensor in moved.items()},
            cu_seqlens=self.cu_seqlens,
        )

    def inputs(self, grid: Grid) -> Inputs:
        """Widens, and cuts the sequences over context parallel ranks; on the device where the tensors are."""
        size, rank = grid.size.context, grid.context_rank

        def mine(x: torch.Tensor) -> torch.Tensor:
            return zigzag(x, 1, size, rank) if size > 1 else x

        segments = None
        if self.cu_seqlens is not None:
            shape = (self.tokens_BL.size(0), self.tokens_BL.size(1))
            segments = Segments(self.cu_seqlens, shape, self.tokens_BL.device, context=size, context_rank=rank)
        return Inputs(
            tokens_BS=mine(self.tokens_BL.long()),
            labels_BS=mine(self.labels_BL.long()),
            weights_BS=mine(self.loss_BL.float()),
            sources_B=self.sources_B,
            segments=segments,
        )
