"""The samples of a segment in the order of a Megatron run that moved over."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from megatron_heph.data.batch import Batch
from megatron_heph.data.megatron_order import MegatronOrder
from megatron_heph.data.reading import BatchReader, Buffers
from megatron_heph.data.segments import Place, Places, Segment
from megatron_heph.data.sources import Sources
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.shard import sequence_lengths
from megatron_heph.recipe.resolved import Resolved
from megatron_heph.recipe.tree import Megatron


def blend_weights(moved: Megatron, sources: Sources) -> dict[str, float]:
    """The weights of the run's --data-path, in its order; a single source may have none."""
    given = {name: sources[name].node.weight for name in moved.sources}
    return {name: 1.0 if weight is None else weight for name, weight in given.items()}


class MovedLoader:
    """Stands in for a Loader where `[data.megatron]` is: the samples of the Megatron run, from `segment.megatron` on.

    A source's place says only how many positions of it were read here: the order hangs on the sample's number alone.
    """

    def __init__(self, segment: Segment, sources: Sources, resolved: Resolved) -> None:
        moved = resolved.recipe.data.megatron
        assert moved is not None and segment.megatron is not None
        self.segment, self._sources, self._first = segment, sources, segment.megatron
        weights = tuple(blend_weights(moved, sources).values())
        tokens = tuple(sources[name].tokens for name in moved.sources)
        self._order = _build(moved, tokens, weights, segment.sequence)
        self._ours = np.array([list(sources).index(name) for name in moved.sources], np.int64)
        self._counted = [np.zeros(len(sources), np.int64)]      # after 0, 1, 2, ... steps
        self._reader = BatchReader(
            {name: source.tokens for name, source in sources.items()},
            apart=[name in segment.apart for name in sources],
            vocab=resolved.shape.vocab,
        )

    def batch(self, step: int, rank: int = 0, ranks: int = 1, out: Buffers | None = None) -> Batch:
        """As Loader's."""
        pieces_P5, sources_B = self.pieces(step, rank, ranks)
        return self._reader.read(pieces_P5, sources_B, self.segment.sequence, out, joined=True)

    def buffers(self, rank: int = 0, ranks: int = 1) -> Buffers:
        """As Loader's."""
        count = len(range(rank, self.segment.samples, ranks))
        return Buffers.allocate(count, self.segment.sequence, self._reader.dtype)

    def pieces(
        self, step: int, rank: int = 0, ranks: int = 1
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """As Loader's, but pieces cover a column more: labels are a row's own tokens, one further."""
        count = len(range(rank, self.segment.samples, ranks))
        pieces_P5, sources_B = self._order.pieces(
            self._first + step * self.segment.samples + rank, count, ranks
        )
        pieces_P5[:, 2] = self._ours[pieces_P5[:, 2]]
        return pieces_P5, self._ours[sources_B]

    def places(self, steps: int) -> Places:
        """Positions of each source read here, since the run began."""
        begin = self.segment.begin
        taken = self.positions(steps)
        return {name: Place(begin.get(name, Place()).cursor + count) for name, count in taken.items()}

    def positions(self, steps: int) -> dict[str, int]:
        """As Loader's."""
        counts = self._counts(steps)
        names = list(self._sources)
        return {name: int(counts[names.index(name)]) * self.segment.sequence for name in self.segment.weights}

    def epochs(self, steps: int) -> dict[str, float]:
        """How often each source has been read here."""
        return {
            name: place.cursor / (self._sources[name].total_tokens - 1) for name, place in self.places(steps).items()
        }

    def steps_of(self, name: str, start: int, count: int, steps: int) -> set[int]:
        """As Loader's, by looking at every step."""
        index, found = list(self._sources).index(name), set()
        for step in range(steps):
            pieces, _ = self.pieces(step)
            mine = pieces[pieces[:, 2] == index]
            if ((mine[:, 3] < start + count) & (mine[:, 3] + mine[:, 4] > start)).any():
                found.add(step)
        return found

    def steps_within_caps(self, wanted: int) -> tuple[int, tuple[str, ...]]:
        """The steps that the Megatron run's order has, up to `wanted`; it knows no caps."""
        return min(wanted, (self._order.samples - self._first) // self.segment.samples), ()

    def _counts(self, steps: int) -> npt.NDArray[np.int64]:
        """Samples of each source in the first `steps` steps; counted on from what was asked last."""
        while len(self._counted) <= steps:
            _, sources_B = self.pieces(len(self._counted) - 1)
            self._counted.append(self._counted[-1] + np.bincount(sources_B, minlength=len(self._sources)))
        return self._counted[steps]


@lru_cache(maxsize=2)
def _build(
    moved: Megatron, sources: tuple[TokenizedSource, ...], weights: tuple[float, ...], sequence: int
) -> MegatronOrder:
    lengths = {
        name: np.concatenate([sequence_lengths(shard) for shard in source.shards])
        for name, source in zip(moved.sources, sources, strict=True)
    }
    return MegatronOrder(
        lengths, weights if len(weights) > 1 else None,
        sequence=sequence, samples=moved.samples, seed=moved.seed, split=moved.split,
    )  # fmt: skip
