"""Rows as curves, and curves made readable: smoothed, thinned, with their labels apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from megatron_heph.observe.metrics import Metrics
from megatron_heph.observe.rows import Step

Floats = npt.NDArray[np.float64]
_MOST_POINTS = 400


def curve(rows: Sequence[Step], value: Callable[[Step], float]) -> tuple[Floats, Floats]:
    """Tokens read, and a value of each row: two arrays of shape (rows,)."""
    x = np.array([row.tokens for row in rows], dtype=np.float64)
    return x, np.array([value(row) for row in rows], dtype=np.float64)


def source_curve(run: Metrics, source: str) -> tuple[Floats, Floats]:
    """A source's training loss, over the steps that read of it."""
    rows = [row for row in run.steps if source in row.loss_by_source]
    return curve(rows, lambda row: row.loss_by_source[source])


def heldout_curve(run: Metrics, domain: str) -> tuple[Floats, Floats]:
    """A domain's held-out loss, over the measurements that have it."""
    found = [(row.tokens, row.losses[domain].loss) for row in run.heldouts if domain in row.losses]
    table = np.array(found, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def window(size: int) -> int:
    """Steps that a smoothed value is the mean of: a twenty-fifth of the curve, made odd to be centred."""
    return max(1, size // 25) | 1


def running_mean(values: Floats, window: int) -> Floats:
    """The centred mean over `window` values, over fewer at the ends; what is not finite is left out."""
    known = np.isfinite(values)
    half = window // 2
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    first = np.maximum(np.arange(values.size) - half, 0)
    last = np.minimum(np.arange(values.size) + half + 1, values.size)
    number = counts[last] - counts[first]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(number > 0, (sums[last] - sums[first]) / number, np.nan)


def thin(size: int) -> npt.NDArray[np.int64]:
    """Indices of at most `_MOST_POINTS` values, the first and the last among them."""
    return np.unique(np.linspace(0, size - 1, min(size, _MOST_POINTS)).round().astype(np.int64))


def envelope(values: Floats) -> tuple[Floats, Floats]:
    """The least and the greatest value around each index of `thin`, neighbours included."""
    at = thin(values.size)
    half = max(1, -(-values.size // _MOST_POINTS))
    pieces = [values[max(0, i - half) : i + half + 1] for i in at]
    known = [piece[np.isfinite(piece)] for piece in pieces]
    low = np.array([piece.min() if piece.size else math.nan for piece in known])
    high = np.array([piece.max() if piece.size else math.nan for piece in known])
    return low, high


def frame(values: Floats, smooth: Floats) -> tuple[float, float]:
    """Limits that hold the smooth line and all but the outermost hundredth of the values."""
    known, line = values[np.isfinite(values)], smooth[np.isfinite(smooth)]
    low, high = np.quantile(known, [0.005, 0.995])
    low, high = min(float(low), float(line.min())), max(float(high), float(line.max()))
    margin = 0.08 * (high - low) or 0.01
    return low - margin, high + margin


def spread(heights: Sequence[float], apart: float) -> list[float]:
    """Sorted heights moved as little as is needed to lie `apart`: too close neighbours share the move."""
    placed = list(heights)
    for _ in range(100):
        for i in range(len(placed) - 1):
            lack = apart - (placed[i + 1] - placed[i])
            if lack > 0:
                placed[i] -= lack / 2
                placed[i + 1] += lack / 2
    return placed
