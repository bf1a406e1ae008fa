"""Sources whose documents are packed whole into samples: their order, and the counts that it needs.

A document that fits into a sample is never cut, and no sample holds parts of two blocks.  What a sample has left
is padding: about half a window per block, so that the share of padding falls as blocks grow (docs/data.md).
The windows of 16 blocks that follow each other in an epoch's order stand in an order of their own, a group.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from megatron_heph import _native
from megatron_heph.data.segments import Place
from megatron_heph.errors import InputError
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.pack_counts import Report, Warn, open_counts
from megatron_heph.formats.shard import input_error


class PackedOrder:
    """The endless order of a source's packed samples; see csrc/data/pack_order.h.

    Sample k is the k-th window of `length` positions, from `begin` on.
    """

    def __init__(
        self, source: TokenizedSource, block: int, key: tuple[int, int], begin: Place, length: int
    ) -> None:
        """Opens the counts of the source's windows, and makes them where they are missing (`prepare_counts`).

        Raises InputError if the source has nothing to pack, cannot be read, or has no place `begin`.
        """
        self.extent = block
        counts = open_counts(source, block, length)
        if counts.total == 0:
            raise InputError(
                f"The source {source.prefix} has {source.total_documents:,} documents, and none of two tokens or more: "
                f"packed, it has no token to predict. Tokenize text into it, or read it with window = 'stream'."
            )
        try:
            self.native = _native.PackOrder(source.reader, counts, block, key, (begin.cursor, begin.used), length)
        except (ValueError, OSError) as error:
            raise input_error(error) from error

    def place(self, samples: int) -> Place:
        """Where the source stands after so many samples."""
        groups, used = self.native.place(samples)
        return Place(groups, tuple(used))

    def epochs(self, samples: int) -> float:
        """How often the source has been read since the run began, after so many samples."""
        return self.native.epochs(samples)

    def find(self, start: int, count: int, samples: int) -> set[int]:
        """Those of the first `samples` samples that read one of the positions [start, start + count) of the source."""
        try:
            return set(np.asarray(self.native.find(start, count, samples)).tolist())
        except (ValueError, OSError) as error:
            raise input_error(error) from error


def prepare_counts(
    sources: Iterable[TokenizedSource],
    block: int,
    lengths: Iterable[int],
    report: Report = lambda done, blocks: None,
    warn: Warn = lambda line: None,
) -> None:
    """Makes the counts of packed sources at every length where they are missing, before anything needs them.

    Some 60 ns per document; of many processes that call it, one works and the others wait.  Raises InputError as
    `open_counts` does.
    """
    distinct = sorted(set(lengths))
    for source in sources:
        for length in distinct:
            open_counts(source, block, length, report=report, warn=warn)
