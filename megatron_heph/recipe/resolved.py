"""A resolved recipe: with the model's shape, the grid of processes and the steps of each stage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from megatron_heph.formats.toml_tree import Tokens, to_table
from megatron_heph.recipe.shape import BaseModel, ModelShape
from megatron_heph.recipe.tree import Recipe, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a process can see before it starts others: its cores, its GPUs, and what a launcher said."""

    cores: int
    gpus: int
    world: int | None = None            # WORLD_SIZE, where a launcher set it

    @property
    def processes(self) -> int:
        """How many processes `parallel.data = "auto"` may fill."""
        return self.world or self.gpus or self.cores


@dataclass(frozen=True, slots=True, kw_only=True)
class GridSize:
    """The sizes of the grid's axes; their product is the number of processes."""

    tensor: int = 1
    pipeline: int = 1
    context: int = 1
    data: int = 1

    @property
    def world(self) -> int:
        """The number of processes."""
        return self.tensor * self.pipeline * self.context * self.data

    def __str__(self) -> str:
        names = {"TP": self.tensor, "PP": self.pipeline, "CP": self.context, "DP": self.data}
        return " x ".join(f"{name}{size}" for name, size in names.items() if size > 1) or "one process"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A recipe with everything that was left open filled in."""

    recipe: Recipe
    machine: Machine
    shape: ModelShape
    base: BaseModel | None
    grid: GridSize
    block: int                          # tokens in a unit of the permutation

    @property
    def run(self) -> Path:
        """The run folder."""
        return Path(self.recipe.run or f"runs/{self.recipe.name}")

    @property
    def device(self) -> str:
        """"cuda" where a GPU is visible, else "cpu"."""
        return "cuda" if self.machine.gpus else "cpu"

    def samples(self, stage: Stage) -> int:
        """Samples per optimizer step."""
        return stage.batch // stage.sequence

    def steps(self, stage: Stage) -> int:
        """Optimizer steps of a stage: its tokens in whole batches, rounded up."""
        return -(-stage.tokens // stage.batch)

    def tokens(self, stage: Stage) -> int:
        """Tokens that a stage reads: what was asked for, in whole batches."""
        return self.steps(stage) * stage.batch

    def micro_batches(self, stage: Stage) -> int:
        """Forward passes per step on each data parallel rank."""
        return self.samples(stage) // (stage.micro_batch * self.grid.data)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return sum(self.steps(stage) for stage in self.recipe.stage)

    def stage_at(self, step: int) -> tuple[Stage, int]:
        """The stage that step `step` (from 1) belongs to, and the step's number inside it (from 1).

        Raises IndexError for a step before the first or after the last.
        """
        if step < 1:
            raise IndexError(f"step {step}: steps are counted from 1")
        for stage in self.recipe.stage:
            if step <= self.steps(stage):
                return stage, step
            step -= self.steps(stage)
        raise IndexError(f"step {step} is beyond the last stage")

    def to_toml(self) -> str:
        """The resolved recipe, as the run folder keeps it."""
        import tomli_w  # only who writes a run folder needs it

        data = replace(self.recipe.data, block=Tokens(self.block))  # the order hangs on it, whatever lengths come later
        table = to_table(replace(self.recipe, data=data))
        table["run"] = str(self.run)
        table["parallel"]["data"] = self.grid.data
        return tomli_w.dumps(table)
