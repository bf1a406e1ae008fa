"""Memory of a process, computed from the recipe: nothing is allocated and no process is started.

Weights, gradients and optimizer state are exact.  Activations count what backward passes read again; the
short-lived tensors inside an operation are left out, except the two that are large: the gradient of one weight
before it is added to the others, and a root of Adam's second moment.  Also left out: Python and its libraries,
what communication and the allocator hold for themselves, and the pages of memory-mapped data.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from megatron_heph.planning.activations import ELEMENT, Activations, passes_in_flight
from megatron_heph.planning.layout import Chunk, chunks
from megatron_heph.recipe.resolved import Resolved
from megatron_heph.recipe.tree import Stage

_FP32 = 4
_MOMENTS = 2 * _FP32                    # Adam's, of each parameter, always fp32


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessMemory:
    """Bytes on each process of one pipeline rank, at the stage that takes most."""

    pipeline_rank: int
    stage: str                          # the stage with the largest activations and logits
    parameters: int                     # on this process; a number, not bytes
    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int                         # 0 where the loss is not computed
    weight_gradient: int                # of the largest weight, before it is added to the gradients
    update: int                         # Adam's temporary; the activations are gone by then

    @property
    def lasting(self) -> int:
        """What stays for the whole run."""
        return self.weights + self.gradients + self.optimizer

    @property
    def peak(self) -> int:
        """The most at any moment: where forward turns to backward, or in the optimizer's update."""
        return self.lasting + max(self.activations + self.logits + self.weight_gradient, self.update)


def process_memory(resolved: Resolved, pipeline_rank: int) -> ProcessMemory:
    """The memory of a process of `pipeline_rank`; all processes of a pipeline rank need equally much."""
    parts = chunks(resolved, pipeline_rank)
    passing = [(_passing(resolved, stage, pipeline_rank, parts), stage.name) for stage in resolved.recipe.stage]
    (activations, logits), stage = max(passing, key=lambda item: sum(item[0]))
    element, held, owned = _element(resolved), _held(resolved, parts), _owned(resolved, parts)
    return ProcessMemory(
        pipeline_rank=pipeline_rank,
        stage=stage,
        parameters=sum(part.parameters for part in parts),
        weights=element * held,
        gradients=_FP32 * held,
        optimizer=(_MOMENTS + (_FP32 if element < _FP32 else 0)) * owned,
        activations=activations,
        logits=logits,
        weight_gradient=element * max(max(part.tensors) for part in parts),
        update=_FP32 * owned,
    )


def _element(resolved: Resolved) -> int:
    return ELEMENT[resolved.recipe.precision.format]


def _shards(resolved: Resolved) -> int:
    """Over how many ranks the optimizer's state is cut: data and context parallel ones (ZeRO 1, arXiv 1910.02054)."""
    return resolved.grid.data * resolved.grid.context if resolved.recipe.parallel.distributed_optimizer else 1


def _held(resolved: Resolved, parts: tuple[Chunk, ...]) -> int:
    """Elements of weights, and of gradients: each weight once, with the distributed optimizer's padding.

    Gradients are added up in fp32 whatever the weights are.
    """
    if not resolved.recipe.parallel.distributed_optimizer:
        return sum(part.parameters for part in parts)
    return sum(part.buffer(_shards(resolved)) for part in parts)


def _owned(resolved: Resolved, parts: tuple[Chunk, ...]) -> int:
    """Elements that this rank updates: two moments each, and in bf16 an fp32 weight besides."""
    return _held(resolved, parts) // _shards(resolved)


def _passing(resolved: Resolved, stage: Stage, pipeline_rank: int, parts: tuple[Chunk, ...]) -> tuple[int, int]:
    """(activations, logits) of a pipeline rank where it holds most of them.

    All chunks of a rank have equally many layers.  Passes are spread over the chunks, so a chunk that also
    holds token ids does so for its share of them; the one with the final norm and the loss goes into its
    backward pass at once.
    """
    one = Activations(resolved, stage)
    flying = passes_in_flight(resolved, stage, pipeline_rank)
    smallest = min(one.of(part) for part in parts)
    extra = sum((one.of(part) - smallest) * (1 if part.predicts else -(-flying // len(parts))) for part in parts)
    return flying * smallest + extra, one.loss() if parts[-1].predicts else 0


def machine_memory() -> int:
    """Bytes of memory in this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
