"""What must hold between a recipe, its model's shape and the grid: one small named function each."""

from __future__ import annotations

import math
from collections.abc import Iterator

from megatron_heph.recipe.resolved import Resolved


def _divisors(number: int, at_most: int = 64) -> str:
    return ", ".join(str(d) for d in range(1, min(number, at_most) + 1) if number % d == 0)


def _around(number: int, unit: int) -> str:
    """The multiples of `unit` next to a number, those that are positive."""
    below = number // unit * unit
    return f"{below} and {below + unit}" if below else f"{unit} and {2 * unit}"


def tensor_divides_the_model(r: Resolved) -> Iterator[str]:
    """Heads, KV heads, FFN width and vocabulary are shared out evenly over the tensor ranks."""
    tp = r.grid.tensor
    shape = r.shape
    sizes = {"heads": shape.heads, "KV heads": shape.kv_heads, "FFN width": shape.ffn, "vocabulary": shape.vocab}
    for name, size in sizes.items():
        if size % tp:
            yield (
                f"parallel.tensor is {tp}, which does not divide the model's {name} ({size}); sizes that divide "
                f"heads, KV heads, FFN width and vocabulary: {_divisors(math.gcd(*sizes.values()))}. Change "
                f"parallel.tensor (or use parallel.pipeline or parallel.data instead)."
            )
            return


def pipeline_divides_layers(r: Resolved) -> Iterator[str]:
    """Every pipeline rank holds `virtual` chunks of equally many layers."""
    p = r.recipe.parallel
    chunks = p.pipeline * p.virtual
    if p.virtual > 1 and p.pipeline == 1:
        yield (
            f"parallel.virtual is {p.virtual}, but parallel.pipeline is 1: interleaving needs at least 2 pipeline "
            f"ranks. Set parallel.virtual to 1, or parallel.pipeline to 2 or more."
        )
    elif r.shape.layers % chunks:
        yield (
            f"parallel.pipeline x parallel.virtual is {chunks}, which does not divide the model's {r.shape.layers} "
            f"layers; numbers that do: {_divisors(r.shape.layers)}. Change parallel.pipeline or parallel.virtual."
        )


def interleaving_never_batches_two_messages(r: Resolved) -> Iterator[str]:
    """With two pipeline ranks the previous and the next one are the same, and batched messages get mixed up.

    Messages between one pair of ranks match in the order they were posted; in an interleaved schedule
    on two ranks a rank's `recv_prev` then receives its peer's `send_prev`.  Nothing fails: the
    gradients are wrong.
    """
    p = r.recipe.parallel
    if p.virtual > 1 and p.pipeline == 2 and p.p2p == "batched":
        yield (
            'parallel.p2p is "batched" with parallel.virtual = '
            f"{p.virtual} and parallel.pipeline = 2: the two directions' messages would be exchanged without an "
            'error and the gradients be wrong. Set parallel.p2p to "overlap" or "auto".'
        )


def micro_batches_fit_interleaving(r: Resolved) -> Iterator[str]:
    """The interleaved schedule works on groups of as many micro-batches as there are pipeline ranks."""
    p = r.recipe.parallel
    for stage in r.recipe.stage if p.virtual > 1 else ():
        if (count := r.micro_batches(stage)) % p.pipeline:
            unit = stage.sequence * stage.micro_batch * r.grid.data * p.pipeline
            yield (
                f"stage.{stage.name}.batch is {stage.batch} tokens, {count} micro-batches per step and data parallel "
                f"rank, but interleaving needs a multiple of parallel.pipeline = {p.pipeline}; the nearest batches are "
                f"{_around(stage.batch, unit)}. Change stage.{stage.name}.batch, or set parallel.virtual to 1."
            )


def sequence_is_shared_out(r: Resolved) -> Iterator[str]:
    """Sequence and context parallelism cut a sample into equal parts."""
    p, grid = r.recipe.parallel, r.grid
    if p.sequence and grid.tensor == 1:
        yield (
            "parallel.sequence is true, but parallel.tensor is 1: sequence parallelism lives inside a tensor group. "
            "Set parallel.sequence to false, or parallel.tensor to 2 or more."
        )
    for stage in r.recipe.stage:
        parts = (2 * grid.context if grid.context > 1 else 1) * (grid.tensor if p.sequence else 1)
        if stage.sequence % parts:
            yield (
                f"stage.{stage.name}.sequence is {stage.sequence}, but the grid ({grid}) cuts it into {parts} parts; "
                f"the nearest lengths are {_around(stage.sequence, parts)}. Change stage.{stage.name}.sequence, "
                f"parallel.context or parallel.sequence."
            )


def batches_are_whole(r: Resolved) -> Iterator[str]:
    """A step is a whole number of micro-batches on every data parallel rank."""
    for stage in r.recipe.stage:
        unit = stage.sequence * stage.micro_batch * r.grid.data
        if stage.batch % unit:
            yield (
                f"stage.{stage.name}.batch is {stage.batch} tokens, but it is made of units of {unit} (sequence "
                f"{stage.sequence} x micro_batch {stage.micro_batch} x data parallel {r.grid.data}); the nearest "
                f"batches are {_around(stage.batch, unit)}. Change stage.{stage.name}.batch or parallel.data."
            )


def launcher_agrees(r: Resolved) -> Iterator[str]:
    """A launcher that started processes started as many as the grid has."""
    world = r.machine.world
    if world is not None and world != r.grid.world:
        yield (
            f"The launcher started {world} processes (WORLD_SIZE), but the grid ({r.grid}) has {r.grid.world}: "
            f"start {r.grid.world} processes, or change parallel.data (now {r.grid.data})."
        )


def gpus_are_enough(r: Resolved) -> Iterator[str]:
    """A local run gives each process a GPU of its own."""
    if r.machine.gpus and r.machine.world is None and r.grid.world > r.machine.gpus:
        yield (
            f"The grid ({r.grid}) has {r.grid.world} processes, but this machine has {r.machine.gpus} GPUs: make "
            f"parallel.tensor x pipeline x context x data at most {r.machine.gpus}, or start it on more nodes."
        )
