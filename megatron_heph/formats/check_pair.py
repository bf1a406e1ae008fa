"""Walks all of a pair's index, `.mask` and ids; memory is bounded whatever their size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from megatron_heph.errors import InputError
from megatron_heph.formats.mask import mask_path
from megatron_heph.formats.shard import AGAIN, HEADER_BYTES, Shard

_ENTRIES = 1 << 20      # numbers at a time
_SPAN = np.dtype([("start", "<u8"), ("length", "<u8")])


def check_index(shard: Shard) -> None:
    """Walks an index: every sequence begins where the one before it ends, and documents ascend."""
    size, expected = shard.dtype.itemsize, 0
    pointers_at = HEADER_BYTES + 4 * shard.sequences
    lengths = _numbers(shard.idx_path, "<i4", HEADER_BYTES, shard.sequences)
    pointers = _numbers(shard.idx_path, "<i8", pointers_at, shard.sequences)
    for (first, length), (_, pointer) in zip(lengths, pointers, strict=True):
        ends = expected + np.cumsum(length.astype(np.int64) * size)
        begins = np.concatenate(([expected], ends[:-1]))
        bad = np.flatnonzero((pointer != begins) | (length < 0))
        if len(bad):
            at = int(bad[0])
            raise InputError(
                f"{shard.idx_path}: the pointers do not follow each other: sequence {first + at} (of length "
                f"{length[at]}) is at byte {pointer[at]}, and should be at {begins[at]}. {AGAIN}"
            )
        expected = int(ends[-1])
    last = 0
    for first, index in _numbers(shard.idx_path, "<i8", pointers_at + 8 * shard.sequences, shard.documents + 1):
        before = np.concatenate(([last], index[:-1]))
        bad = np.flatnonzero(index < before)
        if len(bad):
            at = int(bad[0])
            raise InputError(
                f"{shard.idx_path}: document {first + at} begins at sequence {index[at]}, before document "
                f"{first + at - 1} at sequence {before[at]}; they should ascend. {AGAIN}"
            )
        last = int(index[-1])


def check_mask(shard: Shard) -> int:
    """Walks a mask: spans are apart and inside the shard; returns the tokens that they cover."""
    path = mask_path(shard.prefix)
    size, before, masked = path.stat().st_size, 0, 0
    if not size or size % _SPAN.itemsize:
        raise InputError(f"{path} has {size} bytes, and a mask is one or more pairs of {_SPAN.itemsize} bytes. {AGAIN}")
    for first, spans in _numbers(path, _SPAN, 0, size // _SPAN.itemsize):
        starts, lengths = spans["start"], spans["length"]
        ends = starts + lengths
        wrong = (lengths == 0) | (ends < starts) | (ends > shard.tokens)
        wrong |= starts < np.concatenate((np.array([before], np.uint64), ends[:-1]))
        bad = np.flatnonzero(wrong)
        if len(bad):
            at = int(bad[0])
            raise InputError(
                f"{path}: span {first + at} covers tokens {starts[at]} to {ends[at]}, and should cover one or more "
                f"between {ends[at - 1] if at else before} and {shard.tokens}. {AGAIN}"
            )
        before, masked = int(ends[-1]), masked + int(lengths.sum())
    return masked


def check_ids(shard: Shard, part: bytes, offset: int, vocab_size: int | None) -> None:
    """Checks ids that lie at byte `offset` of the `.bin`: 0 or more, and below the vocabulary where it is known."""
    ids = np.frombuffer(part, shard.dtype)
    limit = vocab_size if vocab_size is not None else 1 << 31
    if not len(ids) or (int(ids.min()) >= 0 and int(ids.max()) < limit):
        return
    at = int(np.flatnonzero((ids < 0) | (ids.astype(np.int64) >= limit))[0])
    raise InputError(
        f"{shard.bin_path} holds the id {ids[at]} at token {offset // shard.dtype.itemsize + at}, and ids are 0 to "
        f"{limit - 1}: another tokenizer made it, or it is damaged. {AGAIN}"
    )


def _numbers(path: Path, dtype: npt.DTypeLike, offset: int, count: int) -> Iterator[tuple[int, npt.NDArray]]:
    """(index of the first one, numbers) of an array in a file, some at a time."""
    with path.open("rb") as stream:
        stream.seek(offset)
        for first in range(0, count, _ENTRIES):
            some = min(_ENTRIES, count - first)
            numbers = np.fromfile(stream, dtype, some)
            if len(numbers) < some:
                raise InputError(f"{path} has shrunk while it was read: {len(numbers)} numbers of {some}. {AGAIN}")
            yield first, numbers
