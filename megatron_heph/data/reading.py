"""Reads pieces of sources into a batch.

Shapes: B samples, L positions of a sample, P pieces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from megatron_heph import _native
from megatron_heph.data.batch import Batch
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.shard import input_error

_Ids = npt.NDArray[np.uint16] | npt.NDArray[np.int32]

READ_THREADS = 8
READ_BLOCK_BYTES = 1 << 20
_UINT16_IDS = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffers:
    """Arrays that a batch is read into; whoever reads into them again overwrites the batch before."""

    tokens_BL: _Ids          # uint16 or int32, C-contiguous, as are the others
    labels_BL: _Ids          # of the same dtype
    loss_BL: npt.NDArray[np.bool_]

    @classmethod
    def allocate(cls, samples: int, length: int, dtype: np.dtype) -> Buffers:
        """New arrays; what they hold is not defined."""
        shape = samples, length
        tokens, labels, loss = np.empty(shape, dtype), np.empty(shape, dtype), np.empty(shape, np.bool_)
        return cls(tokens_BL=tokens, labels_BL=labels, loss_BL=loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCounts:
    """What reading has cost since the sources were opened."""

    bytes: int               # of tokens, indices and masks
    reads: int
    cold_reads: int          # had to wait for the disk
    unknown_reads: int       # of file systems that do not tell
    seconds_waited: float    # in cold and unknown reads, summed over threads
    ahead_bytes: int         # read only to have them in the page cache


class BatchReader:
    """Reads batches of several sources; thread-safe.

    Pieces that are not in the page cache are fetched side by side, by threads that start when that first happens.
    """

    def __init__(
        self,
        sources: Mapping[str, TokenizedSource],
        apart: Sequence[bool],
        vocab: int | None,
        *,
        threads: int = READ_THREADS,
        block_bytes: int = READ_BLOCK_BYTES,
    ) -> None:
        """Takes the sources in the order in which pieces count them.

        `apart[i]` says that documents of the i-th source attend to themselves alone; ids must be below `vocab`, where
        it is known.
        """
        self._readers = [source.reader for source in sources.values()]
        self._ahead = _native.ReadAhead(threads, block_bytes)
        self._native = _native.BatchReader(self._readers, list(apart), vocab or 0, self._ahead)
        narrow = vocab <= _UINT16_IDS if vocab is not None else all(reader.narrow for reader in self._readers)
        self.dtype = np.dtype(np.uint16 if narrow else np.int32)

    def read(
        self,
        pieces_P5: npt.NDArray[np.int64],
        sources_B: npt.NDArray[np.int64],
        length: int,
        out: Buffers | None = None,
        *,
        joined: bool = False,
    ) -> Batch:
        """Reads B x `length` positions: pieces are (row, column, source, start, count), sorted by row and column.

        A piece's labels are its own tokens, one further; with `joined` pieces cover length + 1 columns of a row, and
        labels are the row's tokens, one further.  What no piece covers is padding.  Raises InputError for files that
        are damaged, changed or gone, and for ids that are not below the vocabulary.
        """
        out = out or Buffers.allocate(len(sources_B), length, self.dtype)
        assert out.tokens_BL.shape == (len(sources_B), length), (out.tokens_BL.shape, len(sources_B), length)
        try:
            cu_seqlens = self._native.read(pieces_P5, out.tokens_BL, out.labels_BL, out.loss_BL, joined)
        except (ValueError, OSError) as error:
            raise input_error(error) from error
        return Batch(
            tokens_BL=out.tokens_BL,
            labels_BL=out.labels_BL,
            loss_BL=out.loss_BL,
            sources_B=sources_B,
            cu_seqlens=cu_seqlens,
        )

    def want(self, pieces_P5: npt.NDArray[np.int64], extents: Sequence[int]) -> None:
        """A hint that the extents in which these pieces begin will be read soon; returns at once.

        `extents[i]` is how many tokens one of the i-th source has, or 0: only the pieces themselves are.
        """
        self._native.want(pieces_P5, extents)

    def counts(self) -> ReadCounts:
        """What reading all of the sources has cost, by any reader of theirs."""
        rows = [reader.counters for reader in self._readers]
        sums = {name: sum(row[name] for row in rows) for name in rows[0]} if rows else {}
        return ReadCounts(
            bytes=sums.get("bytes", 0),
            reads=sums.get("reads", 0),
            cold_reads=sums.get("cold_reads", 0),
            unknown_reads=sums.get("unknown_reads", 0),
            seconds_waited=sums.get("waited_ns", 0) / 1e9,
            ahead_bytes=sums.get("ahead_bytes", 0),
        )
