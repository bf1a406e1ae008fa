"""From a recipe file to a resolved recipe."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from megatron_heph.errors import InputError
from megatron_heph.formats.toml_tree import apply_overrides, build, read_toml
from megatron_heph.recipe.checks import check
from megatron_heph.recipe.resolved import GridSize, Machine, Resolved
from megatron_heph.recipe.shape import ModelShape, read_base
from megatron_heph.recipe.tree import Model, Recipe


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
    base = read_base(Path(recipe.model.base)) if recipe.model.base is not None else None
    shape = base.shape if base else _fresh_shape(recipe)
    p = recipe.parallel
    model_processes = p.tensor * p.pipeline * p.context
    data = max(1, machine.processes // max(1, model_processes)) if p.data == "auto" else p.data
    if p.data == "auto" and machine.world is None:
        data = _largest_fitting(recipe, data)
    grid = GridSize(tensor=p.tensor, pipeline=p.pipeline, context=p.context, data=data)
    block = recipe.data.block or default_block([stage.sequence for stage in recipe.stage])
    resolved = Resolved(recipe=recipe, machine=machine, shape=shape, base=base, grid=grid, block=block)
    check(resolved)
    return resolved


_LARGEST = 64                           # of the longest sample in a block, for all lengths to fit whole


def default_block(sequences: Sequence[int]) -> int:
    """Tokens in a block: the least that holds whole samples of every length; else a sample of the longest.

    The smaller a block, the more finely a source is mixed; the larger, the longer samples may become on the way
    without spanning two of them.
    """
    longest = max([1, *sequences])
    unit = math.lcm(*(length for length in sequences if length > 0))
    return unit if unit <= _LARGEST * longest else longest


def packed_block(block: int) -> int:
    """Tokens in a block of documents that are packed together.

    About half a window of each stays empty: some 7 % with eight windows in a block, 1 % with 64 (docs/performance.md).
    """
    return 64 * block


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
