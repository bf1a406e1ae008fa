"""What a run reads of each source: exact, by the closed form of the loader, without reading a token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from megatron_heph.data.loader import positions_of
from megatron_heph.data.segments import Point, Segment
from megatron_heph.data.sources import Sources
from megatron_heph.data.timeline import parts
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.recipe.resolved import Resolved
from megatron_heph.recipe.tree import Window

if TYPE_CHECKING:
    from megatron_heph.checkpoint.store import TrainState

EPOCHS = 4.0
"""Up to about here repeated data is nearly as good as fresh data (Muennighoff et al., arXiv 2305.16264)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePlan:
    """A source of the mixture, and what the run takes of it."""

    name: str
    domain: str
    path: str
    window: Window
    tokens: int                         # in the source
    taken: int                          # positions of the whole run; where packed, with what fills windows up
    taken_by_stage: dict[str, int]
    epochs: float                       # how often the run reads the source


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldoutPlan:
    """A held-out set, and what one measurement reads of it."""

    domain: str
    path: str
    tokens: int
    measured: int                       # whole windows of the first stage's sequence, at most heldout_tokens


def source_plans(resolved: Resolved, sources: Sources, saved: TrainState | None = None) -> tuple[SourcePlan, ...]:
    """Every source of the recipe, also one that no stage reads; `saved` is where the run stands, if it has begun."""
    point, segments = (saved.point, saved.segments) if saved else (Point(), ())
    taken = _taken_before(segments, point)
    epochs = dict(saved.epochs) if saved else {}
    for part in parts(resolved, sources, point, segments[-1] if segments else None):
        before, after = part.loader.positions(part.first), part.loader.positions(part.stop)
        taken.setdefault(part.stage.name, Counter()).update({name: after[name] - before[name] for name in after})
        epochs.update(part.loader.epochs(part.stop))
    return tuple(
        SourcePlan(
            name=name,
            domain=source.node.domain,
            path=source.node.path,
            window=source.node.window,
            tokens=source.total_tokens,
            taken=sum(counts[name] for counts in taken.values()),
            taken_by_stage={stage: counts[name] for stage, counts in taken.items()},
            epochs=epochs.get(name, 0.0),
        )
        for name, source in sources.items()
    )


def _taken_before(segments: tuple[Segment, ...], point: Point) -> dict[str, Counter[str]]:
    """What past segments read, by stage: from the table alone."""
    taken: dict[str, Counter[str]] = {}
    ends = [segment.step for segment in segments[1:]] + [point.step]
    for segment, end in zip(segments, ends, strict=False):
        taken.setdefault(segment.stage, Counter()).update(positions_of(segment, end - segment.step))
    return taken


def heldout_plans(resolved: Resolved, heldout: Mapping[str, TokenizedSource]) -> tuple[HeldoutPlan, ...]:
    """Every held-out set of the recipe."""
    sequence, limit = resolved.recipe.stage[0].sequence, resolved.recipe.observe.heldout_tokens
    return tuple(
        HeldoutPlan(
            domain=domain, path=str(source.prefix), tokens=source.total_tokens,
            measured=min(limit, source.total_tokens - 1) // sequence * sequence,
        )
        for domain, source in heldout.items()
    )  # fmt: skip


def data_warnings(resolved: Resolved, sources: tuple[SourcePlan, ...]) -> Iterator[str]:
    """What a reader of the plan should look at again."""
    for stage in resolved.recipe.stage:
        if resolved.block % stage.sequence and any(source.window == "stream" for source in sources):
            yield (
                f"data.block is {resolved.block:,} tokens, no multiple of stage.{stage.name}.sequence = "
                f"{stage.sequence:,}: about one sample in {max(1, resolved.block // stage.sequence)} spans two blocks, "
                f"whose texts are no neighbours. Nothing is lost; before a run begins, data.block can be chosen to fit."
            )
    for source in sources:
        if source.epochs > EPOCHS:
            yield (
                f"The run reads the source {source.name} {source.epochs:.1f} times; past about {EPOCHS:.0f} epochs "
                f"repetition is worth much less than fresh data (arXiv 2305.16264). Add text to the domain "
                f"{source.domain}, or lower its weight in stage.*.mixture."
            )
        if not source.taken:
            yield f"No token of the source {source.name} is read: no stage gives the domain {source.domain} weight."
