"""What `heph train` says while window counts of packed sources are made: a line that is rewritten on a terminal."""

from __future__ import annotations

import sys
import time

_PLAIN_SECONDS = 10.0
_TERMINAL_SECONDS = 0.2


class Counting:
    """Says how far counting is, on standard error; nothing where it takes no time."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._next = time.monotonic() + (_TERMINAL_SECONDS if self._terminal else _PLAIN_SECONDS)

    def show(self, done: int, blocks: int) -> None:
        """Blocks counted so far, of all."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + (_TERMINAL_SECONDS if self._terminal else _PLAIN_SECONDS)
            self._write(f"counting the windows of a packed source: block {done:,} of {blocks:,} ({done / blocks:.0%})")
        if done == blocks and self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def warn(self, line: str) -> None:
        """A line of its own."""
        print(f"heph train: {line}", file=sys.stderr, flush=True)

    def _write(self, text: str) -> None:
        print(*(["\r\x1b[K", text] if self._terminal else [text]), sep="", end="" if self._terminal else "\n",
              file=sys.stderr, flush=True)  # fmt: skip
