"""Live progress of a run: one line rewritten in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

from megatron_heph.observe.rows import Step
from megatron_heph.observe.units import count, duration

_SMOOTHING = 0.9  # weight of the past in the shown loss


class Progress:
    """Shows step rows as they come.

    On a terminal the line is rewritten at most ten times a second and cut to the width by leaving out
    its least important fields.  Elsewhere (a log file, a Slurm output) a line is written for the first
    step, then each `every_seconds`, and at the end.
    """

    def __init__(
        self,
        *,
        total_steps: int,
        total_tokens: int,
        stream: TextIO | None = None,
        every_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        width: Callable[[], int] | None = None,
    ) -> None:
        self._total_steps, self._total_tokens = total_steps, total_tokens
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty()
        self._every = 0.1 if self._live else every_seconds
        self._clock = clock
        self._width = width or self._terminal_width
        self._loss: float | None = None
        self._begun: tuple[float, int] | None = None  # time and tokens at the first row of this process
        self._last: Step | None = None
        self._shown_at = -math.inf
        self._shown: Step | None = None

    def update(self, row: Step) -> None:
        """Takes one step row; writes it if it is time to."""
        now = self._clock()
        if self._begun is None:
            self._begun = (now, row.tokens)
        if math.isfinite(row.loss):
            past = row.loss if self._loss is None else self._loss
            self._loss = _SMOOTHING * past + (1 - _SMOOTHING) * row.loss
        self._last = row
        if now - self._shown_at >= self._every:
            self._show(now)

    def note(self, text: str) -> None:
        """Writes a line of its own (a checkpoint, a held-out loss) without breaking the live line."""
        self._stream.write(f"\r\x1b[K{text}\n" if self._live else f"{text}\n")
        self._shown = None
        if self._live and self._last is not None:
            self._show(self._clock())
        self._stream.flush()

    def close(self) -> None:
        """Shows the last row, and ends the live line."""
        if self._last is not None and self._shown is not self._last:
            self._show(self._clock())
        if self._live and self._shown is not None:
            self._stream.write("\n")
            self._stream.flush()
        self._last = self._shown = None

    def _show(self, now: float) -> None:
        assert self._last is not None
        fields = self._fields(self._last, now)
        text = fit(fields, self._width()) if self._live else "  ".join(text for _, text in fields)
        self._stream.write(f"\r{text}\x1b[K" if self._live else f"{text}\n")
        self._stream.flush()
        self._shown_at, self._shown = now, self._last

    def _fields(self, row: Step, now: float) -> list[tuple[int, str]]:
        """(rank, text) in the order shown; the highest ranks are left out first."""
        of = f"/{self._total_steps}" if self._total_steps else ""
        of_tokens = f"/{count(self._total_tokens)}" if self._total_tokens else ""
        loss = self._loss if self._loss is not None and math.isfinite(row.loss) else row.loss
        return [
            (0, f"step {row.step}{of}"),
            (5, row.stage),
            (4, f"tokens {count(row.tokens)}{of_tokens}"),
            (1, f"loss {loss:.4f}"),
            (6, f"lr {row.lr:.2e}"),
            (7, f"norm {row.grad_norm:.2f}"),
            (3, f"{count(row.tokens_per_second)} tokens/s"),
            (2, f"ETA {self._eta(row, now)}"),
        ]

    def _eta(self, row: Step, now: float) -> str:
        """From all the time since the first row, so that checkpoints and held-out losses count too."""
        assert self._begun is not None
        left = self._total_tokens - row.tokens
        begun_at, begun_tokens = self._begun
        read = row.tokens - begun_tokens
        if not self._total_tokens or left < 0:
            return "?"
        if read <= 0:  # the first row: only its own rate is known
            return duration(left / row.tokens_per_second) if row.tokens_per_second > 0 else "?"
        return duration((now - begun_at) / read * left)

    def _terminal_width(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):
            return 80


def fit(fields: list[tuple[int, str]], width: int) -> str:
    """Joins the texts of (rank, text) fields; leaves out the highest ranks until `width` columns hold them.

    One column stays free: a full line would make some terminals wrap.
    """
    kept = list(fields)
    while len(kept) > 1 and len("  ".join(text for _, text in kept)) >= width:
        kept.remove(max(kept))
    return "  ".join(text for _, text in kept)[: max(width - 1, 0)]
