"""The endless order of a source's samples, from a place on, by the kind of its windows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from typing import Protocol

from megatron_heph import _native
from megatron_heph.data.order import source_key
from megatron_heph.data.segments import Place
from megatron_heph.data.sources import TrainingSource
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.pack_counts import Report, open_counts
from megatron_heph.recipe.resolved import Resolved


class SourceOrder(Protocol):
    """A source's samples are numbered from 0, at the place where the segment began."""

    @property
    def native(self) -> _native.SourceOrder:
        """What computes the pieces of a sample."""

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
        self._block, self._key = resolved.block, key

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
        """(cursor, number) of the positions [start, stop) in an epoch, by the inverse of its permutation."""
        blocks = self._epoch // self._block
        permutation = _native.Permutation(blocks, self._key, epoch) if blocks else None
        while start < stop:
            block, offset = divmod(start, self._block)
            inside = min(stop, (block + 1) * self._block) - start
            turn = int(permutation.inverse(block)) if permutation and block < blocks else block  # the rest comes last
            yield epoch * self._epoch + turn * self._block + offset, inside
            start += inside


class _Pack:
    def __init__(self, source: TrainingSource, begin: Place, sequence: int, resolved: Resolved) -> None:
        key = source_key(resolved.recipe.seed, source.name)
        counts = window_counts(source.tokens, resolved.block, sequence)
        self.native = _native.PackOrder(
            source.tokens.reader, counts, resolved.block, key, (begin.cursor, begin.used), sequence
        )
        self._block, self._key, self._blocks = resolved.block, key, -(-source.total_tokens // resolved.block)

    def place(self, samples: int) -> Place:
        cursor, used = self.native.place(samples)
        return Place(cursor, tuple((length, windows) for length, windows in used))

    def epochs(self, samples: int) -> float:
        return self.native.epochs(samples)

    def find(self, start: int, count: int, samples: int) -> set[int]:
        found = set()
        first, last = self.place(0).cursor, self.place(samples).cursor
        for block in range(start // self._block, (start + count - 1) // self._block + 1):
            for epoch in range(first // self._blocks, last // self._blocks + 1):
                permutation = _native.Permutation(self._blocks, self._key, epoch)
                turn = epoch * self._blocks + int(permutation.inverse(block))
                found |= {number for number in self._of_turn(turn, samples) if self._reads(number, start, count)}
        return found

    def _of_turn(self, turn: int, samples: int) -> range:
        """The samples of a block, by the blocks before it since the run began."""
        numbers = range(samples)
        least = bisect_left(numbers, turn, key=lambda number: self.place(number).cursor)
        return range(least, bisect_left(numbers, turn + 1, lo=least, key=lambda number: self.place(number).cursor))

    def _reads(self, number: int, start: int, count: int) -> bool:
        pieces = self.native.pieces(number)
        return bool(((pieces[:, 3] < start + count) & (pieces[:, 3] + pieces[:, 4] > start)).any())


@lru_cache(maxsize=64)
def window_counts(
    source: TokenizedSource, block: int, sequence: int, report: Report = lambda done, blocks: None
) -> _native.WindowCounts:
    """The stored counts of a packed source; they are made where they are missing."""
    return open_counts(source, block, sequence, report=report)


def open_order(source: TrainingSource, begin: Place, sequence: int, resolved: Resolved) -> SourceOrder:
    """The order of a source's samples of `sequence` positions, from `begin` on."""
    kind = _Pack if source.node.window == "pack" else _Stream
    return kind(source, begin, sequence, resolved)
