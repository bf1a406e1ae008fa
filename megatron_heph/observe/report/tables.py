"""The report's figures beside the held-out losses: speed, sources, checkpoints, facts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from megatron_heph.observe.metrics import Metrics

WARMUP_STEPS = 10
"""Steps left out of speed figures after each start: allocators, caches and compilers settle in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Tokens per second of all ranks together, over `steps` rows after `warmup` others.

    `wait` is the share of step time that waited for data, 0 to 1.
    """

    median: float
    p10: float
    p90: float
    wait: float
    steps: int
    warmup: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLedger:
    """What was read of one source; epochs is None where the tokens of one epoch are not known."""

    source: str
    domain: str
    tokens: int
    share: float
    epoch_tokens: int | None
    epochs: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointLine:
    """A checkpoint, and whether it is still in the run folder."""

    step: int
    tokens: int
    seconds: float
    path: str
    kept: bool


def speed(run: Metrics, warmup: int = WARMUP_STEPS) -> Speed | None:
    """Median, p10 and p90 after warm-up, and the share of step time that waited for data.

    The first `warmup` steps of the run and of each resume do not count, unless fewer than as many
    would be left; then only the first half of the steps is left out.
    """
    begun = [0, *(row.step for row in run.resumes)]
    rows = [row for row in run.steps if not any(at < row.step <= at + warmup for at in begun)]
    if len(rows) < warmup:
        rows = list(run.steps[len(run.steps) // 2 :])
    if not rows:
        return None
    p10, median, p90 = np.quantile([row.tokens_per_second for row in rows], [0.1, 0.5, 0.9])
    time = sum(row.step_seconds for row in rows)
    return Speed(
        median=float(median), p10=float(p10), p90=float(p90),
        steps=len(rows), warmup=len(run.steps) - len(rows),
        wait=sum(row.data_seconds for row in rows) / time if time > 0 else 0.0,
    )  # fmt: skip


def ledger(run: Metrics) -> list[SourceLedger]:
    """Tokens and epochs of each source, from the step rows that count."""
    read = run.tokens_by_source()
    total = sum(read.values())
    lines = []
    for source, tokens in read.items():
        infos = [start.sources[source] for start in run.starts if source in start.sources]
        epoch = infos[-1].tokens if infos and infos[-1].tokens else None
        lines.append(
            SourceLedger(
                source=source,
                domain=run.domain_of(source),
                tokens=tokens,
                share=tokens / total if total else 0.0,
                epoch_tokens=epoch,
                epochs=tokens / epoch if epoch else None,
            )
        )
    return lines


def checkpoint_lines(run: Metrics, folder: Path) -> list[CheckpointLine]:
    """The checkpoints that were written, the newest first."""
    return [
        CheckpointLine(
            step=row.step,
            tokens=row.tokens,
            seconds=row.seconds,
            path=row.path,
            kept=(folder / row.path).exists(),
        )
        for row in reversed(run.checkpoints)
    ]


def grid_facts(run: Metrics) -> list[tuple[str, str]]:
    """Where the run trained, and how its ranks were laid out."""
    start, grid = run.start, run.start.grid
    times = " \N{MULTIPLICATION SIGN} "
    sizes = {"tensor": grid.tensor, "pipeline": grid.pipeline, "context": grid.context, "data": grid.data}
    return [
        ("device", start.device),
        ("ranks", str(start.world_size)),
        ("grid", times.join(f"{axis} {size}" for axis, size in sizes.items())),
        ("parameters", f"{start.parameters:,}"),
        ("recipe", start.recipe_name),
    ]


def json_facts(path: Path) -> list[tuple[str, str]]:
    """The values of a JSON file under dotted names; none if the file is missing or is not JSON."""
    try:
        table: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return list(_flat(table, ""))


def recipe_text(folder: Path) -> str:
    """The resolved recipe as it stands in the run folder; empty if there is none."""
    try:
        return (folder / "recipe.toml").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for number, item in enumerate(value):
            yield from _flat(item, f"{name}.{number}" if name else str(number))
    elif isinstance(value, list):
        yield name, ", ".join(map(str, value))
    else:
        yield name, json.dumps(value) if isinstance(value, bool | None) else str(value)
