"""From a piece of an input to batches of documents, in bounded memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from data_tools.tokenize.columns import BadLine, Batch, Segments, Texts
from data_tools.tokenize.inputs import read_range
from data_tools.tokenize.plan import Piece
from megatron_heph._native import read_json_lines
from megatron_heph.errors import InputError
from megatron_heph.formats.compressed import COMPRESSED, Decompressed

# Larger ones leave the L2 and L3 caches, and their arrays go back to the system after each (docs/performance.md).
BLOCK_BYTES = 4 << 20
_BOM = b"\xef\xbb\xbf"
_SCAN_BYTES = 1 << 16

OnBytes = Callable[[memoryview | bytes], Any]
def read_piece(
    piece: Piece, field: str, on_bytes: OnBytes = len, block_bytes: int = BLOCK_BYTES
) -> Iterator[Batch]:
    """Yields the documents of a piece, about `block_bytes` of content at a time (more only for a longer line).

    `on_bytes` sees the bytes as they lie on the disk, in order: for a hash, or progress.
    Raises InputError if the file cannot be read, is not what its name says, or is cut short.
    """
    try:
        if piece.file.parquet:
            from data_tools.tokenize.parquet import read_row_groups

            yield from read_row_groups(piece, field, on_bytes, block_bytes)
            return
        with piece.file.path.open("rb") as raw:
            if piece.file.compressed:
                yield from _batches(Decompressed(raw, piece.file.path, on_bytes), 0, field, block_bytes)
            else:
                begin, end = line_extent(raw, piece)
                yield from _batches(_Range(raw, begin, end, on_bytes), begin, field, block_bytes)
    except OSError as error:
        raise InputError(f"{piece.file.path} cannot be read: {error.strerror or error}.") from error


def line_extent(raw: BinaryIO, piece: Piece) -> tuple[int, int]:
    """The bytes of the lines that begin in [piece.begin, piece.end)."""
    return _line_begin(raw, piece.begin), _line_begin(raw, piece.end)


def raw_bytes(piece: Piece) -> Iterator[bytes]:
    """The bytes that `read_piece` reads of a piece, as they lie on the disk."""
    if piece.file.parquet:
        from data_tools.tokenize.parquet import row_group_extent

        begin, end = row_group_extent(piece)
    else:
        with piece.file.path.open("rb") as raw:
            begin, end = (0, piece.file.bytes) if piece.file.compressed else line_extent(raw, piece)
    yield from read_range(piece.file.path, begin, end)


def _line_begin(raw: BinaryIO, at: int) -> int:
    """The first line that begins at `at` or later; the size of the file if there is none."""
    if at == 0:
        return 0
    raw.seek(at - 1)      # a line begins at `at` itself if the byte before it ends one
    while chunk := raw.read(_SCAN_BYTES):
        found = chunk.find(b"\n")
        if found >= 0:
            return raw.tell() - len(chunk) + found + 1
    return raw.tell()


def line_number(path: Path, byte: int) -> int:
    """The number (from 1) of the line that holds a byte of a file's content; reads all before it."""
    with path.open("rb") as raw:
        stream: Any = Decompressed(raw, path) if path.suffix in COMPRESSED else raw
        buffered, number = io.BufferedReader(stream, 1 << 20), 1
        while byte > 0 and (chunk := buffered.read(min(byte, 1 << 20))):
            number += chunk.count(b"\n")
            byte -= len(chunk)
        return number


class _Range(io.RawIOBase):
    """The bytes [begin, end) of a file."""

    def __init__(self, raw: BinaryIO, begin: int, end: int, on_bytes: OnBytes) -> None:
        raw.seek(begin)
        self._raw, self._left, self._on_bytes = raw, end - begin, on_bytes

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: self._left]
        count = self._raw.readinto(view) if len(view) else 0      # type: ignore[attr-defined]
        self._on_bytes(view[:count])
        self._left -= count
        return int(count)


def _batches(stream: io.RawIOBase, at: int, field: str, block_bytes: int) -> Iterator[Batch]:
    """The documents of a stream of lines whose first byte is byte `at` of the content."""
    block = bytearray(block_bytes)
    used, ended = 0, False
    while True:
        used, ended = _fill(stream, block, used)
        view = memoryview(block)[:used]
        begin = len(_BOM) if at == 0 and view[: len(_BOM)] == _BOM else 0
        found = read_json_lines(view, field=field, begin=begin, last=ended)
        if len(found.positions) or found.bad:
            yield _batch(found, view, at)
        at += found.consumed
        if ended and found.consumed == used:
            return
        if found.consumed:
            block[: used - found.consumed] = block[found.consumed : used]
        else:      # a line longer than the block: twice the room, so that it isn't searched too often
            view.release()
            block += bytes(len(block))
        used -= found.consumed


def _fill(stream: io.RawIOBase, block: bytearray, used: int) -> tuple[int, bool]:
    """Reads until the block is full or the stream ends: (bytes in the block, whether it ended)."""
    view = memoryview(block)
    while used < len(view):
        count = stream.readinto(view[used:])
        if not count:
            return used, True
        used += count
    return used, False


def _batch(found: Any, view: memoryview, at: int) -> Batch:
    bad = [
        BadLine(at + begin, size, reason, bytes(view[begin : begin + min(size, 80)]).decode("utf-8", "replace"))
        for begin, size, reason in found.bad
    ]
    return Batch(
        texts=Texts(found.texts, found.offsets),
        characters=found.characters,
        licenses=found.licenses,
        domains=found.domains,
        sources=found.sources,
        segments=Segments(found.segment_documents, found.segment_ends, found.segment_train),
        bad=bad,
    )
