"""What a run is doing, as far as its record tells."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from megatron_heph.observe.metrics import Metrics
from megatron_heph.observe.rows import FINISHED
from megatron_heph.observe.units import duration

_PATIENCE_SECONDS = 600.0
_PATIENCE_STEPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """`name` is finished, stopped, running or silent; `detail` is a phrase that says more."""

    name: str
    detail: str


def state_of(metrics: Metrics, now: float) -> RunState:
    """The state at `now` (seconds since the epoch).

    A run without an end row is running while rows come: its last one is younger than ten minutes or
    twenty steps, whichever is longer.  After that it is silent: it was killed, or it hangs.
    """
    if metrics.end is not None:
        if metrics.end.reason == FINISHED:
            return RunState(name="finished", detail=f"every token was read by step {metrics.end.step}")
        return RunState(name="stopped", detail=f"at step {metrics.end.step}: {metrics.end.reason}")
    pace = statistics.median(row.step_seconds for row in metrics.steps) if metrics.steps else 0.0
    age = max(0.0, now - metrics.last_time)
    if age <= max(_PATIENCE_SECONDS, _PATIENCE_STEPS * pace):
        return RunState(name="running", detail=f"its last row is {duration(age)} old")
    return RunState(name="silent", detail=f"no row for {duration(age)} and no end: it was killed, or hangs")
