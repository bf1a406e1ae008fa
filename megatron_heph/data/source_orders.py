"""The endless order of a source's samples, from a place on, by the kind of its windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from megatron_heph import _native
from megatron_heph.data.order import source_key
from megatron_heph.data.packing import PackedOrder, prepare_counts
from megatron_heph.data.segments import Place
from megatron_heph.data.sources import Sources, TrainingSource
from megatron_heph.formats.pack_counts import Report, Warn
from megatron_heph.recipe.resolve import packed_block
from megatron_heph.recipe.resolved import Resolved


class SourceOrder(Protocol):
    """A source's samples are numbered from 0, at the place where the segment began."""

    @property
    def native(self) -> _native.SourceOrder:
        """What computes the pieces of a sample."""

    @property
    def extent(self) -> int:
        """Tokens that lie together and are read soon after each other."""

    def place(self, samples: int) -> Place:
        """Where the source stands after so many samples."""

    def epochs(self, samples: int) -> float:
        """How often the source has been read since the run began, after so many samples."""

    def find(self, start: int, count: int, samples: int) -> set[int]:
        """Those of the first `samples` samples that read one of the positions [start, start + count) of the source."""


class _Stream:
    def __init__(self, source: TrainingSource, begin: Place, sequence: int, resolved: Resolved) -> None:
        key = source_key(resolved.recipe.seed, source.name)
        self.native = _native.StreamOrder(source.total_tokens, resolved.block, key, begin.cursor, sequence)
        self._begin, self._sequence, self._epoch = begin.cursor, sequence, source.total_tokens - 1
        self._block, self.extent = resolved.block, self.native.extent

    def place(self, samples: int) -> Place:
        return Place(self._begin + samples * self._sequence)

    def epochs(self, samples: int) -> float:
        return self.place(samples).cursor / self._epoch

    def find(self, start: int, count: int, samples: int) -> set[int]:
        end, found = self._begin + samples * self._sequence, set()
        for epoch in range(self._begin // self._epoch, -(-end // self._epoch)):
            for first, length in self._cursors(start, min(start + count, self._epoch), epoch):
                least, most = max(first, self._begin), min(first + length, end) - 1
                found |= set(range((least - self._begin) // self._sequence, (most - self._begin) // self._sequence + 1))
        return found

    def _cursors(self, start: int, stop: int, epoch: int) -> Iterator[tuple[int, int]]:
        """(cursor, number) of the positions [start, stop) in an epoch, by the inverse of its order."""
        blocks = self._epoch // self._block
        while start < stop:
            block, offset = divmod(start, self._block)
            inside = min(stop, (block + 1) * self._block) - start
            turn = self.native.turn_of(block, epoch) if block < blocks else block  # the rest comes last
            yield epoch * self._epoch + turn * self._block + offset, inside
            start += inside


def prepare(resolved: Resolved, sources: Sources, report: Report, warn: Warn) -> None:
    """Has all that the orders of the sources need besides them: the window counts of those that are packed."""
    packed = [source.tokens for source in sources.values() if source.node.window == "pack"]
    lengths = [stage.sequence for stage in resolved.recipe.stage]
    prepare_counts(packed, packed_block(resolved.block), lengths, report, warn)


def open_order(source: TrainingSource, begin: Place, sequence: int, resolved: Resolved) -> SourceOrder:
    """The order of a source's samples of `sequence` positions, from `begin` on."""
    if source.node.window == "pack":
        key = source_key(resolved.recipe.seed, source.name)
        return PackedOrder(source.tokens, packed_block(resolved.block), key, begin, sequence)
    return _Stream(source, begin, sequence, resolved)
