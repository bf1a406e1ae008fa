"""A run at a glance, for the terminal and for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from megatron_heph.observe.metrics import FILE_NAME, Metrics, read_metrics
from megatron_heph.observe.report.text import percent
from megatron_heph.observe.state import state_of
from megatron_heph.observe.units import count

_LAST = 3


def overview(run: Path, now: float) -> dict[str, Any]:
    """What the record in the run folder says at `now` (seconds since the epoch), as JSON can hold it.

    A loss that is not finite is None.  Raises InputError if the folder is no run.
    """
    metrics = read_metrics(run / FILE_NAME)
    state, start = state_of(metrics, now), metrics.start
    return {
        "run": start.run,
        "base": start.label,
        "state": state.name,
        "detail": state.detail,
        "step": metrics.step,
        "total_steps": start.total_steps or None,
        "tokens": metrics.tokens,
        "total_tokens": start.total_tokens or None,
        "stage": metrics.stages[-1] if metrics.stages else None,
        "world_size": start.world_size,
        "last_losses": [
            {"step": row.step, "loss": _finite(row.loss), "grad_norm": _finite(row.grad_norm), "lr": row.lr}
            for row in metrics.steps[-_LAST:]
        ],
        "heldout": _heldout(metrics),
        "tokens_by_source": metrics.tokens_by_source(),
        "data_wait": _data_wait(metrics),
        "checkpoints": [
            {"step": row.step, "tokens": row.tokens, "path": row.path, "kept": (run / row.path).exists()}
            for row in metrics.checkpoints
        ],
        "resumed_at": [row.step for row in metrics.resumes],
        "cut_lines": metrics.cut_lines,
    }


def overview_lines(table: dict[str, Any]) -> list[str]:
    """The overview as lines of text."""
    of_steps = f" of {table['total_steps']}" if table["total_steps"] else ""
    of_tokens = f" of {count(table['total_tokens'])}" if table["total_tokens"] else ""
    stage = f", stage {table['stage']}" if table["stage"] else ""
    lines = [
        f"{table['run']}: {table['state']} ({table['detail']})",
        f"base    {table['base']}",
        f"steps   {table['step']}{of_steps}{stage}, on {table['world_size']} rank(s)",
        f"tokens  {count(table['tokens'])}{of_tokens}",
    ]
    if table["data_wait"] is not None:
        lines.append(f"data    {table['data_wait']:.1%} of a step is waiting for data")
    if table["resumed_at"]:
        lines.append(f"resumed at step {', '.join(map(str, table['resumed_at']))}")
    if table["last_losses"]:
        losses = [
            (str(row["step"]), _loss(row["loss"]), _loss(row["grad_norm"]), f"{row['lr']:.2e}")
            for row in table["last_losses"]
        ]
        lines += ["", *aligned(("step", "loss", "grad norm", "lr"), losses)]
    if table["heldout"]:
        heldout = [
            (name, _loss(row["before"]), _loss(row["last"]), percent(row["change"]), str(row["last_step"]))
            for name, row in table["heldout"].items()
        ]
        lines += ["", *aligned(("held-out", "first", "last", "change", "at step"), heldout)]
    if table["checkpoints"]:
        checkpoints = [
            (str(row["step"]), count(row["tokens"]), row["path"] + ("" if row["kept"] else " (removed)"))
            for row in table["checkpoints"]
        ]
        lines += ["", *aligned(("checkpoint", "tokens", "path"), checkpoints)]
    return lines


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of text, numbers flush right: a column is flush left if its cells are no numbers."""
    columns = list(zip(*rows, strict=True))
    left = [not any(cell.lstrip("+\N{MINUS SIGN}")[:1].isdigit() for cell in cells) for cells in columns]
    widths = [max(map(len, (name, *cells))) for name, cells in zip(header, columns, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if flush else cell.rjust(width)
            for cell, width, flush in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in (header, *rows)
    ]


def _data_wait(metrics: Metrics) -> float | None:
    """The share of the steps' time that went into waiting for data; None before the first step."""
    time = sum(row.step_seconds for row in metrics.steps)
    return sum(row.data_seconds for row in metrics.steps) / time if time > 0 else None


def _heldout(metrics: Metrics) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for domain in metrics.domains:
        rows = [row for row in metrics.heldouts if domain in row.losses]
        before, last = rows[0].losses[domain].loss, rows[-1].losses[domain].loss
        result[domain] = {
            "before": _finite(before),
            "before_step": rows[0].step,
            "last": _finite(last),
            "change": _finite(last / before - 1) if before and len(rows) > 1 else None,
            "last_step": rows[-1].step,
            "tokens": rows[-1].losses[domain].tokens,
        }
    return result


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _loss(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4f}"
