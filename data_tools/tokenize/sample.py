"""Documents of the input for the gate: few, and from many places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from data_tools.tokenize.columns import Texts
from data_tools.tokenize.plan import Piece, ShardPlan
from data_tools.tokenize.reading import read_piece

_BYTES, _PLACES = 1 << 14, 8      # so many bytes from so many places, about


def sample_texts(plans: Sequence[ShardPlan], field: str) -> Texts:
    """Documents from places spread evenly over the bytes of the inputs; long ones are cut.

    Malformed lines are left to the run.
    """
    pieces = [piece for plan in plans for piece in plan.pieces]
    texts = []
    for place in dict.fromkeys(_places(pieces)):
        batch = next(read_piece(place, field, block_bytes=_BYTES), None)
        if batch is not None:
            texts.append(_few(batch.texts))
    return _joined(texts)


def _places(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Some bytes of lines that begin at equal distances; of what is not cut there, its beginning."""
    total = sum(piece.end - piece.begin for piece in pieces)
    wanted, before = 0, 0
    for piece in pieces:
        size = piece.end - piece.begin
        while wanted < _PLACES and wanted * total < (before + size) * _PLACES:
            begin = piece.begin + wanted * total // _PLACES - before
            whole = piece.file.compressed or piece.file.parquet
            yield piece if whole else replace(piece, begin=begin, end=min(piece.end, begin + _BYTES))
            wanted += 1
        before += size


def _few(texts: Texts) -> Texts:
    """The first documents, `_BYTES` each at most and some more in all."""
    count = int(np.searchsorted(texts.offsets, _BYTES)) if len(texts) else 0
    parts = [texts.data[a : min(b, a + _BYTES)] for a, b in pairwise(texts.offsets[: count + 1].tolist())]
    return Texts.of([part.tobytes().decode("utf-8", "ignore") for part in parts])      # a character may be cut


def _joined(texts: Sequence[Texts]) -> Texts:
    sizes = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.offsets) for part in texts)])
    return Texts(np.concatenate([np.empty(0, np.uint8), *(part.data for part in texts)]), np.cumsum(sizes))
