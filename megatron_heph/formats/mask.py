"""`.mask` beside a shard: the tokens without loss.

A file of little-endian uint64 pairs (start, length) in tokens of that shard, sorted, without overlap,
neither touching nor empty.  A token in a span is read by the model but never predicted: as a target
it carries no loss.  A shard without such tokens has no `.mask`.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from megatron_heph.errors import InputError

Spans = npt.NDArray[np.uint64]      # [spans, 2]: start, length
_PAIR_BYTES = 16


def mask_path(shard_prefix: Path) -> Path:
    """`data/api-00000` -> `data/api-00000.mask`."""
    return shard_prefix.with_name(shard_prefix.name + ".mask")


def spans_of(flags: npt.NDArray[np.bool_], start: int = 0) -> npt.NDArray[np.int64]:
    """The runs of True in `flags`, the first of which is token `start`: (start, length), int64 [runs, 2]."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    begins, ends = edges[::2], edges[1::2]
    return np.stack([begins + start, ends - begins], axis=1).astype(np.int64)


class MaskWriter:
    """Streams spans into `<shard>.mask`, under a temporary name until `finalize`; joins spans that touch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.masked_tokens = 0
        self._partial = path.with_name(path.name + ".partial")
        self._stream = self._partial.open("wb")
        self._last: tuple[int, int] | None = None      # held back, as the next span may touch it

    def __enter__(self) -> MaskWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if not self._stream.closed:
            self._stream.close()
            self._partial.unlink(missing_ok=True)

    def append(self, spans: npt.NDArray[np.int64]) -> None:
        """Adds sorted (start, length) pairs, int64 [n, 2], that begin where the last one ended or later."""
        if not len(spans):
            return
        if self._last is not None:
            end = sum(self._last)
            assert spans[0, 0] >= end, f"the span at {spans[0, 0]} begins before {end}"
            if spans[0, 0] == end:
                spans = spans.copy()
                spans[0] = self._last[0], self._last[1] + spans[0, 1]
            else:
                self._write(np.array([self._last]))
        self._write(spans[:-1])
        self._last = int(spans[-1, 0]), int(spans[-1, 1])

    def finalize(self) -> bool:
        """Completes the file; leaves none, and returns False, if there was no span."""
        if self._last is not None:
            self._write(np.array([self._last]))
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        if self._last is None:
            self._partial.unlink()
            self.path.unlink(missing_ok=True)
            return False
        self._partial.replace(self.path)
        return True

    def _write(self, spans: npt.NDArray[np.int64]) -> None:
        self.masked_tokens += int(spans[:, 1].sum())
        self._stream.write(np.ascontiguousarray(spans, dtype="<u8").tobytes())


def read_mask(path: Path, tokens: int) -> Spans:
    """Reads the spans of a shard of `tokens` tokens: uint64 [spans, 2], memory-mapped.

    Raises InputError with both values if it is missing, cut short, out of order or past the shard's end.
    """
    if not path.is_file():
        raise InputError(f"There is no {path}: copy it again beside its .bin, or run `heph tokenize` again.")
    size = path.stat().st_size
    if not size or size % _PAIR_BYTES:
        raise InputError(
            f"{path} has {size} bytes, and a mask is one or more pairs of {_PAIR_BYTES} bytes: it was cut "
            f"short. Copy it again, or run `heph tokenize` again."
        )
    spans = np.memmap(path, dtype="<u8", mode="r").view(np.ndarray).reshape(-1, 2)
    starts, ends = spans[:, 0], spans[:, 0] + spans[:, 1]
    bad = np.flatnonzero((spans[:, 1] == 0) | (np.append(starts[1:], tokens) < ends) | (ends < starts))
    if len(bad):
        at = int(bad[0])
        limit = starts[at + 1] if at + 1 < len(spans) else tokens
        raise InputError(
            f"{path}: span {at} covers tokens {starts[at]} to {ends[at]}, and should cover at least one and "
            f"end by {limit} "
            f"({'where the next one begins' if at + 1 < len(spans) else 'where the shard ends'}). The mask "
            f"belongs to another shard, or is damaged: run `heph tokenize` again."
        )
    return spans
