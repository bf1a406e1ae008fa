"""Which tensors a process of the grid holds, and how long megatron's buffers for them are.

Letters: h hidden, a query heads, k key-value heads, d head size, f FFN width, V vocabulary, t tensor parallel size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from megatron_heph.recipe.resolved import Resolved

_ALIGNMENT = 64                         # elements; the distributed optimizer begins every tensor at a multiple
_BUCKET = 128                           # elements; and ends every buffer at one, which is also shared out evenly


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The part of the model that is one module on a pipeline rank: all of it, or one of `parallel.virtual` parts."""

    layers: int
    embeds: bool                        # holds the embedding: the first part of the model
    predicts: bool                      # holds the final norm and the output layer: the last part
    tensors: tuple[int, ...]            # elements of each tensor on one tensor parallel rank
    alone: tuple[int, ...]              # of them, those that have a buffer's bucket of their own

    @property
    def parameters(self) -> int:
        """Parameters on this rank."""
        return sum(self.tensors)

    def buffer(self, shards: int) -> int:
        """Elements of the buffers that the distributed optimizer shares out over `shards` ranks, padding included.

        Tensors are aligned, and each bucket's length is a multiple of the number of ranks
        (megatron-core, `_ParamAndGradBuffer`).
        """
        unit = math.lcm(shards, _BUCKET)
        together = sum(_pad(n, _ALIGNMENT) for n in self.tensors) - sum(_pad(n, _ALIGNMENT) for n in self.alone)
        return _pad(together, unit) + sum(_pad(n, unit) for n in self.alone)


def chunks(resolved: Resolved, pipeline_rank: int) -> tuple[Chunk, ...]:
    """The parts of the model on a pipeline rank, in the order in which a sample goes through them."""
    pipeline, virtual = resolved.grid.pipeline, resolved.recipe.parallel.virtual
    return tuple(
        _chunk(
            resolved,
            embeds=pipeline_rank == 0 and part == 0,
            predicts=pipeline_rank == pipeline - 1 and part == virtual - 1,
        )
        for part in range(virtual)
    )


def _chunk(resolved: Resolved, *, embeds: bool, predicts: bool) -> Chunk:
    shape, grid = resolved.shape, resolved.grid
    layers = shape.layers // (grid.pipeline * resolved.recipe.parallel.virtual)
    tensors = _layer(resolved) * layers
    vocabulary = shape.vocab // grid.tensor * shape.hidden
    tables = int(embeds) + int(predicts and not (shape.tied and embeds))
    tensors += [vocabulary] * tables + [shape.hidden] * predicts
    shared = shape.tied and grid.pipeline > 1  # two ranks hold the same table, so its shards must be cut alike
    return Chunk(
        layers=layers, embeds=embeds, predicts=predicts, tensors=tuple(tensors),
        alone=(vocabulary,) * tables if shared else (),
    )  # fmt: skip


def _layer(resolved: Resolved) -> list[int]:
    """Elements of a layer's tensors on one tensor rank: two norms, QKV, projection, gate and up, down."""
    shape, t = resolved.shape, resolved.grid.tensor
    h, a, k, d, f = shape.hidden, shape.heads, shape.kv_heads, shape.head_dim, shape.ffn
    return [h, (a + 2 * k) * d // t * h, h * a * d // t, h, 2 * f // t * h, h * f // t]


def _pad(number: int, unit: int) -> int:
    return -(-number // unit) * unit
