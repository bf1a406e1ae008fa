"""The content of `.zst` and `.gz` files, where a file that is cut short is an error."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from megatron_heph.errors import InputError

COMPRESSED = (".zst", ".gz")
# What one call of a decompressor is given: a hostile zstd file may grow 32,768-fold, all of it in memory.
_READ_BYTES = 1 << 14


class Decompressed(io.RawIOBase):
    """The content of a compressed file, frame after frame.

    The libraries' own file objects take a file that is cut short for a complete one; their decompressor
    objects say whether the end was seen.  A file may be several frames one after the other.
    """

    def __init__(self, raw: BinaryIO, path: Path, on_bytes: Callable[[bytes], Any] = len) -> None:
        """`raw` should be buffered; `on_bytes` sees what is read of it: for a hash, or progress."""
        self._raw, self._path, self._on_bytes = raw, path, on_bytes
        self._kind = path.suffix.removeprefix(".")
        self._frame: Any = None
        self._ready = memoryview(b"")       # decompressed, not yet handed out

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills `buffer`, perhaps in part; 0 at the end.  InputError if the file is damaged or cut short."""
        while not self._ready and (chunk := self._raw.read(_READ_BYTES)):
            self._on_bytes(chunk)
            self._ready = memoryview(self._decompress(chunk))
        if not self._ready and self._frame is not None and not self._frame.eof:
            raise InputError(
                f"{self._path} is cut short: its last {self._kind} frame has no end. Copy or write it anew."
            )
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def _decompress(self, chunk: bytes) -> bytes:
        parts = []
        while chunk:
            if self._frame is None or self._frame.eof:
                self._frame = _decompressor(self._path.suffix)
            try:
                parts.append(self._frame.decompress(chunk))
            except Exception as error:      # zlib.error or ZstdError
                raise InputError(
                    f"{self._path} is damaged, or is not {self._kind}: {error}. Write it anew."
                ) from error
            chunk = self._frame.unused_data if self._frame.eof else b""
        return b"".join(parts)


def _decompressor(suffix: str) -> Any:
    if suffix == ".gz":
        return zlib.decompressobj(wbits=31)     # 31: a gzip header
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()
