"""`<prefix>.pack-<block>-<length>` beside a source: how many windows its documents pack into, block by block.

With the counts the number of a sample says which block and window it is; nothing else of a packed order is
stored.  The file is derived from the `.idx` files: it can be removed at any time, and is made again at the next use.

Layout (little-endian): magic `HEPHPACK`, version u32, 0 u32, block u64, length u64, tokens u64, documents u64,
blocks u64, identity of the source 16 bytes, XXH3-64 of the counts u64; counts u32[blocks].
"""

from __future__ import annotations

import os
import re
import secrets
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import xxhash

from megatron_heph._native import WindowCounts, count_windows
from megatron_heph.errors import InputError
from megatron_heph.formats.file_lock import locked_for
from megatron_heph.formats.identity import source_identity
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.shard import input_error

VERSION = 1                     # of the layout and of the packing: another packing has other counts
CACHE_VARIABLE = "HEPH_CACHE"
LONGEST_BLOCK, LONGEST_WINDOW = 1 << 40, 1 << 28        # those of csrc/data
_MAGIC = b"HEPHPACK"
_HEADER = struct.Struct("<8sIIQQQQQ16sQ")
_FIELDS = ("version", "block", "length", "tokens", "documents", "blocks", "identity")
_TOKENS_AT_ONCE = 1 << 26       # between two reports of progress
_READ_BYTES = 4 << 20
_REMOVE = "Remove it: it is made again."

Report = Callable[[int, int], None]
"""Called with the blocks counted so far, and all of them."""
Warn = Callable[[str], None]


def open_counts(
    source: TokenizedSource,
    block: int,
    length: int,
    *,
    cache: Path | None = None,
    report: Report = lambda done, blocks: None,
    warn: Warn = lambda line: None,
) -> WindowCounts:
    """The counts of a source in blocks of `block` tokens, windows of `length` positions; made where they are missing.

    They are looked for beside the source, and then in `cache` (default: `$HEPH_CACHE/pack`, or
    `~/.cache/megatron_heph/pack`), which is also where new ones go if the source's folder cannot be written to.  Of
    many processes one makes them and the others wait.  A file that does not fit the source is made anew, and `warn`
    is told what did not fit.

    Raises InputError if the source cannot be read or packed, or if the file has to be written and cannot be.
    """
    check_packing(block, length)
    root = os.environ.get(CACHE_VARIABLE)
    cache = cache or (Path(root) if root else Path.home() / ".cache" / "megatron_heph") / "pack"
    paths = [counts_path(source, block, length, folder) for folder in (None, cache)]
    for path in paths:
        if counts := _read_if_right(path, source, block, length, warn):
            return counts
    path = paths[0] if _can_write(paths[0].parent) else paths[1]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked_for(path, lambda: warn(f"waiting for another process, which makes {path}")) as alone:
            counts = _read_if_right(path, source, block, length, lambda line: None)
            return counts or _make(path, source, block, length, report, alone)
    except OSError as error:
        raise InputError(_cannot_write(path, error, block, length)) from error


def counts_path(source: TokenizedSource, block: int, length: int, cache: Path | None = None) -> Path:
    """`data/api` -> `data/api.pack-262144-4096`, or `<cache>/api-<identity>.pack-262144-4096`."""
    name = re.sub(r"[*?\[\]]", "_", source.prefix.name)      # a prefix may be a pattern of pairs
    end = f".pack-{block}-{length}"
    if cache is None:
        return source.shards[0].prefix.with_name(name + end)
    return cache / f"{name}-{source_identity(source).hex()[:16]}{end}"


def read_counts(path: Path, source: TokenizedSource, block: int, length: int) -> WindowCounts:
    """Reads a file of counts; InputError with both values if it is not one of this source, block and length."""
    expected = _facts(source, block, length)
    with path.open("rb") as stream:
        found, checksum = _read_header(path, stream)
        for name in _FIELDS:
            if found[name] != expected[name]:
                raise InputError(
                    f"{path} was made for another source or packing: its {name} is {_shown(found[name])}, and "
                    f"{_shown(expected[name])} is right for {source.prefix}. {_REMOVE}"
                )
        counts, hash_ = WindowCounts(expected["blocks"]), xxhash.xxh3_64()
        size, right = os.fstat(stream.fileno()).st_size, _HEADER.size + 4 * counts.blocks
        if size != right:
            raise InputError(f"{path} has {size} bytes, and {right} are right for its header. {_REMOVE}")
        while part := stream.read(_READ_BYTES):
            hash_.update(part)
            counts.append(np.frombuffer(part, "<u4"))
    if counts.filled != counts.blocks or hash_.intdigest() != checksum:
        raise InputError(
            f"{path} is damaged: the checksum of its counts is {hash_.intdigest():016x}, and its header says "
            f"{checksum:016x}. {_REMOVE}"
        )
    return counts


def check_packing(block: int, length: int) -> None:
    """Raises InputError for a block or a window that is too small or too large to pack."""
    for name, value, most in (("block", block, LONGEST_BLOCK), ("length of a window", length, LONGEST_WINDOW)):
        if not 1 <= value <= most:
            raise InputError(f"The {name} is {value:,} tokens; a packed source has from 1 to {most:,}.")


def _can_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK)


def _read_if_right(path: Path, source: TokenizedSource, block: int, length: int, warn: Warn) -> WindowCounts | None:
    if not path.is_file():
        return None
    try:
        return read_counts(path, source, block, length)
    except InputError as error:
        warn(f"{str(error).removesuffix(_REMOVE)}It is made anew.")
        return None


def _make(path: Path, source: TokenizedSource, block: int, length: int, report: Report, alone: bool) -> WindowCounts:
    """Counts, into a file that has its name when it is whole."""
    facts = _facts(source, block, length)
    counts, hash_ = WindowCounts(facts["blocks"]), xxhash.xxh3_64()
    partial = path.with_name(f"{path.name}.partial" + ("" if alone else f"-{secrets.token_hex(4)}"))
    try:
        with partial.open("wb") as stream:
            stream.write(bytes(_HEADER.size))
            while counts.filled < counts.blocks:
                part = _count(source, block, length, counts)
                counts.append(part)
                raw = part.astype("<u4", copy=False).tobytes()
                hash_.update(raw)
                stream.write(raw)
                report(counts.filled, counts.blocks)
            stream.seek(0)
            stream.write(_HEADER.pack(_MAGIC, VERSION, 0, *(facts[name] for name in _FIELDS[1:]), hash_.intdigest()))
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return counts


def _count(source: TokenizedSource, block: int, length: int, counts: WindowCounts) -> npt.NDArray[np.uint32]:
    now = min(max(1, _TOKENS_AT_ONCE // block), counts.blocks - counts.filled)
    try:
        return count_windows(source.reader, block, length, counts.filled, now)
    except (ValueError, OSError) as error:
        raise input_error(error) from error


def _facts(source: TokenizedSource, block: int, length: int) -> dict:
    return {
        "version": VERSION, "block": block, "length": length, "tokens": source.total_tokens,
        "documents": source.total_documents, "blocks": -(-source.total_tokens // block),
        "identity": source_identity(source),
    }  # fmt: skip


def _read_header(path: Path, stream: BinaryIO) -> tuple[dict, int]:
    raw = stream.read(_HEADER.size)
    if len(raw) < _HEADER.size or raw[: len(_MAGIC)] != _MAGIC:
        raise InputError(
            f"{path} is no file of window counts: it begins with {raw[:8]!r} and has "
            f"{os.fstat(stream.fileno()).st_size} bytes, and such a file begins with {_MAGIC!r} and has {_HEADER.size} "
            f"or more. {_REMOVE}"
        )
    _, version, _, *rest, checksum = _HEADER.unpack(raw)
    return dict(zip(_FIELDS, (version, *rest), strict=True)), checksum



def _shown(value: int | bytes) -> str:
    return value.hex() if isinstance(value, bytes) else f"{value:,}"


def _cannot_write(path: Path, error: OSError, block: int, length: int) -> str:
    return (
        f"{error.filename or path}: {error.strerror}. The window counts of a packed source are kept beside it, in "
        f"{path.name}: let a process that may write there make them (`heph tokenize ... --pack {length} --block "
        f"{block}` does), or set {CACHE_VARIABLE} to a folder that this one may write to."
    )
