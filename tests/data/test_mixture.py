from __future__ import annotations

import numpy as np
import pytest

from megatron_heph.data.mixture import TILE, Mixture


def prefixes(mixture: Mixture, samples: int) -> np.ndarray:
    """Samples of each source in every prefix: int64 [samples, sources]."""
    source, _ = mixture.assign(0, samples)
    return np.cumsum(source[:, None] == np.arange(len(mixture.quotas)), axis=0)


def random_weights(sources: int, trial: int) -> np.ndarray:
    rng = np.random.default_rng([sources, trial])
    return rng.dirichlet(np.full(sources, [0.05, 0.3, 1, 10][trial % 4]))


@pytest.mark.parametrize("sources", [2, 3, 4, 7, 12, 25, 50])
def test_no_prefix_strays_by_a_sample(sources: int) -> None:
    for trial in range(4):
        mixture = Mixture(random_weights(sources, trial))
        ideal = np.arange(1, TILE + 1)[:, None] * mixture.quotas / TILE
        assert np.abs(prefixes(mixture, TILE) - ideal).max() <= 1 - 1 / (2 * sources - 2) + 1e-9


@pytest.mark.parametrize("sources", [1, 2, 3, 17, 50])
def test_quotas_are_exact_in_every_tile(sources: int) -> None:
    weights = random_weights(sources, 2)
    mixture = Mixture(weights)
    assert mixture.quotas.sum() == TILE
    assert np.abs(mixture.quotas - weights * TILE).max() <= 1
    for tile in (0, 1, 5):
        source, _ = mixture.assign(tile * TILE, TILE)
        assert (np.bincount(source, minlength=sources) == mixture.quotas).all()


def test_counts_are_the_sums_of_assign() -> None:
    mixture = Mixture([0.36, 0.32, 0.32, 0.0])
    counts = prefixes(mixture, 2 * TILE + 100)
    for samples in [0, 1, 2, 99, TILE - 1, TILE, TILE + 1, 2 * TILE + 100]:
        assert (mixture.counts(samples) == (counts[samples - 1] if samples else 0)).all()


def test_earlier_samples_are_counted() -> None:
    mixture = Mixture([5, 3, 1])
    source, earlier = mixture.assign(0, TILE + 500)
    for index in range(3):
        assert (earlier[source == index] == np.arange((source == index).sum())).all()
    for first in (0, 1, 777, TILE - 3, TILE + 400):
        part = mixture.assign(first, 20)
        assert (part[0] == source[first : first + 20]).all() and (part[1] == earlier[first : first + 20]).all()


@pytest.mark.parametrize(
    "weights", [[1, 0], [0, 1], [0, 0, 1], [1 / 3, 0, 1 / 3, 0, 1 / 3], [0.1, 0.2, 0.7, 0], [1] * 7 + [0] * 3]
)
def test_a_source_of_weight_zero_is_never_picked(weights: list[float]) -> None:
    mixture = Mixture(weights)
    source, _ = mixture.assign(0, 3 * TILE)
    assert set(source.tolist()) == {i for i, weight in enumerate(weights) if weight > 0}


@pytest.mark.parametrize("weights", [[1, 1e-9], [0.5, 0.5, 1e-20], [1, *[1e-12] * 40], [1] * 4096])
def test_a_source_of_little_weight_is_picked_once_a_tile(weights: list[float]) -> None:
    mixture = Mixture(weights)
    assert mixture.quotas.min() == 1 and mixture.quotas.sum() == TILE


def test_weights_are_relative() -> None:
    a, b = Mixture([1, 2, 3]), Mixture([10, 20, 30])
    assert (a.assign(0, TILE)[0] == b.assign(0, TILE)[0]).all()


def test_the_assignment_is_pinned() -> None:
    """A run that is resumed with a later version must see the same samples."""
    assert Mixture([0.5, 0.25, 0.25]).assign(0, 12)[0].tolist() == [0, 1, 2, 0, 0, 1, 2, 0, 0, 1, 2, 0]
