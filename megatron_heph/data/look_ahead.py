"""Has the blocks of coming steps fetched while the page cache does not hold them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from megatron_heph.data.reading import BatchReader

_BYTES = 32 << 20                       # that are on their way at a time, at most
_EVERY = 8                              # steps between two looks at what reading has cost

Pieces = Callable[[int], npt.NDArray[np.int64]]
"""Of a step: pieces int64 [P, 5]."""


class LookAhead:
    """Watches one rank's reading of a segment; where reads wait for the disk, asks for the blocks of coming steps.

    A block comes whole: the samples that follow in it are read soon, here or by another rank of the machine.
    Where everything is in the page cache it costs nothing.
    """

    def __init__(self, reader: BatchReader, block: int) -> None:
        self._reader, self._block = reader, block
        self._cold = False
        self._waited = 0                # reads that had to wait, when last looked at
        self._asked = 0                 # steps before it are asked for

    def at(self, step: int, step_bytes: int, pieces_of: Pieces) -> None:
        """Step `step`, which reads `step_bytes`, comes next, and those after it in turn."""
        if step % _EVERY == 0:
            counts = self._reader.counts()
            waited = counts.cold_reads + counts.unknown_reads
            self._cold, self._waited = waited > self._waited, waited
        if not self._cold:
            return
        horizon = step + 2 + _BYTES // max(1, step_bytes)
        for ahead in range(max(step + 1, self._asked), horizon):
            self._reader.want(pieces_of(ahead), self._block)
        self._asked = horizon
