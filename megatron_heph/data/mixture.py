"""Which source each sample comes from: exact quotas, in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_Int = npt.NDArray[np.int64]
TILE = 4096


class Mixture:
    """Assigns samples 0, 1, 2, ... to sources by weight; any sample is answered alone.

    Inside a tile each source has a whole number of samples, its quota: the weights rounded to 1 / tile by
    largest remainders.  In any prefix, however short, a source's count is less than one sample away from
    its share of the quotas.  A source of weight 0 is never picked.
    """

    def __init__(self, weights: Sequence[float], tile: int = TILE) -> None:
        assert 0 < len(weights) <= tile and min(weights) >= 0 and sum(weights) > 0, weights
        shares = np.asarray(weights, dtype=np.float64) / sum(weights)
        self.quotas = _whole(shares, tile)
        self._source = _spread(self.quotas)
        self._rank = np.empty(tile, dtype=np.int64)
        for source, count in enumerate(self.quotas):
            self._rank[self._source == source] = np.arange(count)
        self._tile = tile

    def assign(self, first: int, count: int) -> tuple[_Int, _Int]:
        """For samples first .. first+count-1: their source, and how many of that source came before."""
        n = np.arange(first, first + count, dtype=np.int64)
        source = self._source[n % self._tile]
        return source, n // self._tile * self.quotas[source] + self._rank[n % self._tile]

    def counts(self, samples: int) -> _Int:
        """How many of the first `samples` samples fall to each source."""
        whole, rest = divmod(samples, self._tile)
        return whole * self.quotas + np.bincount(self._source[:rest], minlength=len(self.quotas))


def _whole(shares: npt.NDArray[np.float64], total: int) -> _Int:
    """Whole numbers that add up to `total`, by largest remainders.

    A positive share gets at least one, a share of zero gets none.
    """
    exact = shares * total
    counts = np.maximum(np.floor(exact), shares > 0).astype(np.int64)
    order = np.argsort(counts - exact, kind="stable")  # of equal remainders the first source, on any machine
    counts[order[: max(0, total - counts.sum())]] += 1
    while counts.sum() > total:  # only where tiny shares were lifted to one: the largest excess pays for it
        counts[np.argmax(np.where(counts > 1, counts - exact, -np.inf))] -= 1
    return counts


def _spread(quotas: _Int) -> _Int:
    """The source of each sample of a tile, every source spread evenly: int64 [sum of quotas].

    Tijdeman, "The chairman assignment problem", Discrete Mathematics 32 (1980): of the n sources that are
    owed enough, the one whose next sample is due first.  No prefix deviates by more than 1 - 1 / (2n - 2).
    """
    tile, present = int(quotas.sum()), np.flatnonzero(quotas)
    if len(present) == 1:
        return np.full(tile, present[0])
    counts, unit = quotas[present], 2 * len(present) - 2
    owed = np.zeros_like(counts)        # samples owed to each source, in units of 1 / tile
    picked = np.empty(tile, dtype=np.int64)
    for sample in range(tile):
        owed += counts
        due = np.where(unit * owed >= tile, ((unit - 1) * tile - unit * owed) / counts, np.inf)
        picked[sample] = np.argmin(due)
        owed[picked[sample]] -= tile
    return present[picked]
