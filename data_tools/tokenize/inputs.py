"""Finding the input files, and reading them as blocks of lines in bounded memory."""

from __future__ import annotations

import glob
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from megatron_heph._native import split_lines
from megatron_heph.errors import InputError, nearest

SUFFIXES = (".jsonl", ".jsonl.zst", ".jsonl.gz")
BLOCK_BYTES = 16 << 20
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Input:
    """A file to read, and the name it has in the manifest."""

    path: Path
    name: str     # relative, or the name alone: a manifest holds no path of one machine
    bytes: int    # on the disk


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Complete lines of a file: the bytes, and where each line is in them."""

    data: bytearray
    offsets: npt.NDArray[np.uint64]
    lengths: npt.NDArray[np.uint64]
    first_line: int     # counted from 1 in the file

    def lines(self) -> Iterator[tuple[int, memoryview]]:
        """(line number, bytes) of every line that is not empty; nothing is copied."""
        view = memoryview(self.data)
        spans = zip(self.offsets.tolist(), self.lengths.tolist(), strict=True)
        for number, (offset, length) in enumerate(spans, self.first_line):
            if length:
                yield number, view[offset : offset + length]


def find_inputs(arguments: Sequence[str]) -> list[Input]:
    """The files that the arguments name, in their order; a folder or a pattern gives its files sorted.

    A folder is searched with its subfolders for `.jsonl`, `.jsonl.zst` and `.jsonl.gz`.
    Raises InputError for what is missing, of another kind, or named twice.
    """
    found: dict[Path, Input] = {}
    for argument in arguments:
        for path, name in _expand(argument):
            key = path.resolve()
            if key in found:
                raise InputError(
                    f"{path} is named twice, the second time by {argument!r}: its documents would be "
                    f"trained on twice. Name every file once (epochs belong in the recipe)."
                )
            found[key] = Input(path, name, path.stat().st_size)
    return list(found.values())


def _expand(argument: str) -> list[tuple[Path, str]]:
    path = Path(argument)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.name.endswith(SUFFIXES) and file.is_file())
        # heldout/ of a corpus folder is never trained on
        files = [file for file in files if "heldout" not in file.relative_to(path).parts]
        if not files:
            raise InputError(
                f"The folder {path} holds no {', '.join(SUFFIXES)}: give the folder of a corpus, or files."
            )
        return [(file, (Path(path.resolve().name) / file.relative_to(path)).as_posix()) for file in files]
    matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207
    paths = [path] if path.is_file() else [Path(match) for match in matches]
    if not paths:
        folder = path.parent if path.parent.is_dir() else Path()
        names = [entry.name for entry in folder.iterdir() if entry.name.endswith(SUFFIXES)]
        raise InputError(f"There is no input {argument}; {nearest(path.name, names)}")
    for file in paths:
        if not file.name.endswith(SUFFIXES):
            raise InputError(f"{file} is no input: an input is a folder or a file of {', '.join(SUFFIXES)}.")
    return [(file, _portable_name(file)) for file in paths]


def _portable_name(path: Path) -> str:
    return path.name if path.is_absolute() or ".." in path.parts else path.as_posix()


def read_blocks(
    path: Path, on_bytes: Callable[[bytes], None] = lambda _: None, block_bytes: int = BLOCK_BYTES
) -> Iterator[LineBlock]:
    """Yields the lines of a file in blocks of about `block_bytes` (more only for a longer line).

    `on_bytes` sees all bytes as they lie on the disk, in order: for a hash, or progress.
    Raises InputError if the file is not what its name says, or is cut short.
    """
    pending, wanted, line = bytearray(), block_bytes, 1
    for chunk in _decompressed(path, on_bytes):
        pending += chunk
        if len(pending) < wanted:
            continue
        offsets, lengths, consumed = split_lines(pending)
        if consumed:
            yield LineBlock(pending, offsets, lengths, line)
            line += len(offsets)
            pending = pending[consumed:]
        wanted = max(block_bytes, 2 * len(pending))     # a long line is not searched anew for each chunk
    offsets, lengths, _ = split_lines(pending, last=True)
    if len(offsets):
        yield LineBlock(pending, offsets, lengths, line)


def _decompressed(path: Path, on_bytes: Callable[[bytes], None]) -> Iterator[bytes]:
    if path.suffix not in (".zst", ".gz"):
        yield from _raw(path, on_bytes)
        return
    # Both libraries' file objects take a file that is cut short for a complete one; their decompressor
    # objects say whether the end was seen.  A file may be several frames one after the other.
    new = _decompressor(path.suffix)
    state: Any = None
    for chunk in _raw(path, on_bytes):
        rest = chunk
        while rest:
            state = new() if state is None or state.eof else state
            try:
                yield state.decompress(rest)
            except Exception as error:     # zlib.error or ZstdError
                raise InputError(
                    f"{path} is damaged, or is not {path.suffix[1:]}: {error}. Write it anew."
                ) from error
            rest = state.unused_data if state.eof else b""
    if state is not None and not state.eof:
        raise InputError(
            f"{path} is cut short: its last {path.suffix[1:]} frame has no end. Copy or write it anew."
        )


def _decompressor(suffix: str) -> Callable[[], Any]:
    if suffix == ".gz":
        return lambda: zlib.decompressobj(wbits=31)     # 31: a gzip header
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj


def _raw(path: Path, on_bytes: Callable[[bytes], None]) -> Iterator[bytes]:
    try:
        with path.open("rb", buffering=0) as stream:
            while chunk := stream.read(_READ_BYTES):
                on_bytes(chunk)
                yield chunk
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
