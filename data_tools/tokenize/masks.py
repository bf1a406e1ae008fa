"""From segments to the tokens without loss."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from data_tools.tokenize.columns import Segments, Spans


def tokens_without_loss(
    segments: Segments, lengths: npt.NDArray[np.int64], spans: Spans, *, ends: bool
) -> npt.NDArray[np.bool_]:
    """Which tokens carry no loss, for documents that all have segments: bool [tokens + documents].

    `lengths` are the documents' tokens and `spans` their bytes; each document that has tokens is followed
    by its end-of-document token where `ends` says that there is one.  A token across a boundary carries
    loss only if all of its bytes do; the end of the document follows the last segment.
    """
    count = len(lengths)
    # Bytes of text per document, and where each begins if all lie in a row.
    last = np.flatnonzero(np.append(np.diff(segments.documents), 1))
    sizes = segments.ends[last]
    base = np.concatenate(([0], np.cumsum(sizes)))
    starts = np.append(0, segments.ends[:-1])
    starts[last[:-1] + 1] = 0
    edges = np.append(base[segments.documents] + starts, base[-1])
    # hidden[i]: bytes without loss before edge i; in between it is linear, and exact in float64
    hidden = np.concatenate(([0], np.cumsum((segments.ends - starts) * ~segments.train)))
    owner = np.repeat(np.arange(count), lengths)
    # A token may cover no byte (a space that the tokenizer adds): it goes with the byte that follows.
    begins = base[owner] + np.minimum(spans[:, 0], sizes[owner] - 1)
    stops = np.maximum(base[owner] + spans[:, 1], begins + 1)
    without = np.interp(stops, edges, hidden) > np.interp(begins, edges, hidden)
    if not ends:
        return without
    kept = lengths > 0
    full = np.flatnonzero(segments.ends > starts)      # an empty segment is not the last one
    last_train = np.ones(count, np.bool_)
    last_train[segments.documents[full]] = segments.train[full]     # the last assignment stands
    return np.insert(without, np.cumsum(lengths)[kept], ~last_train[kept])
