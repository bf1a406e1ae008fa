from __future__ import annotations

import itertools

import numpy as np
import pytest

from megatron_heph.data.order import Permutation


@pytest.mark.parametrize("size", [*range(1, 201), 4095, 4096, 4097])
def test_bijection_with_an_inverse(size: int) -> None:
    permutation = Permutation(size, "key", size)
    order = permutation(np.arange(size))
    assert sorted(order.tolist()) == list(range(size))
    assert (permutation.inverse(order) == np.arange(size)).all()


def test_a_trillion_blocks_by_sampling() -> None:
    size = 10**12
    permutation = Permutation(size, 7)
    positions = np.random.default_rng(0).integers(size, size=20_000)
    blocks = permutation(positions)
    assert ((blocks >= 0) & (blocks < size)).all()
    assert (permutation.inverse(blocks) == positions).all()
    assert len(np.unique(blocks)) == len(np.unique(positions))
    counts = np.bincount(blocks * 16 // size, minlength=16)
    assert np.abs(counts - 1250).max() < 5 * np.sqrt(1250)


def test_one_position_and_shapes() -> None:
    permutation = Permutation(1000, "a")
    order = permutation(np.arange(1000))
    assert permutation(17).shape == () and int(permutation(17)) == order[17]
    assert (permutation(np.arange(12).reshape(3, 4)) == order[:12].reshape(3, 4)).all()


def test_the_key_decides() -> None:
    keys = [(1, "api", 0), (2, "api", 0), (1, "apj", 0), (1, "api", 1), ("1", "api", 0)]
    orders = [Permutation(1000, *key)(np.arange(1000)) for key in keys]
    for a, b in itertools.combinations(orders, 2):
        assert (a == b).mean() < 0.01  # a thousandth is chance
    assert (Permutation(1000, 1, "api", 0)(np.arange(1000)) == orders[0]).all()


def test_the_order_is_pinned() -> None:
    """A run that is resumed with a later version must see the same order."""
    assert Permutation(10, 1234, "api", 0)(np.arange(10)).tolist() == [2, 4, 6, 9, 5, 7, 8, 3, 1, 0]


@pytest.mark.parametrize("size", [2, 3, 5, 10, 17, 64])
def test_every_block_is_equally_likely_anywhere(size: int) -> None:
    """Chi-square of block x position over many keys, six standard deviations wide."""
    trials = 3000
    orders = np.stack([Permutation(size, "uniform", trial)(np.arange(size)) for trial in range(trials)])
    expected = trials / size
    chi = sum(((np.bincount(orders[:, p], minlength=size) - expected) ** 2 / expected).sum() for p in range(size))
    freedom = (size - 1) ** 2
    assert abs(chi - freedom * size / (size - 1)) < 6 * np.sqrt(2 * freedom) + 6


def test_neighbours_are_scattered() -> None:
    order = Permutation(100_000, "far", 3)(np.arange(100_000)).astype(np.float64)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(np.arange(100_000), order)[0, 1]) < 0.02
