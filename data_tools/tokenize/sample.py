"""Documents of the input for the gate: few, and from many places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from data_tools.tokenize.columns import Texts
from data_tools.tokenize.plan import ShardPlan
from data_tools.tokenize.reading import read_piece

_BYTES, _PLACES = 1 << 15, 8      # so many bytes from so many places, about


def sample_texts(plans: Sequence[ShardPlan], field: str) -> Texts:
    """Documents from some places of the inputs, spread evenly; malformed lines are left to the run."""
    pieces = [piece for plan in plans for piece in plan.pieces]
    picked = [pieces[i * len(pieces) // _PLACES] for i in range(_PLACES)]
    texts: list[Texts] = []
    for piece in dict.fromkeys(picked):
        head = piece if piece.file.compressed or piece.file.parquet else replace(
            piece, end=min(piece.end, piece.begin + _BYTES)
        )  # fmt: skip
        batch = next(read_piece(head, field, block_bytes=_BYTES), None)
        if batch is not None:
            count = int(np.searchsorted(batch.texts.offsets, 2 * _BYTES, side="right")) - 1
            texts.append(batch.texts.take(range(max(count, min(1, len(batch.texts))))))
    return _joined(texts)


def _joined(texts: Sequence[Texts]) -> Texts:
    sizes = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.offsets) for part in texts)])
    return Texts(np.concatenate([np.empty(0, np.uint8), *(part.data for part in texts)]), np.cumsum(sizes))
