"""Megatron's `.bin/.idx` pair, memory-mapped and checked.

Layout of an `.idx` (little-endian): 9 bytes of magic, version u64, dtype code u8, sequence count u64,
document count u64, lengths i32[sequences], pointers i64[sequences] (byte offsets into the `.bin`),
document_indices i64[documents] (the first sequence of each document, and the sequence count at the end).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from pathlib import Path

import numpy as np
import numpy.typing as npt

from megatron_heph.errors import InputError

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
HEADER = struct.Struct("<9sQBQQ")
DTYPES: dict[int, np.dtype] = {8: np.dtype("<u2"), 4: np.dtype("<i4")}
_CHECK_ENTRIES = 1 << 20      # entries of an .idx that are checked at a time: bounded memory for any size
_AGAIN = "Copy the file again, or run `heph tokenize` again."


def token_dtype(vocab_size: int) -> np.dtype:
    """The dtype of ids below `vocab_size`, by Megatron's rule: uint16 below 65,500 and int32 above."""
    return DTYPES[8] if vocab_size < 65500 else DTYPES[4]


class IndexedShard:
    """One `.bin/.idx` pair.

    Attributes, all memory-mapped and read-only:
        dtype: `<u2` or `<i4`.
        lengths: int32 [sequences], in tokens.
        pointers: int64 [sequences], in bytes.
        document_indices: int64 [documents + 1], in sequences.
        tokens: `dtype` [tokens], the flat token stream.
    """

    def __init__(self, prefix: Path | str, *, deep: bool = True) -> None:
        """Opens `<prefix>.bin/.idx`.

        Header, sizes and ends are always checked, in constant time; `deep` also walks all pointers
        (about 5 ns per document), and may be left out where the pair was opened before.

        Raises InputError with both values if the pair is missing, cut short or not what it says.
        """
        self.prefix = Path(prefix)
        self.bin_path, self.idx_path = _with_suffix(self.prefix, ".bin"), _with_suffix(self.prefix, ".idx")
        _check_pair_exists(self.bin_path, self.idx_path)
        self.dtype, sequences, entries = _read_header(self.idx_path)
        raw = np.memmap(self.idx_path, mode="r").view(np.ndarray)
        cuts = np.cumsum([HEADER.size, 4 * sequences, 8 * sequences, 8 * entries])
        self.lengths: npt.NDArray[np.int32] = raw[cuts[0] : cuts[1]].view("<i4")
        self.pointers: npt.NDArray[np.int64] = raw[cuts[1] : cuts[2]].view("<i8")
        self.document_indices: npt.NDArray[np.int64] = raw[cuts[2] : cuts[3]].view("<i8")
        self._check_ends()
        if deep:
            self._check_pointers()
            self._check_documents()
        self.tokens: npt.NDArray = (
            np.memmap(self.bin_path, dtype=self.dtype, mode="r").view(np.ndarray)
            if sequences and self.bin_path.stat().st_size
            else np.empty(0, self.dtype)
        )

    def __len__(self) -> int:
        """Documents in the shard."""
        return len(self.document_indices) - 1

    def document_span(self, document: int) -> tuple[int, int]:
        """The tokens [start, stop) of a document of this shard."""
        first, last = self.document_indices[document], self.document_indices[document + 1]
        return self._sequence_start(int(first)), self._sequence_start(int(last))

    def document_at(self, token: int) -> int:
        """The document that holds a token of this shard; two binary searches, nothing is built."""
        # bisect and not np.searchsorted: the header's 34 bytes leave the arrays unaligned, and numpy
        # would copy them whole.
        sequence = bisect_right(self.pointers, token * self.dtype.itemsize) - 1
        return min(bisect_right(self.document_indices, sequence), len(self)) - 1

    def document_starts(self) -> npt.NDArray[np.int64]:
        """The first token of every document: int64 [documents]."""
        starts = np.append(self.pointers // self.dtype.itemsize, len(self.tokens))
        return starts[self.document_indices[:-1]]

    def _sequence_start(self, sequence: int) -> int:
        if sequence == len(self.pointers):
            return len(self.tokens)
        return int(self.pointers[sequence]) // self.dtype.itemsize

    def _check_ends(self) -> None:
        """Both files have the sizes that the ends of the arrays say."""
        sequences, entries = len(self.lengths), len(self.document_indices)
        expected = int(self.pointers[-1]) + int(self.lengths[-1]) * self.dtype.itemsize if sequences else 0
        found = self.bin_path.stat().st_size
        if found != expected:
            raise InputError(
                f"{self.bin_path} has {found} bytes, and its {self.idx_path.name} says {expected} "
                f"({sequences} sequences of {self.dtype.name}): one of the two was cut short or belongs to "
                f"another pair. {_AGAIN}"
            )
        first, last = (int(self.document_indices[0]), int(self.document_indices[-1])) if entries else (-1, -1)
        if (first, last) != (0, sequences):
            raise InputError(
                f"{self.idx_path}: the document indices run from {first} to {last}, and should run from 0 "
                f"to the sequence count {sequences}. A merge without offsets makes such files: merge or "
                f"tokenize again."
            )

    def _check_pointers(self) -> None:
        """Every sequence begins where the one before it ends."""
        expected = 0
        for start in range(0, len(self.lengths), _CHECK_ENTRIES):
            lengths = self.lengths[start : start + _CHECK_ENTRIES].astype(np.int64)
            pointers = self.pointers[start : start + _CHECK_ENTRIES]
            ends = expected + np.cumsum(lengths * self.dtype.itemsize)
            begins = np.concatenate(([expected], ends[:-1]))
            bad = np.flatnonzero((pointers != begins) | (lengths < 0))
            if len(bad):
                at = int(bad[0])
                raise InputError(
                    f"{self.idx_path}: the pointers do not follow each other: sequence {start + at} (of "
                    f"length {lengths[at]}) is at byte {pointers[at]}, and should be at {begins[at]}. "
                    f"{_AGAIN}"
                )
            expected = int(ends[-1])

    def _check_documents(self) -> None:
        """Documents are in order."""
        for start in range(0, len(self.document_indices) - 1, _CHECK_ENTRIES):
            part = self.document_indices[start : start + _CHECK_ENTRIES + 1]
            bad = np.flatnonzero(part[1:] < part[:-1])
            if len(bad):
                at = int(bad[0])
                raise InputError(
                    f"{self.idx_path}: document {start + at + 1} begins at sequence {part[at + 1]}, before "
                    f"document {start + at} at sequence {part[at]}; they should ascend. {_AGAIN}"
                )


def _with_suffix(prefix: Path, suffix: str) -> Path:
    return prefix.with_name(prefix.name + suffix)     # not Path.with_suffix: a prefix may hold dots


def _check_pair_exists(bin_path: Path, idx_path: Path) -> None:
    for path, other in ((bin_path, idx_path), (idx_path, bin_path)):
        if not path.is_file():
            state = "its other half is there" if other.is_file() else f"nor is there a {other.name}"
            raise InputError(
                f"There is no {path}; {state}. A pair is .bin and .idx: copy it again, or run `heph "
                f"tokenize` again."
            )


def _read_header(path: Path) -> tuple[np.dtype, int, int]:
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(HEADER.size)
    if head[: len(MAGIC)] != MAGIC[: len(head)] or not head:
        raise InputError(
            f"{path} is not an index: it begins with {head[:9]!r}, and should begin with {MAGIC!r}. {_AGAIN}"
        )
    if len(head) < HEADER.size:
        raise InputError(
            f"{path} is cut short: it has {size} bytes, and its header alone has {HEADER.size}. {_AGAIN}"
        )
    _, version, code, sequences, entries = HEADER.unpack(head)
    if version != VERSION:
        raise InputError(
            f"{path} is an index of version {version}, and this program reads version {VERSION}. {_AGAIN}"
        )
    if code not in DTYPES:
        known = ", ".join(f"{key} ({dtype.name})" for key, dtype in sorted(DTYPES.items()))
        raise InputError(f"{path} has dtype code {code}; a token file has one of {known}. {_AGAIN}")
    expected = HEADER.size + 12 * sequences + 8 * entries
    if size != expected:
        state = "cut short" if size < expected else "too long (a multimodal index is not read here)"
        raise InputError(
            f"{path} is {state}: it has {size} bytes, and {expected} are right for its {sequences} "
            f"sequences and {entries} document indices. {_AGAIN}"
        )
    return DTYPES[code], sequences, entries
