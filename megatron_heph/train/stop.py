"""Stopping on request: a signal asks, the session answers between two steps."""

from __future__ import annotations

import signal
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopRequest:
    """Remembers that this process was asked to stop (SIGTERM, SIGINT, or SIGUSR1 as Slurm sends before a limit)."""

    def __init__(self) -> None:
        self.reason = ""

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return bool(self.reason)

    def listen(self) -> None:
        """Takes over the signals; a second one ends the process as usual."""
        for number in _SIGNALS:
            signal.signal(number, self._note)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.reason = signal.Signals(number).name
        signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
