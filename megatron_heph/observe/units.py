"""Numbers as people read them: 1.23M tokens, 2h 05m."""

from __future__ import annotations

import math


def count(number: float) -> str:
    """Three significant digits and k, M, B or T: 950, 12.3k, 1.23M."""
    if not math.isfinite(number):
        return str(number)
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        # A number that would round up to 1000 belongs to the next unit.
        if abs(number) >= limit * 0.9995:
            scaled = number / limit
            digits = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
            return f"{scaled:.{digits}f}{unit}"
    return f"{number:.0f}" if number == round(number) or abs(number) >= 100 else f"{number:.3g}"


def duration(seconds: float) -> str:
    """Two units at most: 42s, 3m 07s, 2h 05m, 4d 11h; a second's part below ten seconds."""
    if not math.isfinite(seconds):
        return "?"
    if 0 < seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60}h {minutes % 60:02d}m"
    hours = round(seconds / 3600)
    return f"{hours // 24}d {hours % 24:02d}h"
