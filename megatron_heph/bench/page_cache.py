"""The kernel's page cache of one file: filled, emptied, and looked into."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np

from megatron_heph.errors import InputError

READ = 1 << 20              # bytes of one sequential read
_PROBES = 256               # pages that are asked for


def read_whole(path: Path) -> int:
    """Reads a file from its beginning to its end in preads of 1 MiB, as a copy program would: its bytes."""
    buffer, done = bytearray(READ), 0
    file = os.open(path, os.O_RDONLY)
    try:
        while count := os.preadv(file, [buffer], done):
            done += count
    finally:
        os.close(file)
    return done


def drop(path: Path) -> None:
    """Takes a file out of the page cache.  Raises InputError if some of it stays, as where a program maps it."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)      # pages that are not on the disk yet are not dropped
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)
    share = cached_share(path)
    if share > 0:
        raise InputError(
            f"{share:.1%} of {path} stays in the page cache after it was dropped: another program has it open in its "
            f"memory, or it lies on a file system without a disk (tmpfs). Stop that program, or move the file."
        )


def cached_share(path: Path) -> float:
    """Which part of a file is in the page cache, from pages evenly spread over it: 0 to 1."""
    file = os.open(path, os.O_RDONLY)
    try:
        places = np.linspace(0, os.fstat(file).st_size - 1, _PROBES).astype(np.int64)
        return sum(_is_cached(file, int(place)) for place in places) / _PROBES
    finally:
        os.close(file)


def _is_cached(file: int, place: int) -> bool:
    try:
        return os.preadv(file, [bytearray(1)], place, os.RWF_NOWAIT) == 1
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
            return False
        raise
