"""One process makes a file, the others wait for it."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# What a file system says that has no locks (some mounts of network file systems).
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


@contextmanager
def locked_for(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Holds `<path>.lock` alone, waiting while another process does; `on_wait` is called before a wait.

    Yields False where the file system has no locks: several processes may then be at work at once.  A process
    that is killed lets go.  Raises OSError if the lock cannot be made.
    """
    lock = path.with_name(path.name + ".lock")
    descriptor, held = _hold(lock, on_wait)
    try:
        yield held
    finally:
        if held:
            lock.unlink(missing_ok=True)
        os.close(descriptor)


def _hold(lock: Path, on_wait: Callable[[], None]) -> tuple[int, bool]:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            held = _flock(descriptor, on_wait)
            if not held or _is_same(descriptor, lock):
                return descriptor, held
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)      # the one before removed it: what is locked has no name any more


def _flock(descriptor: int, on_wait: Callable[[], None]) -> bool:
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    return True


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
