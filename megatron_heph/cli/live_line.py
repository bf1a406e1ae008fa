"""Progress of something long: one line that is rewritten on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time

_PLAIN_SECONDS = 10.0
_TERMINAL_SECONDS = 0.2


class LiveLine:
    """Writes to standard error, for one command."""

    def __init__(self, command: str) -> None:
        self.begin = time.monotonic()
        self._command = command
        self._terminal = sys.stderr.isatty()
        self._next = self.begin + (0 if self._terminal else _PLAIN_SECONDS)

    def is_due(self) -> bool:
        """Whether it is time to show something."""
        return time.monotonic() >= self._next

    def show(self, text: str) -> None:
        """Shows the state, if it is time to."""
        if not self.is_due():
            return
        self._next = time.monotonic() + (_TERMINAL_SECONDS if self._terminal else _PLAIN_SECONDS)
        if self._terminal:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def warn(self, line: str) -> None:
        """Says a thing that stays on the screen."""
        self.end()
        print(f"heph {self._command}: {line}", file=sys.stderr, flush=True)

    def counting(self, done: int, blocks: int) -> None:
        """Shows how far the windows of a packed source are counted."""
        self.show(f"{done / blocks:4.0%}  counting windows, {done:,} of {blocks:,} blocks")

    def end(self) -> None:
        """Leaves an empty line behind on a terminal."""
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
