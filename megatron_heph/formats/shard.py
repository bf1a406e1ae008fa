"""Megatron's `.bin/.idx` pair: what its header and its sizes say.

Layout of an `.idx` (little-endian): 9 bytes of magic, version u64, dtype code u8, sequence count u64,
document index count u64, lengths i32[sequences], pointers i64[sequences] (byte offsets into the `.bin`),
document_indices i64[documents + 1] (the first sequence of each document, and the sequence count at the end).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from megatron_heph._native import read_index_header
from megatron_heph.errors import InputError

HEADER_BYTES = 34
DTYPES: dict[int, np.dtype] = {
    1: np.dtype("u1"), 2: np.dtype("i1"), 3: np.dtype("<i2"), 4: np.dtype("<i4"), 5: np.dtype("<i8"),
    8: np.dtype("<u2"),
}  # fmt: skip
CODES = {dtype: code for code, dtype in DTYPES.items()}
AGAIN = "Copy the file again, or run `heph tokenize` again."


def token_dtype(vocab_size: int) -> np.dtype:
    """The dtype of ids below `vocab_size`, by Megatron's rule: uint16 below 65,500 and int32 above."""
    return DTYPES[8] if vocab_size < 65500 else DTYPES[4]


@dataclass(frozen=True, slots=True)
class Shard:
    """One `.bin/.idx` pair, as its header or a manifest describes it; no file is open."""

    prefix: Path
    dtype: np.dtype
    tokens: int
    sequences: int
    documents: int
    has_mask: bool           # a `.mask` lies beside it (megatron_heph.formats.mask)

    @property
    def bin_path(self) -> Path:
        """Where the ids are."""
        return with_suffix(self.prefix, ".bin")

    @property
    def idx_path(self) -> Path:
        """Where the index is."""
        return with_suffix(self.prefix, ".idx")

    @property
    def bin_bytes(self) -> int:
        """The size that the `.bin` should have."""
        return self.tokens * self.dtype.itemsize

    @property
    def idx_bytes(self) -> int:
        """The size that the `.idx` should have."""
        return HEADER_BYTES + 12 * self.sequences + 8 * (self.documents + 1)

    @property
    def spec(self) -> tuple[str, int, int, int, int, bool]:
        """What megatron_heph._native.TokenReader takes."""
        code = CODES[self.dtype]
        return str(self.prefix), code, self.tokens, self.sequences, self.documents + 1, self.has_mask


def read_shard(prefix: Path | str) -> Shard:
    """Reads a pair's header, and checks both sizes and the ends of the arrays against it: constant time.

    Raises InputError with both values if the pair is missing, cut short or not what it says.
    """
    prefix = Path(prefix)
    bin_path, idx_path = with_suffix(prefix, ".bin"), with_suffix(prefix, ".idx")
    _check_pair_exists(bin_path, idx_path)
    try:
        code, sequences, entries, expected = read_index_header(str(idx_path))
        found = bin_path.stat().st_size
    except (ValueError, OSError) as error:
        raise input_error(error) from error
    dtype = DTYPES[code]
    if found != expected:
        raise InputError(
            f"{bin_path} has {found} bytes, and its {idx_path.name} says {expected} ({sequences} sequences of "
            f"{dtype.name}): one of the two was cut short or belongs to another pair. {AGAIN}"
        )
    return Shard(
        prefix=prefix,
        dtype=dtype,
        tokens=found // dtype.itemsize,
        sequences=sequences,
        documents=entries - 1,
        has_mask=with_suffix(prefix, ".mask").is_file(),
    )


def longest_sequence(shard: Shard) -> int:
    """The tokens of a pair's longest sequence."""
    return int(sequence_lengths(shard).max(initial=0))


def sequence_lengths(shard: Shard) -> npt.NDArray[np.int32]:
    """The tokens of every sequence of a pair, int32 [sequences]; all in memory."""
    return np.fromfile(shard.idx_path, np.dtype("<i4"), shard.sequences, offset=HEADER_BYTES)


def input_error(error: ValueError | OSError) -> InputError:
    """What a failed read of a source says: the native reader's own text, or what the system says of which file."""
    if not isinstance(error, OSError):
        return InputError(str(error))
    what = f"{error.filename}: {error.strerror}."
    if isinstance(error, FileNotFoundError):
        return InputError(f"{what} Copy it again, or run `heph tokenize` again.")
    return InputError(f"{what} Mend the file or its file system, and start again.")


def with_suffix(prefix: Path, suffix: str) -> Path:
    """`data/api-0.5` -> `data/api-0.5.bin`; not Path.with_suffix, as a prefix may hold dots."""
    return prefix.with_name(prefix.name + suffix)


def _check_pair_exists(bin_path: Path, idx_path: Path) -> None:
    for path, other in ((bin_path, idx_path), (idx_path, bin_path)):
        if not path.is_file():
            state = "its other half is there" if other.is_file() else f"nor is there a {other.name}"
            raise InputError(
                f"There is no {path}; {state}. A pair is .bin and .idx: copy it again, or run `heph "
                f"tokenize` again."
            )
