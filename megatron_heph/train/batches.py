"""From samples as they come from the disk to the micro-batches of an engine.

Shapes: B samples, L positions of a sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from megatron_heph.data.batch import Batch
from megatron_heph.engine.micro_batch import MicroBatch


def micro_batches(batch: Batch, size: int, at_least: int = 0) -> list[MicroBatch]:
    """Cuts samples into micro-batches of `size`; missing ones are filled with samples without loss.

    `at_least` is the number of micro-batches that every rank must bring, so that all take part in
    every collective.  Nothing is widened, and where CUDA is the memory is pinned.  On a CPU the
    micro-batches may share memory with `batch`.
    """
    count = max(-(-len(batch.sources_B) // size), at_least)
    missing = count * size - len(batch.sources_B)
    full = join([batch, _filler(batch, missing)]) if missing else batch
    tokens, labels, loss, sources = (
        _pinned(array) for array in (full.tokens_BL, full.labels_BL, full.loss_BL, full.sources_B)
    )
    return [
        MicroBatch(
            tokens_BL=tokens[i : i + size],
            labels_BL=labels[i : i + size],
            loss_BL=loss[i : i + size],
            sources_B=sources[i : i + size],
            cu_seqlens=_segments(full, i, size),
        )
        for i in range(0, count * size, size)
    ]


def join(parts: Sequence[Batch]) -> Batch:
    """The samples of several batches, one after another; at least one batch, all with samples of one length."""
    return Batch(
        tokens_BL=np.concatenate([part.tokens_BL for part in parts]),
        labels_BL=np.concatenate([part.labels_BL for part in parts]),
        loss_BL=np.concatenate([part.loss_BL for part in parts]),
        sources_B=np.concatenate([part.sources_B for part in parts]),
        cu_seqlens=_ends([np.diff(part.cu_seqlens) for part in parts]),
    )


def rows(batch: Batch, which: slice) -> Batch:
    """Some samples of a batch."""
    samples, length = batch.tokens_BL.shape
    first = np.searchsorted(batch.cu_seqlens, np.arange(1, samples) * length)  # the segment each row begins with
    by_row = np.split(np.diff(batch.cu_seqlens), first)
    return Batch(
        tokens_BL=batch.tokens_BL[which],
        labels_BL=batch.labels_BL[which],
        loss_BL=batch.loss_BL[which],
        sources_B=batch.sources_B[which],
        cu_seqlens=_ends(by_row[which] if samples else []),
    )


def _ends(lengths: list[npt.NDArray[np.int32]]) -> npt.NDArray[np.int32]:
    return np.cumsum(np.concatenate([[0], *lengths]), dtype=np.int32)


def _filler(like: Batch, count: int) -> Batch:
    """Samples without loss, each one segment."""
    length = like.tokens_BL.shape[1]
    nothing = np.zeros((count, length), like.tokens_BL.dtype)
    return Batch(
        tokens_BL=nothing,
        labels_BL=nothing,
        loss_BL=np.zeros((count, length), np.bool_),
        sources_B=np.zeros(count, np.int64),
        cu_seqlens=np.arange(0, (count + 1) * length, length, dtype=np.int32),
    )


def _segments(batch: Batch, first: int, count: int) -> torch.Tensor | None:
    """The edges of the segments of `count` samples, counted from the first; None where each is one segment."""
    length = batch.tokens_BL.shape[1]
    begin, end = np.searchsorted(batch.cu_seqlens, [first * length, (first + count) * length])
    if end - begin == count:
        return None
    return _pinned(batch.cu_seqlens[begin : end + 1] - first * length)


def _pinned(array: npt.NDArray[np.generic]) -> torch.Tensor:
    tensor = torch.from_numpy(array)
    return tensor.pin_memory() if torch.cuda.is_available() else tensor
