"""StreamOrder against the slow obvious way: the permuted stream written out, position by position."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from megatron_heph.data.order import Permutation, StreamOrder, source_key

KEY = source_key(11, "stream")


def blocks_in_order(whole: int, epoch: int) -> list[int]:
    """The whole blocks of a source as they come: extents side by side, 256 at a time, each in its own order."""
    extent = max([1, *(size for size in (2, 4, 8) if whole // size >= 1024)])
    extents = whole // extent
    order = Permutation(extents, KEY, epoch).forward(np.arange(extents)).tolist() if extents else []
    groups = [order[first : first + 256] for first in range(0, extents, 256)]
    found = [at * extent + stripe for group in groups for stripe in range(extent) for at in group]
    return found + list(range(extents * extent, whole))


def permuted_stream(tokens: int, block: int) -> Iterator[int]:
    """The endless stream of positions, as its definition says."""
    whole = (tokens - 1) // block
    for epoch in itertools.count():
        for at in blocks_in_order(whole, epoch):
            yield from range(at * block, (at + 1) * block)
        yield from range(whole * block, tokens - 1)


def positions(pieces: np.ndarray, length: int) -> list[int]:
    """The positions of a sample, and a check of the pieces' form."""
    _, column, _, start, count = pieces.T
    assert (pieces[:, [0, 2]] == 0).all() and (count > 0).all() and (start >= 0).all()
    assert column.tolist() == [0, *np.cumsum(count)[:-1].tolist()] and count.sum() == length
    assert (start[1:] != (start + count)[:-1]).all(), "two pieces that are one"
    return [int(s) + i for s, c in zip(start, count, strict=True) for i in range(c)]


def random_history(rng: np.random.Generator, block: int) -> list[tuple[int, int]]:
    """Segments of a run: (length, samples)."""
    lengths = [1, 2, 3, 5, 8, block, max(1, block // 2), 2 * block, block + 1, 37]
    return [(int(rng.choice(lengths)), int(rng.integers(0, 25))) for _ in range(rng.integers(1, 7))]


@pytest.mark.parametrize("trial", range(150))
def test_any_history_reads_the_permuted_stream(trial: int) -> None:
    rng = np.random.default_rng(trial)
    block = int(rng.choice([1, 2, 4, 7, 16, 64]))
    tokens = int(rng.choice([2, 3, block, block + 1, block + 2, 2 * block + 1, rng.integers(2, 400)]))
    tokens = max(2, tokens)
    stream, begin, taken = permuted_stream(tokens, block), 0, []
    for length, samples in random_history(rng, block):
        order = StreamOrder(tokens, block, KEY, begin, length)
        for number in range(samples):
            taken += positions(order.pieces(number), length)
        begin += length * samples
    assert taken == list(itertools.islice(stream, len(taken)))
    epoch = tokens - 1
    for whole in range(len(taken) // epoch):
        assert sorted(taken[whole * epoch : (whole + 1) * epoch]) == list(range(epoch))


@pytest.mark.parametrize("blocks", [2047, 2048, 2049, 4100, 8191, 8200, 20_011])
def test_extents_take_turns(blocks: int) -> None:
    """Mixed finely: neighbours in the order come from different extents; read in large pieces: an extent ends soon."""
    order = StreamOrder(2 * blocks + 2, 2, KEY, 0, 2)
    for epoch in (0, 3):
        found = [int(order.pieces(number + epoch * blocks)[0, 3]) // 2 for number in range(blocks)] if not epoch else []
        expected = blocks_in_order(blocks, epoch)
        assert sorted(expected) == list(range(blocks)) and found in ([], expected)
        turns = [order.turn_of(block, epoch) for block in range(blocks)]
        assert [expected[turn] for turn in turns] == list(range(blocks))
    extent = order.extent // 2
    assert extent == (1 if blocks < 2048 else 2 if blocks < 4096 else 4 if blocks < 8192 else 8)
    seen = np.array(blocks_in_order(blocks, 0)) // extent
    together = min(256, blocks // extent)
    assert len(set(seen[:together].tolist())) == together


def test_samples_are_answered_alone() -> None:
    order = StreamOrder(1000, 16, KEY, 5, 7)
    all_ = [order.pieces(number).tolist() for number in range(300)]
    for number in (299, 0, 142, 143):
        assert order.pieces(number).tolist() == all_[number]


def test_whole_samples_of_a_block_are_one_piece() -> None:
    order = StreamOrder(100 * 64 + 1, 64, KEY, 0, 16)
    assert all(len(order.pieces(number)) == 1 for number in range(1000))


def test_neighbours_in_the_order_become_one_piece() -> None:
    """Of a source of two blocks one epoch in two has them in their own order."""
    found = {len(StreamOrder(2 * 8 + 1, 8, KEY, 16 * epoch, 16).pieces(0)) for epoch in range(20)}
    assert found == {1, 2}


def test_a_source_shorter_than_a_block() -> None:
    order = StreamOrder(4, 1024, KEY, 0, 7)
    assert order.pieces(0).tolist() == [[0, 0, 0, 0, 3], [0, 3, 0, 0, 3], [0, 6, 0, 0, 1]]
    assert order.pieces(1).tolist() == [[0, 0, 0, 1, 2], [0, 2, 0, 0, 3], [0, 5, 0, 0, 2]]


def test_the_smallest_source() -> None:
    assert StreamOrder(2, 8, KEY, 0, 3).pieces(9).tolist() == [[0, i, 0, 0, 1] for i in range(3)]


def test_trillions_of_tokens() -> None:
    tokens, block, length = 50 * 10**12 + 77, 1 << 20, 8192
    epoch, whole = tokens - 1, (tokens - 1) // block
    for at in (0, 5, 10**6, epoch - 3, epoch, 3 * epoch + 12345, 100 * epoch - 8000):
        pieces = StreamOrder(tokens, block, KEY, at, length).pieces(0)
        number, within = divmod(at, epoch)
        slot, order = within // block, StreamOrder(tokens, block, KEY, at, length)
        assert slot == whole or order.turn_of(int(pieces[0, 3]) // block, number) == slot
        assert pieces[0, 3] % block == within % block
        assert len(positions(pieces, length)) == length
        assert (pieces[:, 3] + pieces[:, 4]).max() < tokens   # the label of the last position exists


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((1, 8, KEY, 0, 4), "a source of 1 tokens"),
        ((0, 8, KEY, 0, 4), "a source of 0 tokens"),
        ((9, 0, KEY, 0, 4), "a block of 0 tokens"),
        ((9, 8, KEY, 0, 0), "samples of 0 from"),
        ((9, 8, KEY, -1, 4), "from position -1"),
    ],
)
def test_what_is_no_stream(arguments: tuple, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        StreamOrder(*arguments)
