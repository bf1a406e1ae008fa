from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from megatron_heph import _native
from megatron_heph.data.mixture import Mixture


def cumulated(mixture: Mixture, samples: int) -> np.ndarray:
    """Samples of each source in every prefix, the empty one too: int64 [samples + 1, sources]."""
    source, _ = mixture.assign(0, samples)
    picked = source[:, None] == np.arange(mixture.sources)
    return np.vstack([np.zeros((1, mixture.sources), np.int64), np.cumsum(picked, axis=0)])


def exact_shares(weights: list[float]) -> list[Fraction]:
    total = sum(Fraction(weight) for weight in weights)
    return [Fraction(weight) / total for weight in weights]


def worst_deviation(mixture: Mixture, weights: list[float], samples: int) -> Fraction:
    """The largest |count - n w| of any source in any of the first `samples` prefixes.

    Between two samples of a source its deviation falls, so that it is largest right before or after one.
    """
    source, earlier = mixture.assign(0, samples)
    worst = Fraction(0)
    for index, share in enumerate(exact_shares(weights)):
        own = np.flatnonzero(source == index).tolist()
        assert earlier[own].tolist() == list(range(len(own)))
        for count, n in enumerate([*own, samples]):
            worst = max(worst, abs(count - n * share))                      # before
            if n < samples:
                worst = max(worst, abs(count + 1 - (n + 1) * share))        # after
    return worst


def dirichlet(sources: int, alpha: float, seed: int = 0) -> list[float]:
    return np.random.default_rng([sources, seed]).dirichlet(np.full(sources, alpha)).tolist()


WEIGHTS = {
    "half": [1.0, 1.0],
    "third": [1.0, 2.0],
    "paper": [0.36, 0.32, 0.32],
    "golden": [0.381966, 0.618034],
    "geometric": [2.0**-i for i in range(30)],
    "steep": [2.0**-i for i in range(1000)],
    "fibonacci": [1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 55.0, 89.0],   # the deepest tree
    "heavy": [1.0, *[1e-5] * 999],
    "searched": [0.236801, 0.002286, 0.051881, 0.053469, 0.076841, 0.0544, 0.058386, 0.371758],  # 1.46 was the worst
    "equal 7": [1.0] * 7,
    "equal 1000": [1.0] * 1000,
    "uniform 1000": np.random.default_rng(1).random(1000).tolist(),
    **{f"dirichlet {n} {alpha}": dirichlet(n, alpha) for n in (2, 3, 5, 8, 50, 300) for alpha in (0.05, 1.0)},
    "dirichlet 1000 0.02": dirichlet(1000, 0.02),
    "5000 sources": dirichlet(5000, 0.3),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_no_prefix_strays_by_two_samples(name: str) -> None:
    weights = WEIGHTS[name]
    worst = worst_deviation(Mixture(weights), weights, 20_000)
    assert worst < 2, f"{name}: a prefix strays by {float(worst):.4f} samples"


@pytest.mark.parametrize("name", WEIGHTS)
def test_no_long_prefix_strays_by_two_samples(name: str) -> None:
    weights = WEIGHTS[name]
    mixture, shares = Mixture(weights), exact_shares(weights)
    for n in np.random.default_rng(3).integers(10**12, size=5 if len(weights) >= 1000 else 60).tolist():
        counts = mixture.counts(n).tolist()
        assert sum(counts) == n
        worst = max(abs(count - n * share) for count, share in zip(counts, shares, strict=True))
        assert worst < 2, f"{name}: the first {n} samples stray by {float(worst):.4f}"


@pytest.mark.parametrize("trial", range(60))
def test_random_weights(trial: int) -> None:
    rng = np.random.default_rng(trial)
    sources = int(rng.integers(2, 40))
    weights = (rng.dirichlet(np.full(sources, 10 ** rng.uniform(-2, 1))) * 10 ** rng.uniform(-300, 300)).tolist()
    if sum(weights) == 0:
        weights[0] = 1.0
    worst = worst_deviation(Mixture(weights), weights, 3000)
    assert worst < 2, f"{weights}: a prefix strays by {float(worst):.4f} samples"


@pytest.mark.parametrize("name", WEIGHTS)
def test_counts_are_the_sums_of_assign(name: str) -> None:
    mixture = Mixture(WEIGHTS[name])
    source, _ = mixture.assign(0, 500)
    for samples in [0, 1, 2, 3, 99, 100, 499, 500]:
        assert (mixture.counts(samples) == np.bincount(source[:samples], minlength=mixture.sources)).all()


@pytest.mark.parametrize("first", [0, 777, 10**6 + 1, 10**12, 10**18, (1 << 62) - 61])
def test_far_samples_follow_from_the_counts(first: int) -> None:
    for name in ("paper", "steep", "heavy", "dirichlet 50 0.05"):
        mixture = Mixture(WEIGHTS[name])
        counts = mixture.counts(first)
        for source, earlier in zip(*mixture.assign(first, 60), strict=True):
            assert earlier == counts[source]
            counts[source] += 1
        assert (mixture.counts(first + 60) == counts).all()


def test_strides() -> None:
    mixture = Mixture(WEIGHTS["paper"])
    source, earlier = mixture.assign(5, 70)
    for offset, stride in [(0, 1), (1, 2), (3, 7), (6, 64)]:
        part = mixture.assign(5 + offset, (69 - offset) // stride + 1, stride)
        assert (part[0] == source[offset::stride]).all() and (part[1] == earlier[offset::stride]).all()


@pytest.mark.parametrize(
    "weights", [[1, 0], [0, 1], [0, 0, 1], [1 / 3, 0, 1 / 3, 0, 1 / 3], [0.1, 0.2, 0.7, 0], [1] * 7 + [0] * 3]
)
def test_a_source_of_weight_zero_is_never_picked(weights: list[float]) -> None:
    source, _ = Mixture(weights).assign(0, 3000)
    assert set(source.tolist()) == {i for i, weight in enumerate(weights) if weight > 0}
    counts = Mixture(weights).counts(1 << 62)
    assert [count > 0 for count in counts] == [weight > 0 for weight in weights] and sum(counts.tolist()) == 1 << 62


def test_one_source() -> None:
    source, earlier = Mixture([0.25]).assign(10, 5)
    assert source.tolist() == [0] * 5 and earlier.tolist() == [10, 11, 12, 13, 14]


def test_weights_are_relative() -> None:
    a, b, c = Mixture([1, 2, 3]), Mixture([10, 20, 30]), Mixture([2.0**-1070, 2.0**-1069, 3 * 2.0**-1070])
    assert (a.assign(0, 4096)[0] == b.assign(0, 4096)[0]).all()
    assert (a.assign(0, 4096)[0] == c.assign(0, 4096)[0]).all()


def test_the_assignment_is_pinned() -> None:
    """A run that is resumed with a later version must see the same samples."""
    assert Mixture([0.5, 0.25, 0.25]).assign(0, 12)[0].tolist() == [0, 1, 0, 2, 0, 1, 0, 2, 0, 1, 0, 2]
    assert Mixture([0.36, 0.32, 0.32]).assign(0, 12)[0].tolist() == [1, 0, 2, 1, 0, 2, 0, 1, 2, 0, 1, 2]
    assert Mixture([0.36, 0.32, 0.32]).counts(10**15).tolist() == [360000000000000, 320000000000000, 320000000000000]


@pytest.mark.parametrize(
    ("sources", "fractions", "children", "only", "reason"),
    [
        (0, [], [], 0, "a mixture of 0 sources"),
        (1, [], [], 1, "source 1 in a mixture of 1"),
        (2, [], [], -1, "node 0 in a mixture"),
        (2, [5], [[-1, -3]], -1, "source 2 in a mixture of 2"),
        (2, [5], [[-1, -1]], -1, "source 0 stands twice"),
        (2, [5], [[-1, 0]], -1, "node 0 in a mixture"),
        (4, [5, 5], [[-1, -2], [-3, -4]], -1, "node 0 hangs nowhere"),
        (3, [5, 5], [[-1, -2], [0, 0]], -1, "node 0 stands twice"),
        (2, [(1 << 63) + 1], [[-1, -2]], -1, "more than a half"),
        (2, [5, 5], [[-1, -2]], -1, "fractions are"),
    ],
)
def test_what_is_no_tree(sources: int, fractions: list, children: list, only: int, reason: str) -> None:
    tree = np.array(fractions, np.uint64), np.array(children, np.int64).reshape(-1, 2)
    with pytest.raises(ValueError, match=reason):
        _native.Mixture(sources, *tree, only)


@pytest.mark.parametrize(("first", "count", "stride"), [(-1, 1, 1), (0, -1, 1), (0, 1, 0), ((1 << 62) - 1, 2, 1)])
def test_samples_beyond_the_range(first: int, count: int, stride: int) -> None:
    with pytest.raises(ValueError, match="samples from"):
        Mixture([1, 2]).assign(first, count, stride)
