"""What the charts' axes have in common: tokens below, stages above, names at the lines' right ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from megatron_heph.observe.metrics import Metrics
from megatron_heph.observe.report.curves import spread
from megatron_heph.observe.report.svg import COLOURS
from megatron_heph.observe.units import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def token_axis(axes: Axes) -> None:
    """Tokens from zero, written short."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(lambda value, _: short_count(value))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("tokens", fontsize="small", loc="right")


def mark_stages(axes: Axes, run: Metrics) -> None:
    """A faint line and its name where a stage begins, if there is more than one."""
    if len(run.stages) < 2:
        return
    for stage in run.stages:
        row = next(row for row in run.steps if row.stage == stage)
        begun = row.tokens - sum(row.tokens_by_source.values())
        if begun > 0:
            axes.axvline(begun, color=COLOURS["muted"], linewidth=0.8, linestyle=(0, (2, 2)))
        axes.text(begun, 1.0, f" {stage}", transform=axes.get_xaxis_transform(), color=COLOURS["muted"],
                  fontsize="small", va="bottom", ha="left")  # fmt: skip


def label_ends(axes: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Names lines at their right ends; names that would overlap are moved apart."""
    ends = sorted((end for end in ends if math.isfinite(end[1])), key=lambda end: end[1])
    low, high = axes.get_ylim()
    heights = spread([y for _, y, _, _ in ends], apart=(high - low) * 0.085)
    for (x, _, label, colour), y in zip(ends, heights, strict=True):
        axes.annotate(label, (x, y), xytext=(7, 0), textcoords="offset points", color=colour,
                      fontsize="small", va="center", annotation_clip=False)  # fmt: skip


def short_count(value: float) -> str:
    """1.60k as 1.6k: a tick is a round number."""
    text = count(value)
    number, unit = (text, "") if text[-1].isdigit() else (text[:-1], text[-1])
    return (number.rstrip("0").rstrip(".") if "." in number else number) + unit
