"""The run folder before the run: what is there already, what it says about speed, what will be written.

The run folder's own module brings torch and megatron with it, so it is imported only where a run is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from megatron_heph.data.sources import Sources
from megatron_heph.data.timeline import remaining_steps
from megatron_heph.errors import InputError
from megatron_heph.formats.toml_tree import read_toml
from megatron_heph.observe.metrics import FILE_NAME, read_metrics
from megatron_heph.planning.activations import ELEMENT
from megatron_heph.planning.compute import Speed, measured_speed
from megatron_heph.recipe.resolved import Resolved

if TYPE_CHECKING:
    from megatron_heph.checkpoint.store import TrainState

State = Literal["new", "begun", "resumable", "finished", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """Where `heph train` would begin."""

    folder: Path
    state: State
    step: int = 0                       # optimizer steps that are done
    tokens: int = 0                     # tokens that are read
    left: int = 0                       # steps that are still to do, if no cap stops a stage
    detail: str = ""                    # why it would be refused


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointPlan:
    """The checkpoints of a run, whole ones in bytes."""

    folder: Path
    bytes: int                          # of each
    written: int                        # by the whole run
    kept: int                           # at its end

    @property
    def disk(self) -> int:
        """The most on the disk: a new one is complete before an old one goes."""
        return self.bytes * min(self.written, self.kept + 1)


def settled(resolved: Resolved) -> tuple[Resolved, TrainState | None]:
    """The recipe as the run that is there has settled it, and where that stands; InputError if it cannot be read."""
    if not resolved.run.is_dir():
        return resolved, None
    from megatron_heph.train.run_folder import RunFolder

    folder = RunFolder(resolved.run)
    return folder.settle(resolved), folder.newest()


def run_plan(resolved: Resolved, sources: Sources) -> RunPlan:
    """Looks at the run folder as `heph train` would, and changes nothing."""
    if not resolved.run.is_dir():
        return RunPlan(folder=resolved.run, state="new")
    from megatron_heph.train.run_folder import RunFolder, is_finished

    folder = RunFolder(resolved.run)
    if not folder.exists:
        return RunPlan(folder=folder.path, state="new")
    try:
        folder.check_same(resolved)
        saved = folder.newest()
        finished = saved is not None and is_finished(resolved, sources, saved)
    except InputError as error:
        return RunPlan(folder=folder.path, state="refused", detail=str(error))
    if saved is None:
        return RunPlan(folder=folder.path, state="begun")
    return RunPlan(
        folder=folder.path,
        state="finished" if finished else "resumable",
        step=saved.step,
        tokens=saved.tokens,
        left=0 if finished else remaining_steps(resolved, saved.point),
    )


def recorded_speed(resolved: Resolved) -> Speed | None:
    """What the run in the folder measured, if it ran the same model in the same way; None without such a record."""
    run = resolved.run
    if not (run / FILE_NAME).is_file():
        return None
    from megatron_heph.train.run_folder import RECIPE, recipe_table

    try:
        if _what_speed_depends_on(read_toml(run / RECIPE)) != _what_speed_depends_on(recipe_table(resolved)):
            return None
        metrics = read_metrics(run / FILE_NAME)
    except InputError:  # a record that has no row yet, or none that can be read, measured nothing
        return None
    on_cpu = metrics.start.device.startswith("cpu")
    same = metrics.start.world_size == resolved.grid.world and on_cpu == (resolved.device == "cpu")
    return measured_speed(metrics) if same else None


def _what_speed_depends_on(table: dict[str, Any]) -> list[Any]:
    shapes = [[stage.get(key) for key in ("sequence", "batch", "micro_batch")] for stage in table.get("stage", [])]
    return [table.get("model"), table.get("precision"), table.get("parallel"), shapes]


def checkpoint_plan(resolved: Resolved) -> CheckpointPlan:
    """Sizes by what megatron-core writes: weights, two fp32 moments, and fp32 weights where the optimizer has them.

    The distributed optimizer writes its weights in fp32 also where the model's are.  A tied embedding is
    written once.  Indices and headers add some bytes a tensor.
    """
    recipe = resolved.recipe
    element = ELEMENT[recipe.precision.format]
    mastered = element < 4 or recipe.parallel.distributed_optimizer
    return CheckpointPlan(
        folder=resolved.run / "checkpoints",
        bytes=resolved.shape.parameters * (element + 8 + (4 if mastered else 0)),
        written=crossings(resolved, recipe.checkpoint.every, last=True),
        kept=min(max(1, recipe.checkpoint.keep), crossings(resolved, recipe.checkpoint.every, last=True)),
    )


def crossings(resolved: Resolved, every: int | None, *, last: bool) -> int:
    """After how many steps of the run something happens that is due every `every` tokens.

    It happens after a step that went over a multiple of `every`, and with `last` after the last one.
    """
    done = count = 0
    over = False
    for stage in resolved.recipe.stage:
        steps = resolved.steps(stage)
        end = done + steps * stage.batch
        if every is not None:  # a batch longer than `every` goes over a multiple at each step
            count += min(steps, end // every - done // every)
            over = end // every > (end - stage.batch) // every
        done = end
    return count + (last and not over)
