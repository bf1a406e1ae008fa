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
        view = memoryview(np.ascontiguousarray(self.data))
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
