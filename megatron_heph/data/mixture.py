"""Which source each sample comes from: close to its share in every prefix, in closed form."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from megatron_heph import _native

_UNIT = 1 << 64


class Mixture(_native.Mixture):
    """Assigns samples 0, 1, 2, ... to sources by weight; any sample is answered alone, in the depth of a tree.

    The tree is Huffman's (1952) over the weights. An inner node splits its samples in two: of its first n the
    lighter child, whose share of the node is p, gets n p rounded (halves down), and the heavier one the others.

    Of the first n samples a source of share w has n w but for **less than 2** + n 2^-63. For a node's count errs by
    at most 1/2 more than its parent's error times its share of the parent; with the shares p1, p2, ... on the way
    from the leaf to the root: by at most (1 + p1 + p1 p2 + p1 p2 p3 + ...) / 2. In a Huffman tree p1 p2 <= 1/2: the
    node was one of the two lightest when its uncle was there already, or was made later of what was there, so that
    the uncle is no lighter than the node, and the grandparent at least twice as heavy. So the sum is
    below (1 + p1) (1 + 1/2 + 1/4 + ...) <= 4. The second term is for the shares, which are rounded to 2^-64.

    A source of weight 0 is never picked. Ties are broken by the order of the sources.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        assert weights and min(weights) >= 0 and 0 < sum(weights) < math.inf, weights
        fractions, children, only = _huffman(weights)
        super().__init__(len(weights), fractions, children, only)


def _huffman(weights: Sequence[float]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], int]:
    """The tree as `_native.Mixture` takes it: uint64 [nodes], int64 [nodes, 2], and a source if there is only one.

    Every weight is a whole multiple of one power of two, so that all sums and comparisons are exact.
    """
    ratios = [Fraction(weight) for weight in weights]
    unit = math.lcm(*(ratio.denominator for ratio in ratios))
    # (weight, -first source below, node): of equals the one with the later sources is taken for the lighter.
    heap = [(int(ratio * unit), -source, -1 - source) for source, ratio in enumerate(ratios) if ratio > 0]
    heapq.heapify(heap)
    fractions: list[int] = []
    children: list[tuple[int, int]] = []
    while len(heap) > 1:
        lighter, heavier = heapq.heappop(heap), heapq.heappop(heap)
        total = lighter[0] + heavier[0]
        fractions.append((2 * lighter[0] * _UNIT + total) // (2 * total))
        children.append((lighter[2], heavier[2]))
        heapq.heappush(heap, (total, max(lighter[1], heavier[1]), len(children) - 1))
    only = -1 if children else -1 - heap[0][2]
    return np.array(fractions, np.uint64), np.array(children, np.int64).reshape(-1, 2), only
