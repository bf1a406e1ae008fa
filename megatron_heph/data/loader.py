"""Samples of a step: computed from the step's number, the same on any grid.

A source's tokens are cut into blocks; the blocks of an epoch stand in the order of a keyed permutation;
a sample is a window inside a block.  What follows the last whole block is not read.  The state is one
token cursor per source.
Shapes: B samples, L tokens of a sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from megatron_heph.data.mixture import Mixture
from megatron_heph.data.order import Permutation, source_key
from megatron_heph.errors import InputError
from megatron_heph.formats.indexed import TokenizedSource

Cursors = dict[str, int]
"""Tokens taken from each source since the run began; whole samples, epochs included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Samples as they come from the disk."""

    tokens_BL: npt.NDArray[np.int64]    # L + 1 of them: inputs and, shifted by one, targets
    carries_loss_BL: npt.NDArray[np.bool_]  # of the targets, [B, L]
    sources_B: npt.NDArray[np.int64]    # index of the source


class SourceOrder:
    """The endless sequence of a source's samples."""

    def __init__(self, name: str, source: TokenizedSource, block: int, seed: int) -> None:
        self.source, self.block = source, block
        self.blocks = (source.total_tokens - 1) // block  # the last target of a block is the next block's first token
        # Samples come in order, so one epoch's permutation is nearly always the one asked for again.
        self._permutation = lru_cache(maxsize=2)(lambda epoch: Permutation(self.blocks, source_key(seed, name), epoch))

    @property
    def epoch_tokens(self) -> int:
        """Tokens in one pass over the source."""
        return self.blocks * self.block

    def start_of(self, cursor: int) -> int:
        """Where in the source's stream the sample at a token cursor begins."""
        epoch, within = divmod(cursor, self.epoch_tokens)
        position, offset = divmod(within, self.block)
        block = int(self._permutation(epoch).forward(position))
        return block * self.block + offset


class Loader:
    """The samples of one stage, from the cursors it began with.

    After a stage with shorter samples a cursor may stand in the middle of a sample; it is moved on to the
    next whole one, since windows from the middle on would run out of their blocks.  Less than a sample per
    source is passed over in this way, once a stage.

    With `vocab`, reading raises InputError for an id that the model lacks.
    """

    def __init__(
        self,
        sources: Mapping[str, TokenizedSource],
        weights: Sequence[float],
        *,
        sequence: int,
        samples_per_step: int,
        block: int,
        seed: int,
        vocab: int | None = None,
        begin: Cursors | None = None,
    ) -> None:
        self._orders = [SourceOrder(name, source, block, seed) for name, source in sources.items()]
        self._names = list(sources)
        self._mixture = Mixture(weights)
        self._sequence, self._per_step, self._vocab = sequence, samples_per_step, vocab
        assert block % sequence == 0, (block, sequence)
        begin = begin or {}
        self._begin = {name: -(-begin.get(name, 0) // sequence) * sequence for name in sources}

    def step(self, step: int, rank: int, ranks: int) -> Samples:
        """This rank's samples of the stage's step `step` (from 0): every `ranks`-th of the step's samples."""
        source, earlier = self._mixture.assign(step * self._per_step, self._per_step)
        mine = slice(rank, None, ranks)
        return self._read(source[mine], earlier[mine])

    def cursors(self, steps: int) -> Cursors:
        """The cursors after `steps` steps of the stage; after 0 those that it begins with."""
        counts = self._mixture.counts(steps * self._per_step)
        return {
            name: self._begin[name] + int(count) * self._sequence
            for name, count in zip(self._names, counts, strict=True)
        }

    def epochs(self, cursors: Cursors) -> dict[str, float]:
        """How often each source has been read at these cursors."""
        return {name: cursors[name] / order.epoch_tokens for name, order in zip(self._names, self._orders, strict=True)}

    def _read(self, sources: npt.NDArray[np.int64], earlier: npt.NDArray[np.int64]) -> Samples:
        length = self._sequence
        tokens = np.empty((len(sources), length + 1), dtype=np.int64)
        loss = np.empty((len(sources), length), dtype=np.bool_)
        for row, (index, rank) in enumerate(zip(sources, earlier, strict=True)):
            order = self._orders[index]
            start = order.start_of(self._begin[self._names[index]] + int(rank) * length)
            tokens[row] = order.source.read(start, length + 1)
            loss[row] = order.source.read_loss_mask(start + 1, length)
            if self._vocab is not None and tokens[row].max() >= self._vocab:
                raise InputError(
                    f"The source {order.source.prefix} holds the id {tokens[row].max()} between its tokens {start} and "
                    f"{start + length}, but the model's vocabulary is {self._vocab}: another tokenizer made it, or it "
                    f"is damaged. Tokenize its text with this model's tokenizer."
                )
        return Samples(tokens_BL=tokens, carries_loss_BL=loss, sources_B=sources)


def heldout_windows(source: TokenizedSource, sequence: int, limit: int, index: int) -> Samples:
    """The first `limit` tokens of a held-out set in windows that touch but do not overlap, all of `index`.

    What is left over after the last whole window is not measured.
    """
    count = min(limit, source.total_tokens - 1) // sequence
    tokens = np.stack([source.read(i * sequence, sequence + 1) for i in range(count)]) if count else np.empty((0, 0))
    loss = [source.read_loss_mask(i * sequence + 1, sequence) for i in range(count)]
    return Samples(
        tokens_BL=tokens.astype(np.int64),
        carries_loss_BL=np.stack(loss) if count else np.empty((0, 0), np.bool_),
        sources_B=np.full(count, index, dtype=np.int64),
    )
