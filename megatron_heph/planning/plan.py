"""The whole plan: what a recipe would do, computed without a process group and without a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_heph.data.records import as_recorded
from megatron_heph.data.sources import open_heldout, open_training
from megatron_heph.planning.compute import Flops, Speed
from megatron_heph.planning.data import HeldoutPlan, SourcePlan, data_warnings, heldout_plans, source_plans
from megatron_heph.planning.memory import ProcessMemory, machine_memory, process_memory
from megatron_heph.planning.run import (
    CheckpointPlan,
    RunPlan,
    checkpoint_plan,
    crossings,
    recorded_speed,
    run_plan,
    settled,
)
from megatron_heph.planning.stages import StagePlan, rate_at, stage_plans
from megatron_heph.recipe.resolved import GridSize, Resolved

FRESH = "fresh random weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a recipe would do; every number is computed or was measured, none is a guess."""

    name: str
    base: str                           # the base's label, or FRESH
    base_folder: Path | None
    parameters: int
    non_embedding_parameters: int
    grid: GridSize
    virtual: int                        # model chunks per pipeline rank
    sequence_parallel: bool
    distributed_optimizer: bool
    device: str                         # "cpu" or "cuda"
    precision: str
    stages: tuple[StagePlan, ...]
    sources: tuple[SourcePlan, ...]
    heldout: tuple[HeldoutPlan, ...]
    heldout_measurements: int
    memory: tuple[ProcessMemory, ...]   # by pipeline rank
    machine_memory: int | None          # bytes; None on GPUs
    speed: Speed | None
    run: RunPlan
    checkpoints: CheckpointPlan
    learning_rates: tuple[float, ...]   # at evenly spaced steps, from the first to the last
    warnings: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """Optimizer steps of the run."""
        return sum(stage.steps for stage in self.stages)

    @property
    def tokens(self) -> int:
        """Tokens that the run reads."""
        return sum(stage.tokens for stage in self.stages)

    @property
    def flops(self) -> Flops:
        """Of all training steps; held-out measurements come on top."""
        parts = [stage.flops_per_token.times(stage.tokens) for stage in self.stages]
        return Flops(causal=sum(part.causal for part in parts), full=sum(part.full for part in parts))

    @property
    def memory_peak(self) -> int:
        """Bytes at the peak of the process that needs most."""
        return max(memory.peak for memory in self.memory)

    @property
    def memory_together(self) -> int:
        """Bytes at the peak of all processes together."""
        return sum(memory.peak for memory in self.memory) * self.grid.world // self.grid.pipeline

    @property
    def seconds(self) -> float | None:
        """Of all training steps, where the speed is known; measurements and checkpoints come on top."""
        return self.tokens / self.speed.tokens_per_second if self.speed else None

    @property
    def remaining_seconds(self) -> float | None:
        """The same for what a resumed run has still to do."""
        return (self.tokens - self.run.tokens) / self.speed.tokens_per_second if self.speed else None


def make_plan(resolved: Resolved, tokens_per_second: float | None = None, samples: int = 64) -> Plan:
    """Plans a resolved recipe; `tokens_per_second` of all processes comes before what an earlier run measured.

    `samples` is how many learning rates are given over the run.  Raises InputError and RefusedError as
    `open_training` does.
    """
    resolved, saved = settled(resolved)
    training, held = open_training(resolved), open_heldout(resolved)
    known = as_recorded(training, saved.sources)[0] if saved else training
    given = Speed(tokens_per_second=tokens_per_second, source="as given") if tokens_per_second else None
    recipe, base = resolved.recipe, resolved.base
    plan = Plan(
        name=recipe.name,
        base=base.label if base else FRESH,
        base_folder=base.folder if base else None,
        parameters=resolved.shape.parameters,
        non_embedding_parameters=resolved.shape.non_embedding_parameters,
        grid=resolved.grid,
        virtual=recipe.parallel.virtual,
        sequence_parallel=recipe.parallel.sequence,
        distributed_optimizer=recipe.parallel.distributed_optimizer,
        device=resolved.device,
        precision=recipe.precision.format,
        stages=stage_plans(resolved),
        sources=source_plans(resolved, known, saved),
        heldout=heldout_plans(resolved, held),
        heldout_measurements=1 + crossings(resolved, recipe.observe.heldout_every, last=True) if held else 0,
        memory=tuple(process_memory(resolved, rank) for rank in range(resolved.grid.pipeline)),
        machine_memory=None if resolved.device == "cuda" else machine_memory(),
        speed=given or recorded_speed(resolved),
        run=run_plan(resolved, training),
        checkpoints=checkpoint_plan(resolved),
        learning_rates=tuple(_sampled_rates(resolved, samples)),
    )
    return dataclasses.replace(plan, warnings=tuple(_warnings(resolved, plan)))


def _sampled_rates(resolved: Resolved, samples: int) -> Iterator[float]:
    total = resolved.total_steps
    for i in range(samples):
        yield rate_at(resolved, 1 + i * (total - 1) // max(1, samples - 1))


def _warnings(resolved: Resolved, plan: Plan) -> Iterator[str]:
    if plan.run.state == "refused":
        yield f"`heph train` would refuse this recipe: {plan.run.detail}"
    yield from data_warnings(resolved, plan.sources)
    if plan.machine_memory is not None and plan.memory_together > plan.machine_memory:
        yield (
            f"The processes ({plan.grid.world}) need about {plan.memory_together / 1e9:.1f} GB together, but this "
            f"machine has {plan.machine_memory / 1e9:.1f} GB: lower stage.*.micro_batch or stage.*.sequence, or "
            f"spread the grid over more machines."
        )


def to_table(value: Any) -> Any:
    """The plan as JSON can hold it: dataclasses become objects with their fields and their properties."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        names += [name for name, member in vars(type(value)).items() if isinstance(member, property)]
        return {name: to_table(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {key: to_table(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_table(item) for item in value]
    return str(value) if isinstance(value, Path) else value
