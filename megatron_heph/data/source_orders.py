"""The endless order of a source's samples, from a place on, by the kind of its windows."""

from __future__ import annotations

from typing import Protocol

from megatron_heph import _native
from megatron_heph.data.order import source_key
from megatron_heph.data.segments import Place
from megatron_heph.data.sources import TrainingSource
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


class _Stream:
    def __init__(self, source: TrainingSource, begin: Place, sequence: int, resolved: Resolved) -> None:
        key = source_key(resolved.recipe.seed, source.name)
        self.native = _native.StreamOrder(source.total_tokens, resolved.block, key, begin.cursor, sequence)
        self._begin, self._sequence, self._epoch = begin.cursor, sequence, source.total_tokens - 1

    def place(self, samples: int) -> Place:
        return Place(self._begin + samples * self._sequence)

    def epochs(self, samples: int) -> float:
        return self.place(samples).cursor / self._epoch


def open_order(source: TrainingSource, begin: Place, sequence: int, resolved: Resolved) -> SourceOrder:
    """The order of a source's samples of `sequence` positions, from `begin` on."""
    return _Stream(source, begin, sequence, resolved)
