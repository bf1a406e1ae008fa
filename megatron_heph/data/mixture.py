"""Which source each sample comes from: exact quotas, in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_Int = npt.NDArray[np.int64]
TILE = 4096


class Mixture:
    """Assigns samples 0, 1, 2, ... to sources by weight; any sample is answered alone.

    Inside a tile each source has a whole number of samples (largest remainders), spread evenly: the k-th
    of c samples is due at (k + 1/2) / c of the tile, and samples stand in the order in which they are due.
    For any prefix the count of a source is within a few samples of its share of the tile's quotas; the
    quotas themselves are the weights rounded to 1 / tile.
    """

    def __init__(self, weights: Sequence[float], tile: int = TILE) -> None:
        assert weights and min(weights) >= 0 and sum(weights) > 0, weights
        shares = np.asarray(weights, dtype=np.float64) / sum(weights)
        self.quotas = _whole(shares, tile)
        due = np.concatenate([(np.arange(c) + 0.5) / c for c in self.quotas if c])
        owner = np.repeat(np.arange(len(weights)), self.quotas)
        self._source = owner[np.lexsort((owner, due))]
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
    """Whole numbers that add up to `total`, by largest remainders; a positive share gets at least one."""
    exact = shares * total
    counts = np.maximum(np.floor(exact), shares > 0).astype(np.int64)
    order = np.argsort(counts - exact)
    for i in order[: max(0, total - counts.sum())]:
        counts[i] += 1
    while counts.sum() > total:  # only where tiny shares were lifted to one
        counts[np.argmax(counts - exact)] -= 1
    return counts
