"""The order of samples in which megatron-core trains: for a run that began there and goes on here.

megatron-core 0.16 to 0.19 (`GPTDataset`, `BlendedDataset` and their builder) shuffle a source's documents over all
epochs with MT19937, cut them into windows, shuffle those, and blend sources one sample after the other. The same
samples come out here, token by token and in the same order, for the train split.

What it costs is what it costs in Megatron: everything is built at the start and held by every process. A source
takes 4 bytes a document and epoch, 8 a document and 12 a sample, a blend 10 a sample, and some 50 a sample while it
is built, at 0.1 to 0.3 microseconds a sample. Nothing of it can be changed within a run: other weights, sources,
sequence or number of samples give another order from the first sample on.
A run cannot switch to this project's own order under way: what had been read before would not be left out.

Take `seed`, `sequence`, `split` and the weights of the Megatron job, and for `samples` its `--train-samples`, or
`--train-iters` times `--global-batch-size`. Sample n there is sample n here; a step's samples are the same set for any
number of ranks, though Megatron deals them out to its ranks in another way. Which tokens carry loss is not
part of the order.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from megatron_heph import _native
from megatron_heph.errors import InputError

_Int = npt.NDArray[np.int64]
_FINAL_EPOCH = 0.80     # below this part of an epoch the last one is shuffled apart from the others


class MegatronOrder:
    """The samples of a Megatron job.

    Attributes:
        samples: how many there are; a blend may have some more than were asked for, one source many more.
        counts: how many of them fall to each source.
    """

    def __init__(
        self,
        lengths: Mapping[str, npt.NDArray[np.int32]],
        weights: Sequence[float] | None,
        *,
        sequence: int,
        samples: int,
        seed: int,
        split: str | None = "969, 30, 1",
        surplus: float = 0.005,
        extra_token: bool = True,
    ) -> None:
        """Builds the tables.

        Args:
            lengths: per source the tokens of each sequence of its `.idx`, int32 [sequences]; shard after shard.
            weights: `--data-path`'s, in the same order. None: sources by their size, each read at most once; of a
                single source as much as is asked for. Without a split a single source's weight does not count.
            sequence: `--seq-length`.
            samples: how many samples the job trains on in all.
            seed: `--seed`.
            split: `--split`; None for data given as `--train-data-path`.
            surplus: `mid_level_dataset_surplus`: how many more samples of each source are built than are blended.
            extra_token: `add_extra_token_to_sequence`. Without it the last position of a sample has no label.

        Raises InputError for what Megatron cannot build either.
        """
        _check(lengths, weights, sequence, samples, seed)
        if split is None and len(lengths) == 1:
            weights = None
        asked, built = _sizes(weights, samples, surplus, len(lengths))
        sources = [
            _make_source(name, length, size, sequence, seed, split, extra_token)
            for (name, length), size in zip(lengths.items(), built, strict=True)
        ]
        shares: list[float] = []
        if weights is not None:
            shares = _normalized(_normalized(weights))  # the builder and the blend do it, one after the other
        elif len(sources) > 1:
            shares = _normalized([source.size for source in sources])
            asked = min(samples, sum(source.size for source in sources))
        self._order = _native.MegatronOrder(sources, shares, asked)
        self.samples, self.counts = self._order.size, list(self._order.counts)
        _check_supply(dict(zip(lengths, sources, strict=True)), self.counts)

    def pieces(self, first: int, count: int, stride: int = 1) -> tuple[_Int, _Int]:
        """The pieces of samples first, first + stride, ...; their labels are a row's own tokens, one further.

        Returns int64 [pieces, 5] (row, column, source, start, count) by row and column, which cover sequence + 1
        columns of every row (sequence without the extra token), and each row's source, int64 [count]. Raises
        InputError beyond the last sample.
        """
        last = first + (count - 1) * stride
        if last >= self.samples:
            raise InputError(
                f"Sample {last} is asked for, and this Megatron order was built for {self.samples}: it depends on the "
                f"number of samples, and ends where the job ends. Stop there, or go on with this project's order."
            )
        return self._order.pieces(first, count, stride)


_Lengths = Mapping[str, npt.NDArray[np.int32]]


def _check(lengths: _Lengths, weights: Sequence[float] | None, sequence: int, samples: int, seed: int) -> None:
    if not 0 < len(lengths) < 32767:
        raise InputError(f"A Megatron order blends 1 to 32,766 sources, and these are {len(lengths)}.")
    if weights is not None and (len(weights) != len(lengths) or not all(0 < w < math.inf for w in weights)):
        raise InputError(
            f"A Megatron order of {len(lengths)} sources ({', '.join(lengths)}) has the weights {list(weights)}: it "
            f"takes one weight above 0 per source, or none at all. Leave sources of weight 0 out."
        )
    if sequence < 1 or samples < 1:
        raise InputError(f"A Megatron order of {samples} samples of {sequence} tokens: both are at least 1.")
    if not 0 <= seed < 1 << 32:
        raise InputError(f"The seed of a Megatron order is {seed}; Megatron takes 0 to {(1 << 32) - 1}.")


def _normalized(weights: Sequence[float]) -> list[float]:
    """Shares of the sum, in numpy's way of adding: the last bit decides about samples."""
    values = np.array(weights, dtype=np.float64)
    shares: list[float] = (values / np.sum(values)).tolist()
    return shares


def _sizes(
    weights: Sequence[float] | None, samples: int, surplus: float, sources: int
) -> tuple[int, list[int] | list[None]]:
    """The samples of the blend, and those to build of each source; None stands for one epoch of it."""
    if weights is None:
        return samples, [samples] if sources == 1 else [None] * sources
    asked = [math.ceil(samples * share) for share in _normalized(weights)]
    return sum(asked), [math.ceil(count * (1 + surplus)) for count in asked]


def _train_documents(documents: int, split: str | None) -> int:
    """How many of a source's documents, the first ones, are the train split's."""
    if split is None:
        return documents
    parts = [float(part) for part in re.findall(r"[.0-9]+", split)]
    if not 1 <= len(parts) <= 3 or parts[0] <= 0:
        raise InputError(
            f"The split {split!r} of a Megatron order leaves nothing to train on, or is none: it is one to three "
            f"numbers, as '969, 30, 1'."
        )
    share = _normalized(parts + [0.0] * (3 - len(parts)))[0]
    return round(share * float(documents))


def _make_source(
    name: str,
    lengths: npt.NDArray[np.int32],
    samples: int | None,
    sequence: int,
    seed: int,
    split: str | None,
    extra_token: bool,
) -> _native.MegatronSource:
    """The tables of one source, with draws in Megatron's sequence: documents, last epoch's documents, windows."""
    documents = _train_documents(len(lengths), split)
    tokens, extra = int(lengths[:documents].sum(dtype=np.int64)), int(extra_token)
    if tokens < 1 + extra:
        raise InputError(
            f"The train split ({split!r}) of the source {name} is {documents} of {len(lengths)} documents with "
            f"{tokens} tokens: Megatron builds no sample of it. Change the split, or leave the source out."
        )
    epochs = 1 if samples is None else max(1, -(-(samples * sequence + extra) // tokens))
    windows = (epochs * tokens - extra) // sequence
    if windows == 0:
        raise InputError(
            f"The train split ({split!r}) of the source {name} has {tokens} tokens, and a sample takes "
            f"{sequence + extra}: without weights Megatron reads no source twice. Give weights, or leave it out."
        )
    together = windows      # windows that are shuffled with each other
    apart = 0               # epochs that are shuffled apart
    if epochs > 1 and samples is not None:
        before_last = ((epochs - 1) * tokens - extra) // sequence
        if samples - before_last < int(_FINAL_EPOCH * ((tokens - extra) // sequence)):
            together, apart = before_last, 1
    random = np.random.RandomState(seed)
    order = _shuffled(np.tile(np.arange(documents, dtype=np.int32), epochs - apart), random)
    if apart:
        order = np.concatenate((order, _shuffled(np.arange(documents, dtype=np.int32), random)))
    shuffle = _shuffled(np.arange(together), random)
    if together < windows:
        shuffle = np.concatenate((shuffle, _shuffled(np.arange(together, windows), random)))
    return _native.MegatronSource(lengths, order, shuffle, sequence, sequence + extra)


def _shuffled(values: npt.NDArray[np.integer], random: np.random.RandomState) -> npt.NDArray[np.integer]:
    """The values, shuffled in place; the draws depend on their number alone."""
    random.shuffle(values)
    return values


def _check_supply(sources: Mapping[str, _native.MegatronSource], counts: Sequence[int]) -> None:
    for (name, source), count in zip(sources.items(), counts, strict=True):
        if count > source.size:
            raise InputError(
                f"The Megatron blend takes {count} samples of the source {name}, and {source.size} were built: "
                f"Megatron stops here too. Raise `mid_level_dataset_surplus` as it would have to be raised there."
            )
