"""The kernel's page cache of one file: filled, emptied, and looked into."""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from pathlib import Path

import numpy as np

from megatron_heph.errors import InputError

READ = 1 << 20              # bytes of one sequential read
_ATTEMPTS = 5


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


def read_direct(path: Path) -> int:
    """Reads a file from its beginning to its end in reads of 1 MiB past the page cache: its bytes.

    What is left is the disk: no page has to be found and none to be copied from.  OSError where a file system has no
    O_DIRECT.
    """
    done = 0
    file = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, READ) as buffer:     # at a page's beginning, as O_DIRECT asks for
            while count := os.preadv(file, [buffer], done):
                done += count
                if count % mmap.PAGESIZE:       # the end
                    break
    finally:
        os.close(file)
    return done


def drop(path: Path) -> None:
    """Takes a file out of the page cache.  Raises InputError if some of it stays, as where a program maps it."""
    share, attempts = 1.0, 0
    while share > 0 and attempts < _ATTEMPTS:
        time.sleep(0.1 * attempts)      # what the disk is just bringing is dropped when it is there
        attempts += 1
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)              # pages that are not on the disk yet are not dropped
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
    """Which part of a file's pages is in the page cache: 0 to 1."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
        # mincore and not preadv2(RWF_NOWAIT), which starts to read ahead what it does not find
        content = np.frombuffer(mapping, np.uint8)
        pages = np.zeros(-(-len(content) // mmap.PAGESIZE), np.uint8)
        libc = ctypes.CDLL(None, use_errno=True)
        failed = libc.mincore(
            ctypes.c_void_p(content.ctypes.data), ctypes.c_size_t(len(content)), ctypes.c_void_p(pages.ctypes.data)
        )
        del content                     # else the mapping cannot be closed
    if failed:
        raise OSError(ctypes.get_errno(), "mincore", str(path))
    return float((pages & 1).mean())
