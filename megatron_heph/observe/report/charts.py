"""The report's charts; x is always tokens read, and a domain has the same colour in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from megatron_heph.observe.metrics import Metrics
from megatron_heph.observe.report.axes import label_ends, mark_stages, short_count, token_axis
from megatron_heph.observe.report.curves import (
    Floats,
    curve,
    envelope,
    frame,
    heldout_curve,
    running_mean,
    source_curve,
    thin,
    window,
)
from megatron_heph.observe.report.svg import COLOURS, chart_style, new_figure, to_svg
from megatron_heph.observe.rows import Step

_PANEL = (320.0, 230.0)
_WIDE = (460.0, 260.0)
_Dash = str | tuple[int, tuple[float, ...]]
_DASHES: tuple[_Dash, ...] = ("solid", (0, (4, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart's heading, its SVG, and a sentence on how to read it."""

    title: str
    svg: str
    caption: str
    role: str = "ink"  # colour of the heading


def colour_role(domain: str) -> str:
    """The colour of a domain: agent, code and text have their own."""
    return domain if domain in ("agent", "code", "text") else "other"


def heldout_charts(run: Metrics, control: Metrics | None) -> list[Chart]:
    """One panel per domain that was measured at least twice.

    All span as many nats per token, so slopes can be compared between them.
    """
    arms = {"run": run} | ({"control": control} if control else {})
    curves = {
        domain: {name: heldout_curve(arm, domain) for name, arm in arms.items()} for domain in run.domains
    }
    ranges: dict[str, tuple[float, float]] = {}
    for domain, found in curves.items():
        losses = np.concatenate([y for _, y in found.values()])
        losses = losses[np.isfinite(losses)]
        if losses.size and found["run"][0].size > 1:
            ranges[domain] = float(losses.min()), float(losses.max())
    reach = max((0.6 * (high - low) for low, high in ranges.values()), default=0.0) or 0.005
    return [
        _heldout_panel(domain, curves[domain], ((low + high) / 2 - reach, (low + high) / 2 + reach))
        for domain, (low, high) in ranges.items()
    ]


def _heldout_panel(
    domain: str, curves: dict[str, tuple[Floats, Floats]], limits: tuple[float, float]
) -> Chart:
    name = f"heldout-{_identifier(domain)}"
    colour = COLOURS[colour_role(domain)]
    with chart_style(name):
        figure, axes = new_figure(*_PANEL)
        ends = []
        for arm, (x, y) in curves.items():
            dash: _Dash = "solid" if arm == "run" else (0, (4, 2))
            marker = "o" if arm == "run" and x.size < 40 else ""
            axes.plot(x, y, color=colour, linestyle=dash, marker=marker, markersize=4.5, clip_on=False)
            ends += [(float(x[-1]), float(y[-1]), arm, colour)] if x.size and len(curves) > 1 else []
        axes.set_ylim(*limits)
        token_axis(axes)
        label_ends(axes, ends)
        svg = to_svg(figure, name, f"Held-out loss on {domain} data over tokens read")
    return Chart(title=domain, svg=svg, caption="", role=colour_role(domain))


def training_chart(run: Metrics) -> Chart | None:
    """Training loss of each step, and its running mean."""
    x, y = curve(run.steps, lambda row: row.loss)
    if np.isfinite(y).sum() < 2:
        return None
    with chart_style("training"):
        figure, axes = new_figure(*_WIDE)
        low, high = envelope(y)
        at = thin(x.size)
        axes.fill_between(x[at], low, high, color=COLOURS["muted"], alpha=0.22, linewidth=0)
        steps = window(x.size)
        smooth = running_mean(y, steps)
        axes.plot(x[at], smooth[at], color=COLOURS["ink"])
        limits = frame(y, smooth)
        axes.set_ylim(*limits)
        mark_stages(axes, run)
        token_axis(axes)
        svg = to_svg(figure, "training", "Training loss over tokens read")
    over = f"{steps} steps" if steps > 1 else "one step"
    caption = f"Nats per token. Line: mean over {over}; shade: the range of single steps."
    caption += _left_out(y, limits)
    return Chart(title="Training loss, all sources", svg=svg, caption=caption)


def source_chart(run: Metrics) -> Chart | None:
    """Training loss per source, smoothed; domains by colour, a domain's sources by dash."""
    curves, ends, seen = [], [], dict[str, int]()
    for source in dict.fromkeys(name for row in run.steps for name in row.loss_by_source):
        x, y = source_curve(run, source)
        role = colour_role(run.domain_of(source))
        dash = _DASHES[seen.setdefault(role, 0) % len(_DASHES)]
        seen[role] += 1
        if np.isfinite(y).sum() > 1:
            curves.append((source, x, running_mean(y, window(x.size)), COLOURS[role], dash))
    if not curves:
        return None
    with chart_style("sources"):
        figure, axes = new_figure(*_WIDE)
        for source, x, y, colour, dash in curves:
            at = thin(x.size)
            axes.plot(x[at], y[at], color=colour, linestyle=dash, linewidth=1.8)
            known = np.flatnonzero(np.isfinite(y))
            ends.append((float(x[known[-1]]), float(y[known[-1]]), source, colour))
        mark_stages(axes, run)
        token_axis(axes)
        label_ends(axes, ends)
        svg = to_svg(figure, "sources", "Training loss of each source over tokens read")
    caption = "Nats per token, smoothed; a colour for each domain."
    return Chart(title="Training loss by source", svg=svg, caption=caption)


def rate_chart(run: Metrics) -> Chart | None:
    """The learning rate."""
    return _line(run, "rate", "Learning rate", lambda row: row.lr, "As the schedule set it.")


def speed_chart(run: Metrics) -> Chart | None:
    """Tokens per second, of all ranks together."""
    return _line(run, "speed", "Tokens per second", lambda row: row.tokens_per_second, "All ranks together.")


def _line(run: Metrics, name: str, title: str, value: Callable[[Step], float], caption: str) -> Chart | None:
    x, y = curve(run.steps, value)
    if np.isfinite(y).sum() < 2:
        return None
    with chart_style(name):
        figure, axes = new_figure(*_WIDE)
        at = thin(x.size)
        if at.size < x.size:  # what lies between the points drawn
            axes.fill_between(x[at], *envelope(y), color=COLOURS["muted"], alpha=0.4, linewidth=0)
        axes.plot(x[at], y[at], color=COLOURS["ink"], linewidth=1.6)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda value, _: _tick(value))
        mark_stages(axes, run)
        token_axis(axes)
        svg = to_svg(figure, name, f"{title} over tokens read")
    return Chart(title=title, svg=svg, caption=caption)


def _left_out(losses: Floats, limits: tuple[float, float]) -> str:
    """What the frame does not show, in words."""
    known = losses[np.isfinite(losses)]
    beyond = int(((known < limits[0]) | (known > limits[1])).sum())
    unknown = losses.size - known.size
    text = f" Steps beyond the frame: {beyond}, the highest loss {known.max():.3f}." if beyond else ""
    return text + (f" Steps whose loss is not finite: {unknown}." if unknown else "")


def _tick(value: float) -> str:
    return f"{value:.1e}".replace("e-0", "e-") if 0 < abs(value) < 0.01 else short_count(value)


def _identifier(text: str) -> str:
    return "".join(character if character.isalnum() and character.isascii() else "-" for character in text)
