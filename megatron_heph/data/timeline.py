"""The parts of a run that lie ahead: segments from where it stands to the end of the recipe.

A part ends where its stage does, or at the last step within the cap of a source.  The same recipe gives
the same segments whether the run goes through or is resumed, so that a resumed run goes on inside the segment that
it was stopped in; a changed one begins a new segment at the step where it was changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from megatron_heph.data.loader import Loader
from megatron_heph.data.moved_loader import MovedLoader, blend_weights
from megatron_heph.data.segments import Point, Segment
from megatron_heph.data.sources import Sources, shares
from megatron_heph.errors import InputError
from megatron_heph.recipe.resolved import Resolved
from megatron_heph.recipe.tree import Stage

AnyLoader = Loader | MovedLoader


def open_loader(segment: Segment, sources: Sources, resolved: Resolved) -> AnyLoader:
    """The loader of a segment."""
    return (Loader if segment.megatron is None else MovedLoader)(segment, sources, resolved)


@dataclass(frozen=True, slots=True)
class Part:
    """Steps `first` to `stop - 1` of a segment."""

    stage: Stage
    segment: Segment
    loader: AnyLoader
    first: int
    stop: int
    capped: tuple[str, ...] = ()        # the sources whose cap ended it

    def counted(self, begin: Point, steps: int) -> Point:
        """Steps and tokens of the run `steps` steps after `begin`, where the part began; places as they were there."""
        tokens = steps * self.segment.batch
        return Point(
            step=begin.step + steps,
            tokens=begin.tokens + tokens,
            stage=self.stage.name,
            stage_tokens=tokens + _done(begin, self.stage),
            places=begin.places,
        )

    def after(self, begin: Point, steps: int) -> Point:
        """Where the run stands `steps` steps after `begin`; looks at every source."""
        return replace(
            self.counted(begin, steps), places={**begin.places, **self.loader.places(self.first + steps)}
        )


def parts(resolved: Resolved, sources: Sources, point: Point, last: Segment | None = None) -> Iterator[Part]:
    """The parts from `point` to the end of the recipe, each computed when it is asked for.

    `last` is the segment that the run stopped in, if it has begun.  Raises InputError where a source meets a
    cap that it may not meet, or where none is left to read.
    """
    for stage in _stages(resolved, point):
        while (left := stage.tokens - _done(point, stage)) > 0:
            part = _next(resolved, sources, stage, point, -(-left // stage.batch), last)
            if part is None:
                break
            yield part
            point, last = part.after(point, part.stop - part.first), part.segment


def remaining_steps(resolved: Resolved, point: Point) -> int:
    """The steps from `point` to the end of the recipe, if no cap stops a stage."""
    lefts = ((stage.tokens - _done(point, stage), stage.batch) for stage in _stages(resolved, point))
    return sum(max(0, -(-left // batch)) for left, batch in lefts)


def _done(point: Point, stage: Stage) -> int:
    return point.stage_tokens if point.stage == stage.name else 0


def _stages(resolved: Resolved, point: Point) -> tuple[Stage, ...]:
    names = [stage.name for stage in resolved.recipe.stage]
    if not point.stage:
        return resolved.recipe.stage
    if point.stage not in names:
        raise InputError(
            f"The run stands in the stage {point.stage!r} (step {point.step}), but the recipe's stages are "
            f"{', '.join(names)}: keep a stage of that name; to end it now, set its tokens to {point.stage_tokens}."
        )
    return resolved.recipe.stage[names.index(point.stage) :]


def _next(
    resolved: Resolved, sources: Sources, stage: Stage, point: Point, wanted: int, last: Segment | None
) -> Part | None:
    """The part from `point` on, of at most `wanted` steps; None where a cap stops the stage here."""
    part = _going_on(resolved, sources, stage, point, wanted, last) if last is not None else None
    if part is None or part.stop == part.first:
        loader, capped = _segment(resolved, sources, stage, point)
        stopped = [name for name in capped if sources[name].node.at_cap == "stop"]
        if stopped and _done(point, stage):
            return None
        if loader is None or stopped:
            raise InputError(_nothing_left(stage, point, capped, wanted))
        part = _part(stage, loader, 0, wanted)
    for name in part.capped:
        if sources[name].node.at_cap == "refuse":
            raise InputError(_refusal(sources, name, stage, point.step + part.stop - part.first))
    return part


def _going_on(
    resolved: Resolved, sources: Sources, stage: Stage, point: Point, wanted: int, last: Segment
) -> Part | None:
    """The rest of the segment that the run stopped in, if the recipe still asks for it."""
    if last.stage != stage.name:
        return None
    loader, _ = _segment(resolved, sources, stage, replace(point, step=last.step, places=last.begin))
    if loader is None or replace(loader.segment, megatron=last.megatron) != last:
        return None
    if loader.segment != last:
        loader = open_loader(last, sources, resolved)
    return _part(stage, loader, point.step - last.step, wanted)


def _segment(
    resolved: Resolved, sources: Sources, stage: Stage, point: Point
) -> tuple[AnyLoader | None, tuple[str, ...]]:
    """The segment that begins at `point`, without the sources that have no step left within their cap, and those.

    They leave their share to others, whose caps may then be too near as well.  None without any that is left.
    """
    live = dict(sources)
    while weights := _shares(resolved, stage, live):
        loader = open_loader(_make(resolved, sources, stage, point, weights), sources, resolved)
        steps, capped = loader.steps_within_caps(1)
        if steps or not capped:
            return (loader if steps else None), tuple(name for name in sources if name not in live)
        live = {name: source for name, source in live.items() if name not in capped}
    return None, tuple(name for name in sources if name not in live)


def _shares(resolved: Resolved, stage: Stage, live: Sources) -> dict[str, float]:
    """The share of each source; a Megatron run's order has its own, whatever the stage's mixture says."""
    moved = resolved.recipe.data.megatron
    if moved is None:
        return shares(stage.mixture, live)
    weights = blend_weights(moved, live)
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def _make(
    resolved: Resolved, sources: Sources, stage: Stage, point: Point, weights: dict[str, float]
) -> Segment:
    moved = resolved.recipe.data.megatron
    return Segment(
        step=point.step,
        stage=stage.name,
        sequence=stage.sequence,
        samples=resolved.samples(stage),
        weights=weights,
        apart=tuple(name for name in weights if sources[name].node.apart),
        begin=dict(point.places),       # also of sources without a share: why they have none can be told again
        megatron=None if moved is None else moved.consumed + point.tokens // stage.sequence,
    )


def _part(stage: Stage, loader: AnyLoader, first: int, wanted: int) -> Part:
    stop, capped = loader.steps_within_caps(first + wanted)
    return Part(stage, loader.segment, loader, first, max(first, stop), capped)


def _nothing_left(stage: Stage, point: Point, capped: tuple[str, ...], wanted: int) -> str:
    if not capped:
        return (
            f"At step {point.step} of the run, with {wanted} steps of stage {stage.name} to do, the Megatron order has "
            f"no step left (data.megatron.samples, less consumed): lower stage.{stage.name}.tokens."
        )
    return (
        f"At step {point.step} of the run, with {wanted} steps of stage {stage.name} to do, the sources "
        f"{', '.join(capped)} have no step left within their caps, and the stage has no other to read: raise "
        f"data.sources.*.max_epochs, add a source, or lower stage.{stage.name}.tokens."
    )


def _refusal(sources: Sources, name: str, stage: Stage, step: int) -> str:
    node = sources[name].node
    return (
        f"The source {name} would be read more than data.sources.{name}.max_epochs = {node.max_epochs:g} times after "
        f'step {step} (stage {stage.name}), and its at_cap is "refuse": lower the weight of {node.domain} in '
        f'stage.{stage.name}.mixture or stage.{stage.name}.tokens, raise the cap, or set at_cap to "drop" or "stop".'
    )
