"""Numbers as the report prints them; a true minus sign, and an en dash for what is not known."""

from __future__ import annotations

import math

NONE = "\N{EN DASH}"


def loss(value: float | None) -> str:
    """Four decimals: 2.4120."""
    return NONE if value is None else f"{value:.4f}"


def signed(value: float | None) -> str:
    """Four decimals and a sign: +0.7431."""
    return NONE if value is None else _minus(f"{value:+.4f}")


def percent(value: float | None) -> str:
    """A signed share in percent, one decimal: −35.5 %."""
    if value is None or not math.isfinite(value):
        return NONE
    return _minus(f"{100 * value:+.1f}") + "\u202f%"


def share(value: float | None) -> str:
    """A share in percent without a sign: 0.4 %."""
    return NONE if value is None or not math.isfinite(value) else f"{100 * value:.1f}\u202f%"


def grouped(value: float | None) -> str:
    """A whole number with its thousands apart: 307,200."""
    return NONE if value is None else f"{value:,.0f}"


def fixed(value: float | None, digits: int = 2) -> str:
    """A number with so many decimals."""
    return NONE if value is None else _minus(f"{value:,.{digits}f}")


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
