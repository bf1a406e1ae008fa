"""Stopping on request: a signal asks, the session answers between two steps."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_ONE_REQUEST = 2.0                      # seconds


class StopRequest:
    """Remembers that this process was asked to stop (SIGTERM, SIGINT, or SIGUSR1 as Slurm sends before a limit).

    Launchers, terminals and `timeout` send one request to a process and to its group: what comes within
    two seconds is the same request.  A later signal ends the process at once.
    """

    def __init__(self) -> None:
        self.reason = ""                # the first signal's name
        self._asked_at = 0.0

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return bool(self.reason)

    def listen(self) -> None:
        """Takes over the signals."""
        for number in SIGNALS:
            signal.signal(number, self._note)

    def _note(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if not self.asked:
            self.reason, self._asked_at = signal.Signals(number).name, now
        elif now - self._asked_at > _ONE_REQUEST:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
