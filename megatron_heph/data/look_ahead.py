"""Has what coming steps read fetched while the page cache does not hold it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from megatron_heph.data.reading import BatchReader

_BYTES = 32 << 20                       # that are on their way at a time, at most
_RANKS = 8                              # that may be on one machine
_LOOK_BYTES = 1 << 20                   # between two looks at what reading has cost
_STAY_BYTES = 1 << 30                   # that are asked for after a wait: while it works nothing waits

Pieces = Callable[[int], npt.NDArray[np.int64]]
"""Of a step: pieces int64 [P, 5]."""


class LookAhead:
    """Watches one rank's reading of a segment; where reads wait for the disk, asks for the bytes of coming steps.

    With few ranks extents come whole: what lies beside a sample is read soon, here or by another rank of the machine.
    Of many ranks most are on other machines, and each asks for its own samples.  Where everything is in the page
    cache it costs nothing.
    """

    def __init__(self, reader: BatchReader, extents: Sequence[int]) -> None:
        self._reader, self._extents = reader, list(extents)
        self._left = 0                  # bytes to read before it stops asking
        self._waited = 0                # reads that had to wait, when last looked at
        self._unseen = 0                # bytes read since then
        self._asked = 0                 # steps before it are asked for

    def at(self, step: int, step_bytes: int, ranks: int, pieces_of: Pieces) -> None:
        """Step `step`, of which this rank of `ranks` reads `step_bytes`, comes next, and those after it in turn."""
        if self._unseen >= _LOOK_BYTES:
            counts = self._reader.counts()
            waited = counts.cold_reads + counts.unknown_reads
            if waited > self._waited:
                self._left = _STAY_BYTES
            self._waited, self._unseen = waited, 0
        self._unseen += step_bytes
        if self._left <= 0:
            return
        self._left -= step_bytes
        horizon = step + 2 + _BYTES // max(1, step_bytes)
        extents = self._extents if ranks <= _RANKS else [0] * len(self._extents)
        for ahead in range(max(step + 1, self._asked), horizon):
            self._reader.want(pieces_of(ahead), extents)
        self._asked = horizon
