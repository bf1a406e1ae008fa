"""Held-out losses per domain, with the model on the grid."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from megatron_heph.data.loader import Samples, heldout_windows
from megatron_heph.data.sources import check_window
from megatron_heph.engine.step import Engine, LossSums
from megatron_heph.errors import InputError
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.observe.rows import DomainLoss
from megatron_heph.train.batches import micro_batches


class HeldOut:
    """The held-out windows of all domains, shared out over the data parallel ranks.

    Raises InputError for a set without a window, or without a token that carries loss.
    """

    def __init__(self, sources: Mapping[str, TokenizedSource], sequence: int, limit: int, micro_batch: int) -> None:
        self.domains = list(sources)
        self._windows = [heldout_windows(source, sequence, limit, i) for i, source in enumerate(sources.values())]
        self._micro_batch = micro_batch
        for domain, windows in zip(self.domains, self._windows, strict=True):
            check_window(domain, sources[domain], sequence, limit)
            if not windows.carries_loss_BL.any():
                raise InputError(
                    f"None of the first {windows.carries_loss_BL.size} held-out tokens of {domain} "
                    f"({sources[domain].prefix}) carries loss, so there is nothing to measure: hold out text with "
                    f"trained segments, raise observe.heldout_tokens, or remove data.heldout.{domain}."
                )

    def measure(self, engine: Engine) -> dict[str, DomainLoss]:
        """Mean loss per domain, in nats per token; all processes take part and get the same."""
        sums = self._sums(engine)
        return {
            domain: DomainLoss(loss=float(sums.loss_N[i] / sums.tokens_N[i]), tokens=int(sums.tokens_N[i]))
            for i, domain in enumerate(self.domains)
        }

    def _sums(self, engine: Engine) -> LossSums:
        size = engine.grid.size
        everything = _join(self._windows)
        mine = slice(engine.grid.data_rank, None, size.data)
        samples = Samples(
            tokens_BL=everything.tokens_BL[mine],
            carries_loss_BL=everything.carries_loss_BL[mine],
            sources_B=everything.sources_B[mine],
        )
        per_rank = math.ceil(len(everything.tokens_BL) / (self._micro_batch * size.data))
        whole = size.pipeline * math.ceil(per_rank / size.pipeline)  # interleaving wants multiples
        return engine.measure(micro_batches(samples, self._micro_batch, at_least=whole), len(self.domains))


def _join(parts: list[Samples]) -> Samples:
    return Samples(
        tokens_BL=np.concatenate([part.tokens_BL for part in parts]),
        carries_loss_BL=np.concatenate([part.carries_loss_BL for part in parts]),
        sources_B=np.concatenate([part.sources_B for part in parts]),
    )
