"""The order of a source's blocks: a keyed permutation with an exact inverse.  Nothing is built, nothing is stored."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

_ROUNDS = 6
_Int = npt.NDArray[np.int64]


class Permutation:
    """A permutation of 0 .. size-1, drawn by a key.

    A balanced Feistel network over the next even power of two (Luby & Rackoff 1988), walked until it
    lands inside the range (Black & Rogaway, "Ciphers with arbitrary finite domains", 2002, section 3):
    any position is computed alone, in fewer than four walks on average, on any rank.
    """

    def __init__(self, size: int, *key: object) -> None:
        assert size > 0, size
        self.size = size
        self._half = max(1, -(-(size - 1).bit_length() // 2))
        self._mask = np.uint64((1 << self._half) - 1)
        digest = hashlib.sha256(repr(key).encode()).digest()
        self._keys = np.frombuffer(hashlib.sha512(digest).digest()[: 8 * _ROUNDS], dtype="<u8")

    def __call__(self, positions: npt.ArrayLike) -> _Int:
        """Which block stands at each position: int64 of the same shape."""
        return self._walk(positions, self._keys, forward=True)

    def inverse(self, blocks: npt.ArrayLike) -> _Int:
        """At which position each block stands: int64 of the same shape."""
        return self._walk(blocks, self._keys[::-1], forward=False)

    def _walk(self, values: npt.ArrayLike, keys: npt.NDArray[np.uint64], *, forward: bool) -> _Int:
        x = np.atleast_1d(np.asarray(values, dtype=np.uint64)).copy()
        assert (x < self.size).all(), "a position beyond the range"
        outside = np.ones(x.shape, dtype=bool)
        while outside.any():
            x[outside] = self._network(x[outside], keys, forward)
            outside = x >= self.size
        return x.astype(np.int64).reshape(np.shape(values))

    def _network(
        self, x: npt.NDArray[np.uint64], keys: npt.NDArray[np.uint64], forward: bool
    ) -> npt.NDArray[np.uint64]:
        left, right = x >> np.uint64(self._half), x & self._mask
        for key in keys:
            if forward:
                left, right = right, left ^ (_mix(right, key) & self._mask)
            else:
                left, right = right ^ (_mix(left, key) & self._mask), left
        return (left << np.uint64(self._half)) | right


def _mix(x: npt.NDArray[np.uint64], key: np.uint64) -> npt.NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014) over x + key: every bit depends on every bit."""
    with np.errstate(over="ignore"):
        x = x + key
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
