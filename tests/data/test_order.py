from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from megatron_heph.data.order import Permutation, source_key

BLOCKS = Permutation(1000, source_key(7, "blocks"), 0)


@pytest.mark.parametrize("size", [*range(1, 201), 1023, 1024, 1025, 4095, 4096, 4097, 65536])
def test_bijection_with_an_inverse(size: int) -> None:
    permutation = Permutation(size, (size, 5), size)
    order = permutation.forward(np.arange(size))
    assert sorted(order.tolist()) == list(range(size))
    assert (permutation.inverse(order) == np.arange(size)).all()


@pytest.mark.parametrize("size", [10**12, (1 << 32) + 1, 2_147_483_647**2, (1 << 62) - 1, 1 << 62])
def test_trillions_of_blocks_by_sampling(size: int) -> None:
    permutation = Permutation(size, source_key(0, "large"), 7)
    positions = np.random.default_rng(0).integers(size, size=20_000)
    positions[:4] = 0, 1, size - 2, size - 1
    blocks = permutation.forward(positions)
    assert ((blocks >= 0) & (blocks < size)).all()
    assert (permutation.inverse(blocks) == positions).all()
    assert (permutation.forward(permutation.inverse(positions)) == positions).all()
    assert len(np.unique(blocks)) == len(np.unique(positions))
    counts = np.bincount(blocks // -(-size // 16), minlength=16)
    assert np.abs(counts - 1250).max() < 5 * np.sqrt(1250)


def test_sizes_about_every_square() -> None:
    """The domain's sides change at squares and at products of neighbours."""
    for root in (30, 31, 32, 33, 1 << 20, (1 << 26) + 1, (1 << 31) - 1):
        for size in (root * root - 1, root * root, root * root + 1, root * (root + 1), root * (root + 1) + 1):
            permutation = Permutation(size, (3, root), 0)
            some = np.unique(np.r_[np.arange(min(size, 50)), size - 1 - np.arange(min(size, 50))])
            assert (permutation.inverse(permutation.forward(some)) == some).all()


def test_one_position_and_shapes() -> None:
    order = BLOCKS.forward(np.arange(1000))
    assert BLOCKS.forward(17).shape == () and int(BLOCKS.forward(17)) == order[17]
    assert (BLOCKS.forward(np.arange(12).reshape(3, 4)) == order[:12].reshape(3, 4)).all()
    assert BLOCKS.forward(np.zeros((0, 2), np.int64)).shape == (0, 2) and BLOCKS.size == 1000


@pytest.mark.parametrize("value", [-1, 1000, 1 << 62])
def test_a_value_beyond_the_range(value: int) -> None:
    with pytest.raises(ValueError, match=f"{value} in a permutation of 1000"):
        BLOCKS.forward([0, value])
    with pytest.raises(ValueError, match=f"{value} in a permutation of 1000"):
        BLOCKS.inverse([0, value])


@pytest.mark.parametrize("size", [0, (1 << 62) + 1])
def test_a_size_beyond_the_range(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} values; 1 to 2\\^62"):
        Permutation(size, (0, 0), 0)


def test_seed_name_and_epoch_decide() -> None:
    keys = [(1, "api", 0), (2, "api", 0), (1, "apj", 0), (1, "api", 1), (11, "pi", 0), (1, "", 0), (0, "api", 1 << 40)]
    orders = [
        Permutation(1000, source_key(seed, name), epoch).forward(np.arange(1000)) for seed, name, epoch in keys
    ]
    for a, b in itertools.combinations(orders, 2):
        assert (a == b).mean() < 0.01  # a thousandth is chance
    assert (Permutation(1000, source_key(1, "api"), 0).forward(np.arange(1000)) == orders[0]).all()


def test_both_words_of_a_key_decide() -> None:
    orders = [
        Permutation(1000, key, 0).forward(np.arange(1000))
        for key in itertools.product([0, 1, (1 << 64) - 1], repeat=2)
    ]
    assert all((a == b).mean() < 0.01 for a, b in itertools.combinations(orders, 2))


def test_the_order_is_pinned() -> None:
    """A run that is resumed with a later version must see the same order."""
    key = source_key(1234, "api")
    assert key == (11747297478077616896, 757567182625009913)
    assert Permutation(10, key, 0).forward(np.arange(10)).tolist() == [2, 4, 8, 1, 3, 7, 9, 5, 0, 6]
    assert Permutation(5000, key, 3).forward(np.arange(5)).tolist() == [1080, 3331, 4625, 3305, 1473]
    assert Permutation(1 << 40, key, 9).forward([0, 1, 1 << 39]).tolist() == [3592443304, 1027111746102, 624705556059]


@pytest.mark.parametrize("size", [2, 3, 5, 10, 17, 64])
def test_every_block_is_equally_likely_anywhere(size: int) -> None:
    """Chi-square of block x position over many keys, six standard deviations wide."""
    trials = 3000
    keys = [source_key(trial, "uniform") for trial in range(trials)]
    orders = np.stack([Permutation(size, key, 0).forward(np.arange(size)) for key in keys])
    expected = trials / size
    chi = sum(((np.bincount(orders[:, p], minlength=size) - expected) ** 2 / expected).sum() for p in range(size))
    freedom = (size - 1) ** 2
    assert abs(chi - freedom * size / (size - 1)) < 6 * np.sqrt(2 * freedom) + 6


@pytest.mark.parametrize("size", [3, 4, 5])
def test_every_order_of_few_blocks_is_equally_likely(size: int) -> None:
    """Where the whole order can be counted: few rounds would leave some orders rarer than others."""
    trials, kinds = 20_000, math.factorial(size)
    key = source_key(1, "few")
    found = Counter(tuple(Permutation(size, key, epoch).forward(np.arange(size))) for epoch in range(trials))
    chi = sum((found[order] - trials / kinds) ** 2 for order in itertools.permutations(range(size))) * kinds / trials
    assert abs(chi - (kinds - 1)) < 6 * np.sqrt(2 * (kinds - 1))


@pytest.mark.parametrize("size", [12, 40, 1024])
def test_the_step_to_the_next_block_is_uniform(size: int) -> None:
    """Of neighbours in the order the distance in the source, modulo the size: every one but 0 is as likely."""
    trials = 400_000 // size
    key = source_key(2, "steps")
    orders = np.stack([Permutation(size, key, epoch).forward(np.arange(size)) for epoch in range(trials)])
    steps = np.bincount((np.diff(orders, axis=1) % size).ravel(), minlength=size)[1:]
    chi = ((steps - trials) ** 2 / trials).sum()
    assert abs(chi - (size - 2)) < 6 * np.sqrt(2 * size)


def test_neighbours_are_scattered() -> None:
    order = Permutation(100_000, source_key(3, "far"), 3).forward(np.arange(100_000)).astype(np.float64)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(np.arange(100_000), order)[0, 1]) < 0.02


def test_epochs_are_unrelated() -> None:
    key = source_key(3, "epochs")
    orders = [Permutation(100_000, key, epoch).forward(np.arange(100_000)).astype(np.float64) for epoch in range(4)]
    for a, b in itertools.combinations(orders, 2):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.02
        assert (a == b).sum() < 10  # one is chance
