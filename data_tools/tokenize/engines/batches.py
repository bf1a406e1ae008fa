"""Between columns and libraries that take and give Python objects: a batch at a time, so memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from data_tools.tokenize.columns import Spans, Texts, Tokens

_BATCH_BYTES = 1 << 20      # of text per call; a Python object per token is some 50 times as much


def batches(texts: Texts) -> Iterator[list[str]]:
    """All documents as Python strings, about a megabyte at a time (more only for a longer document)."""
    start, count = 0, len(texts)
    while start < count:
        stop = int(np.searchsorted(texts.offsets, texts.offsets[start] + _BATCH_BYTES))
        stop = min(max(stop, start + 1), count)
        yield texts.strings(start, stop)
        start = stop


def tokens_of(parts: Sequence[Any]) -> Tokens:
    """The columns of one sequence of ids per document."""
    arrays = [np.asarray(part, np.int32) for part in parts]
    lengths = np.array([len(array) for array in arrays], np.int64)
    return Tokens(np.concatenate([np.empty(0, np.int32), *arrays]), lengths)


def spans_of(parts: Sequence[Spans]) -> Spans:
    """One after the other; (0, 2) if there are none."""
    return np.concatenate([np.empty((0, 2), np.int64), *parts])


def byte_spans(text: str, characters: Any) -> Spans:
    """Spans of characters [tokens, 2] as spans of UTF-8 bytes."""
    spans = np.asarray(characters, np.int64).reshape(-1, 2)
    if text.isascii():
        return spans
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    widths = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
    edges = np.concatenate(([0], np.cumsum(widths)))
    return edges[spans]
