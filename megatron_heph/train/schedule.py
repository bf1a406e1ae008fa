"""Learning rates as pure functions of tokens: the same for any batch size, and drawable before a run."""

from __future__ import annotations

import math
from collections.abc import Callable

from megatron_heph.recipe.tree import Schedule

Shape = Callable[[float, Schedule, int], float]


def learning_rate(tokens: float, stage_tokens: int, peak: float, schedule: Schedule) -> float:
    """The rate after `tokens` of a stage of `stage_tokens`.

    Linear warm-up from 0 to `peak`, then the schedule's shape down to `floor * peak`.  A step takes the
    rate of its middle, so that neither the first nor the last step of a stage is spent at 0.
    """
    if tokens < schedule.warmup:
        return peak * tokens / schedule.warmup
    low = schedule.floor
    return peak * (low + (1 - low) * _SHAPES[schedule.kind](tokens, schedule, stage_tokens))


def _constant(tokens: float, schedule: Schedule, end: int) -> float:
    return 1.0


def _progress(tokens: float, begin: int, end: int) -> float:
    return min(1.0, max(0.0, (tokens - begin) / max(1, end - begin)))


def _linear(tokens: float, schedule: Schedule, end: int) -> float:
    return 1.0 - _progress(tokens, schedule.warmup, end)


def _cosine(tokens: float, schedule: Schedule, end: int) -> float:
    """Loshchilov & Hutter, arXiv 1608.03983, one period."""
    return 0.5 * (1 + math.cos(math.pi * _progress(tokens, schedule.warmup, end)))


def _wsd(tokens: float, schedule: Schedule, end: int) -> float:
    """Warm-up, stable, decay (Hu et al., MiniCPM, arXiv 2404.06395), with a linear decay."""
    return 1.0 - _progress(tokens, end - schedule.decay, end) if schedule.decay else 1.0


_SHAPES: dict[str, Shape] = {"constant": _constant, "linear": _linear, "cosine": _cosine, "wsd": _wsd}
