"""Documents in columns: one run of UTF-8 bytes and where each begins, never a Python object per document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of some documents, one after the other; valid UTF-8.

    Attributes:
        data: uint8 [bytes].
        offsets: int64 [documents + 1], ascending; document i is `data[offsets[i] : offsets[i + 1]]`.
    """

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Texts:
        """The columns of Python strings; UnicodeEncodeError for half of a surrogate pair."""
        encoded = [text.encode() for text in texts]
        offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def text_bytes(self, document: int) -> bytes:
        """The UTF-8 bytes of a document."""
        return self.data[self.offsets[document] : self.offsets[document + 1]].tobytes()

    def strings(self, start: int = 0, stop: int | None = None) -> list[str]:
        """The documents [start, stop) as Python strings."""
        stop = len(self) if stop is None else stop
        edges = self.offsets[start : stop + 1].tolist()
        view = memoryview(np.ascontiguousarray(self.data))      # type: ignore[arg-type]
        return [str(view[a:b], "utf-8") for a, b in pairwise(edges)]

    def take(self, documents: Sequence[int] | npt.NDArray[np.int64]) -> Texts:
        """Some of the documents, copied, in the order given."""
        parts = [self.data[self.offsets[i] : self.offsets[i + 1]] for i in documents]
        offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        return Texts(np.concatenate([np.empty(0, np.uint8), *parts]), offsets)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The token ids of some documents, without bos, eos or template.

    Attributes:
        ids: int32 or uint32 [tokens], document after document.
        lengths: int64 [documents], in tokens.
    """

    ids: npt.NDArray[np.int32] | npt.NDArray[np.uint32]
    lengths: npt.NDArray[np.int64]

    def of_document(self, document: int) -> npt.NDArray:
        """The ids of one document."""
        start = int(self.lengths[:document].sum())
        return self.ids[start : start + int(self.lengths[document])]


Spans = npt.NDArray[np.int64]
"""int64 [tokens, 2]: the first and the stop byte of its document that each token covers."""

Codes = tuple[list[str], npt.NDArray[np.int32]]
"""Names, and for each document which of them it has: int32 [documents], -1 for none."""


@dataclass(frozen=True, slots=True)
class Segments:
    """The segments of those documents that have one without loss, in the order of the documents.

    Attributes:
        documents: int64 [segments], which document of the batch.
        ends: int64 [segments], the byte of the document's text after the segment.
        train: bool [segments], whether it carries loss.
    """

    documents: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    train: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no document: where it is in the content of its file, and why."""

    byte: int
    bytes: int
    reason: str
    excerpt: str     # of its beginning


@dataclass(frozen=True, slots=True)
class Batch:
    """Some documents of one piece, in order, and the lines among them that are none."""

    texts: Texts
    characters: npt.NDArray[np.int64]      # [documents], code points
    licenses: Codes
    domains: Codes
    sources: Codes
    segments: Segments
    bad: list[BadLine]
