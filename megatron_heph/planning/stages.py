"""A stage of a run in numbers: its steps, and its learning rate at the steps where the schedule turns."""

from __future__ import annotations

import math
from dataclasses import dataclass

from megatron_heph.planning.compute import Flops, flops_per_token
from megatron_heph.recipe.resolved import Resolved
from megatron_heph.recipe.tree import Stage
from megatron_heph.train.schedule import learning_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class RatePoint:
    """The learning rate of one step, counted from 1 over the whole run."""

    what: str                           # such as "first" or "start of decay"
    step: int
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """What a stage does; lengths are tokens."""

    name: str
    first_step: int
    steps: int
    tokens: int                         # that are read: whole batches
    asked: int                          # by the recipe
    batch: int
    sequence: int
    samples: int                        # per step
    micro_batch: int                    # samples
    micro_batches: int                  # per step on each data parallel rank
    mixture: dict[str, float]           # domain -> share
    schedule: str
    peak: float
    rates: tuple[RatePoint, ...]
    flops_per_token: Flops

    @property
    def last_step(self) -> int:
        """The stage's last step, counted over the whole run."""
        return self.first_step + self.steps - 1


def stage_plans(resolved: Resolved) -> tuple[StagePlan, ...]:
    """The stages in order."""
    plans: list[StagePlan] = []
    for stage in resolved.recipe.stage:
        first = plans[-1].last_step + 1 if plans else 1
        plans.append(_plan(resolved, stage, first))
    return tuple(plans)


def _plan(resolved: Resolved, stage: Stage, first: int) -> StagePlan:
    steps, weights = resolved.steps(stage), stage.mixture
    return StagePlan(
        name=stage.name,
        first_step=first,
        steps=steps,
        tokens=resolved.tokens(stage),
        asked=stage.tokens,
        batch=stage.batch,
        sequence=stage.sequence,
        samples=resolved.samples(stage),
        micro_batch=stage.micro_batch,
        micro_batches=resolved.micro_batches(stage),
        mixture={domain: weight / sum(weights.values()) for domain, weight in weights.items()},
        schedule=stage.schedule.kind,
        peak=peak_rate(resolved, stage),
        rates=tuple(_rates(resolved, stage, first)),
        flops_per_token=flops_per_token(resolved.shape, stage.sequence),
    )


def peak_rate(resolved: Resolved, stage: Stage) -> float:
    """The highest learning rate of a stage."""
    return stage.lr if stage.lr is not None else resolved.recipe.optim.lr


def rate_at(resolved: Resolved, step: int) -> float:
    """The learning rate of step `step` of the run, from 1: the schedule's in the middle of the step's tokens."""
    stage, number = resolved.stage_at(step)
    middle, end = (number - 0.5) * stage.batch, resolved.tokens(stage)
    return learning_rate(middle, end, peak_rate(resolved, stage), stage.schedule)


def _rates(resolved: Resolved, stage: Stage, first: int) -> list[RatePoint]:
    """The turns of a schedule in order, each at the first step whose middle is past it; turns may share a step."""
    steps, schedule = resolved.steps(stage), stage.schedule
    turns = [("first", 0), ("middle", steps // 2), ("last", steps - 1)]
    if schedule.warmup:
        turns.append(("end of warm-up", _after(schedule.warmup, stage)))
    if schedule.kind == "wsd" and schedule.decay:
        turns.append(("start of decay", _after(resolved.tokens(stage) - schedule.decay, stage)))
    names: dict[int, list[str]] = {}
    for what, number in turns:
        if number < steps:  # a warm-up as long as the stage ends after it
            names.setdefault(number, []).append(what)
    return [
        RatePoint(what=", ".join(names[number]), step=first + number, rate=rate_at(resolved, first + number))
        for number in sorted(names)
    ]


def _after(tokens: int, stage: Stage) -> int:
    """The first step of a stage, from 0, whose middle is at `tokens` or past it."""
    return max(0, math.ceil(tokens / stage.batch - 0.5))
