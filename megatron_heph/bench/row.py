"""A row of a card: which figure, of which jobs, against which aim."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from megatron_heph.bench.card import RowResult
from megatron_heph.bench.paired import Spread


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison.

    Attributes:
        against: what is measured, or against whom, and how.
        aim: what to reach; None where the figure is for information.
        at_most: whether the aim is an upper bound, else a lower one.
        jobs: what has to run.
        figure: the figure, from what the benchmark found in those jobs.
        unit: of aim and figure; empty for a ratio.
    """

    against: str
    aim: float | None
    at_most: bool
    jobs: tuple[str, ...]
    figure: Callable[..., Spread]
    unit: str = ""

    def aim_text(self) -> str:
        """Such as "at most 0.7"."""
        if self.aim is None:
            return "-"
        return f"at {'most' if self.at_most else 'least'} {self.aim:g} {self.unit}".rstrip()

    def met(self, spread: Spread) -> bool | None:
        """Whether the median reaches the aim."""
        if self.aim is None:
            return None
        return spread.median <= self.aim if self.at_most else spread.median >= self.aim

    def result(self, spread: Spread | None, lacking: Iterable[str]) -> RowResult:
        """For the card: with a figure, or with the reasons why there is none."""
        met = None if spread is None else self.met(spread)
        return RowResult(self.against, self.aim_text(), spread, met, "; ".join(dict.fromkeys(lacking)), self.unit)
