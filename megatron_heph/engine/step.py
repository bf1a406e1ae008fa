"""One step on the grid: forward and backward through megatron's pipeline schedules, and the loss per source.

Shapes: B samples of a micro-batch, S tokens of a sample on this context parallel rank, N sources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from megatron_heph.engine.core import (
    DistributedDataParallel,
    DistributedDataParallelConfig,
    GPTModel,
    TransformerConfig,
    finalize_model_grads,
    get_forward_backward_func,
)
from megatron_heph.engine.grid import Grid
from megatron_heph.engine.micro_batch import Inputs, MicroBatch
from megatron_heph.engine.optimizer import Optimizer


@dataclass(frozen=True, slots=True)
class LossSums:
    """Sums over all processes, one entry per source: negative log-likelihood in nats, and trained tokens."""

    loss_N: torch.Tensor                # float64
    tokens_N: torch.Tensor              # float64, whole numbers

    @property
    def mean(self) -> float:
        """Loss per trained token over all sources."""
        return float(self.loss_N.sum() / self.tokens_N.sum().clamp(min=1))

    def of(self, source: int) -> float | None:
        """Loss per trained token of one source; None if it had no token."""
        return float(self.loss_N[source] / self.tokens_N[source]) if self.tokens_N[source] > 0 else None


class Engine:
    """The model on the grid; with an optimizer it trains, without one it measures."""

    def __init__(
        self,
        grid: Grid,
        config: TransformerConfig,
        chunks: Sequence[GPTModel | DistributedDataParallel],
        sources: int,
        optimizer: Optimizer | None = None,
    ) -> None:
        self.grid = grid
        self.config = config
        self.chunks = list(chunks)
        self.sources = sources
        self.optimizer = optimizer

    @property
    def models(self) -> list[GPTModel]:
        """The chunks without their data parallel wrapper."""
        return [c.module if isinstance(c, DistributedDataParallel) else c for c in self.chunks]

    def train_step(self, batches: Sequence[MicroBatch], lr: float) -> tuple[LossSums, float]:
        """One optimizer step over this rank's micro-batches; returns the losses and the gradient norm."""
        assert self.optimizer is not None
        return self._gradients(batches), self.optimizer.step(lr)

    def probe(self, batches: Sequence[MicroBatch]) -> tuple[LossSums, float]:
        """What `train_step` would return; the weights and the optimizer stay as they are."""
        assert self.optimizer is not None
        return self._gradients(batches), self.optimizer.norm()

    def _gradients(self, batches: Sequence[MicroBatch]) -> LossSums:
        assert self.optimizer is not None
        for chunk in self.chunks:
            chunk.zero_grad_buffer()
        self.optimizer.zero_grad()
        return self._run(batches, self.sources, forward_only=False)

    @torch.no_grad()
    def measure(self, batches: Sequence[MicroBatch], sources: int) -> LossSums:
        """The losses of this rank's micro-batches per source; every data parallel rank brings equally many."""
        for chunk in self.chunks:
            chunk.eval()
        sums = self._run(batches, sources, forward_only=True)
        for chunk in self.chunks:
            chunk.train()
        return sums

    def _run(self, batches: Sequence[MicroBatch], sources: int, *, forward_only: bool) -> LossSums:
        size, length = batches[0].tokens_BL.shape
        local = [batch.on(self.grid.device) for batch in batches]
        iterators = [iter(local) for _ in self.chunks]  # every chunk reads each micro-batch once
        single = len(self.chunks) == 1
        results = get_forward_backward_func()(
            forward_step_func=partial(self._forward, sources),
            data_iterator=iterators[0] if single else iterators,
            model=self.chunks[0] if single else self.chunks,
            num_microbatches=len(local),
            seq_length=length,
            micro_batch_size=size,
            forward_only=forward_only,
        )
        total = torch.zeros(2, sources, dtype=torch.float64, device=self.grid.device)
        if self.grid.tensor_rank == 0:  # the loss is the same on every tensor rank
            for result in results:
                total += result["sums"]
        total = self.grid.sum_over_all(total).cpu()
        return LossSums(total[0], total[1])

    def _forward(
        self, sources: int, batches: Iterator[MicroBatch], model: Any, *_: object
    ) -> tuple[torch.Tensor, Callable[[torch.Tensor], _Loss]]:
        inputs = next(batches).inputs(self.grid)
        output = model(inputs.tokens_BS, None, None, labels=inputs.labels_BS, packed_seq_params=inputs.segments)
        return output, partial(_loss, inputs, sources)


_Loss = tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]


def _loss(inputs: Inputs, sources: int, losses_BS: torch.Tensor) -> _Loss:
    """The sum of the loss, the number of trained tokens, and both per source, as megatron's schedules want."""
    weighted_BS = losses_BS.float() * inputs.weights_BS
    per_sample = torch.stack([weighted_BS.detach().sum(1), inputs.weights_BS.sum(1)]).double()
    sums = torch.zeros(2, sources, dtype=torch.float64, device=losses_BS.device)
    sums.index_add_(1, inputs.sources_B, per_sample)
    return weighted_BS.sum(), inputs.weights_BS.sum().int(), {"sums": sums}


def data_parallel(
    config: TransformerConfig, models: Sequence[GPTModel], *, distributed: bool
) -> list[DistributedDataParallel]:
    """Wraps the chunks so that gradients are summed over data parallel ranks, in fp32.

    `distributed` shards the optimizer's state: gradients are then reduce-scattered.
    """
    settings = DistributedDataParallelConfig(grad_reduce_in_fp32=True, use_distributed_optimizer=distributed)
    config.finalize_model_grads_func = finalize_model_grads
    return [DistributedDataParallel(config, settings, model) for model in models]
