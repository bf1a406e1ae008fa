"""Samples of a step: computed from the step's number, the same on any grid.

Shapes: B samples, L positions of a sample.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from megatron_heph.data.batch import Batch
from megatron_heph.data.look_ahead import LookAhead
from megatron_heph.data.mixture import Mixture
from megatron_heph.data.order import SampleOrder
from megatron_heph.data.reading import BatchReader, Buffers
from megatron_heph.data.segments import Place, Places, Segment
from megatron_heph.data.source_orders import SourceOrder, open_order
from megatron_heph.data.sources import Sources
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.recipe.resolved import Resolved


class Loader:
    """The samples of one segment.

    Any sample is computed alone, so that ranks share a step's samples out among them, and a step can be read again.
    """

    def __init__(self, segment: Segment, sources: Sources, resolved: Resolved) -> None:
        self.segment = segment
        self._sources = sources
        self._caps = {name: sources[name].node.max_epochs for name in segment.weights}
        self._orders = {
            name: open_order(sources[name], segment.begin.get(name, Place()), segment.sequence, resolved)
            for name in segment.weights
        }
        self._mixture = Mixture([segment.weights.get(name, 0.0) for name in sources])
        self._index = {name: i for i, name in enumerate(sources)}
        natives = [self._orders[name].native if name in self._orders else None for name in sources]
        self._samples = SampleOrder(self._mixture, natives)
        self.reader = BatchReader(
            {name: source.tokens for name, source in sources.items()},
            apart=[name in segment.apart for name in sources],
            vocab=resolved.shape.vocab,
        )
        extents = [self._orders[name].extent if name in self._orders else 0 for name in sources]
        self._ahead = LookAhead(self.reader, extents)

    def batch(self, step: int, rank: int = 0, ranks: int = 1, out: Buffers | None = None) -> Batch:
        """This rank's samples of the segment's step `step` (from 0): every `ranks`-th of the step's samples.

        With `out` they are read into these arrays, which are then the batch's.
        """
        pieces, sources_B = self.pieces(step, rank, ranks)
        size = len(sources_B) * self.segment.sequence * self.reader.dtype.itemsize
        self._ahead.at(step, size, ranks, lambda ahead: self.pieces(ahead, rank, ranks)[0])
        return self.reader.read(pieces, sources_B, self.segment.sequence, out)

    def buffers(self, rank: int = 0, ranks: int = 1) -> Buffers:
        """Arrays that a step of this rank fits into: memory that is used again costs no page faults."""
        count = len(range(rank, self.segment.samples, ranks))
        return Buffers.allocate(count, self.segment.sequence, self.reader.dtype)

    def pieces(
        self, step: int, rank: int = 0, ranks: int = 1
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where these samples come from: pieces int64 [P, 5] (csrc/data/source_order.h), and each sample's source."""
        count = len(range(rank, self.segment.samples, ranks))
        return self._samples.pieces(step * self.segment.samples + rank, count, ranks)

    def places(self, steps: int) -> Places:
        """Where the segment's sources stand after `steps` steps of it."""
        return {name: order.place(count) for name, order, count in self._after(steps)}

    def positions(self, steps: int) -> dict[str, int]:
        """Positions of each source in the first `steps` steps."""
        return {name: count * self.segment.sequence for name, _, count in self._after(steps)}

    def epochs(self, steps: int) -> dict[str, float]:
        """How often each source has been read since the run began, after `steps` steps."""
        return {name: order.epochs(count) for name, order, count in self._after(steps)}

    def steps_of(self, name: str, start: int, count: int, steps: int) -> set[int]:
        """Those of the first `steps` steps that read one of the positions [start, start + count) of a source."""
        if name not in self._orders:
            return set()
        source, samples = self._index[name], steps * self.segment.samples
        taken = int(self._mixture.counts(samples)[source])
        numbers = self._orders[name].find(start, count, taken)
        return {self._sample(source, number, samples) // self.segment.samples for number in numbers}

    def _sample(self, source: int, number: int, samples: int) -> int:
        """Which of the first `samples` samples is sample `number` of a source."""
        least, most = 0, samples        # the first has too few samples of the source before its end, the last enough
        while most - least > 1:
            middle = (least + most) // 2
            enough = int(self._mixture.counts(middle)[source]) > number
            least, most = (least, middle) if enough else (middle, most)
        return least

    def steps_within_caps(self, wanted: int) -> tuple[int, tuple[str, ...]]:
        """The most steps, up to `wanted`, that keep every source within its cap; and the sources that allow no more."""
        capped = [name for name, cap in self._caps.items() if cap is not None]
        if not capped or not self._beyond(wanted, capped):
            return wanted, ()
        least, most = 0, wanted         # within all caps (or the very first step), and beyond one
        while most - least > 1:
            middle = (least + most) // 2
            least, most = (least, middle) if self._beyond(middle, capped) else (middle, most)
        return least, self._beyond(least + 1, capped)

    def _beyond(self, steps: int, names: list[str]) -> tuple[str, ...]:
        epochs = self.epochs(steps)
        return tuple(name for name in names if epochs[name] > (self._caps[name] or 0.0))

    def _after(self, steps: int) -> list[tuple[str, SourceOrder, int]]:
        counts = self._mixture.counts(steps * self.segment.samples)
        return [(name, order, int(counts[self._index[name]])) for name, order in self._orders.items()]


def positions_of(segment: Segment, steps: int) -> dict[str, int]:
    """Positions of each source in the first `steps` steps of a segment: from its weights alone."""
    counts = Mixture(list(segment.weights.values())).counts(steps * segment.samples)
    return {name: int(count) * segment.sequence for name, count in zip(segment.weights, counts, strict=True)}


def heldout_windows(source: TokenizedSource, sequence: int, limit: int, index: int) -> Batch:
    """The first `limit` tokens of a held-out set in windows that touch but do not overlap, all of source `index`.

    Documents in a window see each other.  What is left over after the last whole window is not measured.
    """
    count = max(0, min(limit, source.total_tokens - 1) // sequence)
    rows = np.arange(count, dtype=np.int64)
    zero = np.zeros_like(rows)
    pieces = np.stack([rows, zero, zero, rows * sequence, zero + sequence], axis=1)
    batch = BatchReader({"": source}, apart=[False], vocab=None).read(pieces, zero, sequence)
    return Batch(
        tokens_BL=batch.tokens_BL, labels_BL=batch.labels_BL, loss_BL=batch.loss_BL,
        sources_B=np.full(count, index, dtype=np.int64), cu_seqlens=batch.cu_seqlens,
    )  # fmt: skip
