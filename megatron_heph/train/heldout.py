"""Held-out losses per domain, with the model on the grid."""

from __future__ import annotations

import math
from collections.abc import Mapping

from megatron_heph.data.loader import heldout_windows
from megatron_heph.data.sources import check_window
from megatron_heph.engine.step import Engine, LossSums
from megatron_heph.errors import InputError
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.observe.rows import DomainLoss
from megatron_heph.train.batches import join, micro_batches, rows


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
            if not windows.loss_BL.any():
                raise InputError(
                    f"None of the first {windows.loss_BL.size} held-out tokens of {domain} "
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
        everything = join(self._windows)
        mine = rows(everything, slice(engine.grid.data_rank, None, size.data))
        per_rank = math.ceil(len(everything.sources_B) / (self._micro_batch * size.data))
        whole = size.pipeline * math.ceil(per_rank / size.pipeline)  # interleaving wants multiples
        return engine.measure(micro_batches(mine, self._micro_batch, at_least=whole), len(self.domains))
