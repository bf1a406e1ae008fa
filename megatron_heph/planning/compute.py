"""Arithmetic and time of a run.

Two conventions are in use and are never mixed here: *full* counts every pair of positions in attention (PaLM,
arXiv 2204.02311, appendix B; torchtitan), *causal* the half that a causal model computes (Megatron-Bridge's tables).
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from megatron_heph.observe.metrics import Metrics
from megatron_heph.recipe.shape import ModelShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Flops:
    """Floating point operations, by convention for attention; a multiplication and an addition are two."""

    causal: float
    full: float

    def times(self, number: float) -> Flops:
        """So many of them."""
        return Flops(causal=self.causal * number, full=self.full * number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Tokens per second of all processes together, and who says so."""

    tokens_per_second: float
    source: str


def flops_per_token(shape: ModelShape, sequence: int) -> Flops:
    """FLOP to train on one token: forward and twice as much backward, nothing recomputed.

    6 (N - input embedding) + 12 layers x heads x head_dim x sequence for full attention, half of the
    second term for causal attention.  Looking up an embedding takes no arithmetic; a tied output layer does.
    """
    matrices = 6.0 * (shape.non_embedding_parameters + shape.vocab * shape.hidden)
    attention = 12.0 * shape.layers * shape.heads * shape.head_dim * sequence
    return Flops(causal=matrices + attention / 2, full=matrices + attention)


def measured_speed(metrics: Metrics) -> Speed | None:
    """The median over the steps of the latest session, which all ran on one grid; None before its first step."""
    rows = [row.tokens_per_second for row in metrics.steps if row.time >= metrics.start.time]
    if not rows:
        return None
    source = f"the median of this run's {len(rows)} latest steps"
    return Speed(tokens_per_second=statistics.median(rows), source=source)
