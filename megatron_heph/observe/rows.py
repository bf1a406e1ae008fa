"""The rows of metrics.jsonl: one frozen dataclass per kind, and their JSON.

Losses are means in nats per token, times are seconds since the epoch, durations are seconds, and
`tokens` counts what the run has read since its step 0.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, get_type_hints

FINISHED = "finished"
"""The `reason` of an End row when every token of the recipe was read; any other reason is a stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """How the ranks are laid out: world size = tensor x pipeline x context x data."""

    tensor: int = 1
    pipeline: int = 1
    context: int = 1
    data: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """A source of the mixture: its domain, and the tokens of one epoch (0: not known)."""

    domain: str
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A process began to train: where, with what, from which base."""

    kind: ClassVar[str] = "start"
    run: str
    recipe_name: str
    label: str  # what the base model is, to be shown verbatim
    parameters: int
    world_size: int
    grid: Grid
    device: str
    versions: dict[str, str]
    time: float
    sources: dict[str, SourceInfo] = field(default_factory=dict)
    total_steps: int = 0  # what the recipe asks for; 0: not known
    total_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One optimizer step, or all steps since the last such row."""

    kind: ClassVar[str] = "step"
    step: int
    tokens: int
    stage: str
    loss: float
    lr: float
    grad_norm: float
    tokens_per_second: float  # of all ranks together
    step_seconds: float
    data_seconds: float  # the part of step_seconds that waited for data
    loss_by_source: dict[str, float]
    tokens_by_source: dict[str, int]  # read since the last step row
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainLoss:
    """A held-out loss, and over how many tokens it is the mean."""

    loss: float
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heldout:
    """Held-out losses per domain; the one at step 0 is the base model's."""

    kind: ClassVar[str] = "heldout"
    step: int
    tokens: int
    losses: dict[str, DomainLoss]
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint is complete at `path` (relative to the run folder)."""

    kind: ClassVar[str] = "checkpoint"
    step: int
    tokens: int
    seconds: float
    path: str
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Training goes on from the state after `step`: earlier rows beyond it no longer count."""

    kind: ClassVar[str] = "resume"
    step: int
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The process ended in order: `reason` is FINISHED, or says why it stopped."""

    kind: ClassVar[str] = "end"
    step: int
    tokens: int
    seconds: float  # since this process's start row
    reason: str
    time: float


Row = Start | Step | Heldout | Checkpoint | Resume | End
KINDS: dict[str, type[Row]] = {row.kind: row for row in (Start, Step, Heldout, Checkpoint, Resume, End)}


def encode_row(row: Row) -> bytes:
    """One line of JSON with its newline.

    JSON has no NaN and no infinity; they are written as the strings "NaN", "Infinity" and
    "-Infinity" (as protobuf's JSON does), so that any reader can still parse the line.
    """
    table = {"kind": row.kind, **_finite(dataclasses.asdict(row))}
    return (json.dumps(table, ensure_ascii=False, allow_nan=False) + "\n").encode()


def decode_row(table: Mapping[str, Any]) -> Row | None:
    """The row in a parsed line; None for a kind that this version does not know.

    Unknown fields are ignored.  Raises KeyError for a missing field, TypeError or ValueError for a wrong one.
    """
    cls = KINDS.get(table["kind"])
    return None if cls is None else _build(cls, table)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _build(cls: Any, table: Mapping[str, Any]) -> Any:
    values = {}
    for name, kind, required in _fields(cls):
        if name in table:
            values[name] = _value(kind, table[name])
        elif required:
            raise KeyError(name)
    return cls(**values)


@lru_cache
def _fields(cls: Any) -> list[tuple[str, Any, bool]]:
    """(name, type, whether a row must have it) of each field."""
    types, missing = get_type_hints(cls), dataclasses.MISSING
    return [
        (spec.name, types[spec.name], spec.default is missing and spec.default_factory is missing)
        for spec in dataclasses.fields(cls)
    ]


def _value(kind: Any, value: Any) -> Any:
    """`value` as `kind`: int, float, str, a dataclass, or a dict of one of them."""
    if dataclasses.is_dataclass(kind):
        return _build(kind, _table(value))
    if getattr(kind, "__origin__", None) is dict:
        return {str(key): _value(kind.__args__[1], item) for key, item in _table(value).items()}
    if kind is str and not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return kind(value)


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} is not an object")
    return value
