"""From a recipe to what it means here: the model's shape, the grid of processes, the steps of each stage."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_heph.errors import InputError
from megatron_heph.formats.toml_tree import apply_overrides, build, read_toml, to_table
from megatron_heph.recipe.shape import BaseModel, ModelShape, read_base
from megatron_heph.recipe.tree import Model, Recipe, Stage


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

        table = to_table(self.recipe)
        table["run"] = str(self.run)
        table["parallel"]["data"] = self.grid.data
        return tomli_w.dumps(table)


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe file and applies dotted overrides; InputError for anything that is not a recipe."""
    table = read_toml(path)
    return recipe_from_table(table, overrides, str(path))


def recipe_from_table(table: dict[str, Any], overrides: Sequence[str] = (), where: str = "recipe") -> Recipe:
    """Makes the tree from a plain table, which stays as it is; InputError names the key in `where`."""
    table = copy.deepcopy(table)
    apply_overrides(table, overrides)
    try:
        return build(Recipe, table)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def resolve(recipe: Recipe, machine: Machine) -> Resolved:
    """Fills in what the recipe leaves open, and runs every check that needs no data.

    Raises InputError for a recipe that cannot run, before any process is started.
    """
    from megatron_heph.recipe.checks import check

    base = read_base(Path(recipe.model.base)) if recipe.model.base is not None else None
    shape = base.shape if base else _fresh_shape(recipe)
    p = recipe.parallel
    model_processes = p.tensor * p.pipeline * p.context
    data = max(1, machine.processes // max(1, model_processes)) if p.data == "auto" else p.data
    if p.data == "auto" and machine.world is None:
        data = _largest_fitting(recipe, data)
    grid = GridSize(tensor=p.tensor, pipeline=p.pipeline, context=p.context, data=data)
    block = recipe.data.block or math.lcm(*(stage.sequence for stage in recipe.stage))  # of none: 1
    resolved = Resolved(recipe=recipe, machine=machine, shape=shape, base=base, grid=grid, block=block)
    check(resolved)
    return resolved


def _largest_fitting(recipe: Recipe, limit: int) -> int:
    """The largest data parallel size up to `limit` that divides every stage's batch."""
    p = recipe.parallel
    together = p.pipeline if p.virtual > 1 else 1  # interleaving takes micro-batches in groups
    counts = [stage.batch // max(1, stage.sequence * stage.micro_batch * together) for stage in recipe.stage]
    fitting = (size for size in range(limit, 0, -1) if all(count % size == 0 for count in counts))
    return next(fitting, 1)


_SIZES = ("layers", "hidden", "heads", "ffn", "vocab")


def _fresh_shape(recipe: Recipe) -> ModelShape:
    model: Model = recipe.model
    missing = [f"model.{name}" for name in _SIZES if getattr(model, name) is None]
    if missing:
        raise InputError(
            f"The recipe names no base model (model.base) and lacks {', '.join(missing)}: "
            f"set model.base to continue from a base, or all sizes to start a fresh model on purpose."
        )
    layers, hidden, heads, ffn, vocab = (int(getattr(model, name)) for name in _SIZES)
    if model.head_dim is None and (heads < 1 or hidden % heads):
        raise InputError(
            f"model.hidden is {hidden} and model.heads is {heads}, so a head's size is no whole number: make "
            f"model.hidden a multiple of model.heads, or set model.head_dim."
        )
    return ModelShape(
        family=model.family, layers=layers, hidden=hidden, heads=heads,
        kv_heads=heads if model.kv_heads is None else model.kv_heads,
        head_dim=hidden // heads if model.head_dim is None else model.head_dim, ffn=ffn, vocab=vocab,
        max_positions=max([1, *(stage.sequence for stage in recipe.stage)]),  # checks speak of the stages
        rope_theta=model.rope_theta or 10_000.0, norm_eps=model.norm_eps or 1e-5, tied=bool(model.tied),
    )  # fmt: skip
