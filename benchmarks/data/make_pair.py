"""Writes a Megatron pair of made-up documents, for the benchmarks of the data path.

    python benchmarks/data/make_pair.py bench-data/pair --documents 358000            # 0.5 G tokens, 1 GB
    python benchmarks/data/make_pair.py bench-data/twentieth --documents 4375000 --hole

Lengths are log-normal with a mean of 1,400 tokens, ids are uint16 without a pattern, and each document ends
with id 0.  With --hole the .bin has its length and no content (it takes no room on the disk): enough where
only the .idx is read.  The same arguments give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import math
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

SIGMA = 1.0                 # of the lengths' logarithm: some thousand times between shortest and longest
SHORTEST = 2
_CHUNK = 1 << 22            # tokens


def document_lengths(documents: int, mean: float, seed: int) -> npt.NDArray[np.int32]:
    """Log-normal lengths in tokens: int32 [documents]."""
    draws = np.random.default_rng(seed).lognormal(math.log(mean) - SIGMA**2 / 2, SIGMA, documents)
    return np.maximum(np.rint(draws), SHORTEST).astype(np.int32)


def write_index(path: Path, lengths: npt.NDArray[np.int32]) -> None:
    """An .idx of uint16 tokens in which each document is one sequence."""
    pointers = np.zeros(len(lengths), np.int64)
    np.cumsum(lengths[:-1] * np.int64(2), out=pointers[1:])
    with path.open("wb") as stream:
        stream.write(struct.pack("<9sQBQQ", b"MMIDIDX\x00\x00", 1, 8, len(lengths), len(lengths) + 1))
        for array in (lengths, pointers, np.arange(len(lengths) + 1, dtype=np.int64)):
            array.tofile(stream)


def write_tokens(path: Path, lengths: npt.NDArray[np.int32], vocab: int, seed: int) -> None:
    """Ids from 1 to vocab - 1, and 0 at each document's end."""
    random, ends = np.random.default_rng(seed + 1), np.cumsum(lengths, dtype=np.int64) - 1
    with path.open("wb") as stream:
        for begin in range(0, int(ends[-1]) + 1, _CHUNK):
            count = min(_CHUNK, int(ends[-1]) + 1 - begin)
            tokens = random.integers(1, vocab, count, dtype=np.uint16)
            first, last = np.searchsorted(ends, [begin, begin + count])
            tokens[ends[first:last] - begin] = 0
            tokens.tofile(stream)


def main() -> int:
    """Writes the pair and prints what it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="prefix of the .bin and .idx")
    parser.add_argument("--documents", type=int, required=True)
    parser.add_argument("--mean", type=float, default=1400.0, help="tokens of a document on average")
    parser.add_argument("--vocab", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hole", action="store_true", help="a .bin that has its length only")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    lengths = document_lengths(args.documents, args.mean, args.seed)
    tokens, bin_path = int(lengths.sum(dtype=np.int64)), args.out.with_name(args.out.name + ".bin")
    write_index(args.out.with_name(args.out.name + ".idx"), lengths)
    if args.hole:
        with bin_path.open("wb") as stream:
            stream.truncate(2 * tokens)
    else:
        write_tokens(bin_path, lengths, args.vocab, args.seed)
    print(json.dumps({"prefix": args.out.name, "documents": len(lengths), "tokens": tokens, "bytes": 2 * tokens}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
