"""The order of samples: closed form in C++ (csrc/data), any sample on any rank, nothing built and nothing stored.

`Permutation` orders the blocks of a source in an epoch; `StreamOrder` makes samples of the permuted stream;
`SampleOrder` joins the orders of all sources by a mixture. Everything is 64 bits wide.
"""

from __future__ import annotations

import hashlib

from megatron_heph._native import Permutation, SampleOrder, SourceOrder, StreamOrder

__all__ = ["Permutation", "SampleOrder", "SourceOrder", "StreamOrder", "source_key"]


def source_key(seed: int, name: str) -> tuple[int, int]:
    """The key of a source's permutations: two 64-bit words of the sha256 of the run's seed and the source's name.

    A source keeps its order when others come or go, and when its weight changes.
    """
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")
