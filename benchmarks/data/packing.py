"""How much of packed samples is padding, by the size of a packed block; and what counting and reading cost.

    python benchmarks/data/packing.py PREFIX [--length 4096] [--windows 8,16,32,64,128,256]

CPU time.  A pair of made-up documents: benchmarks/data/make_pair.py PREFIX --documents 2000000 --hole (the .idx is
all that is read).
"""

from __future__ import annotations

import argparse
import time

from megatron_heph._native import PackOrder, WindowCounts, count_windows
from megatron_heph.formats.indexed import TokenizedSource

_SAMPLES = 5000


def main() -> None:
    """Prints a line for each size of a block."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix")
    parser.add_argument("--length", type=int, default=4096)
    parser.add_argument("--windows", default="8,16,32,64,128,256", help="in a block of tokens")
    args = parser.parse_args()
    source = TokenizedSource.open(args.prefix)
    lengths = source.documents()[:, 1]
    positions = int((lengths - 1).sum())
    print(f"{len(lengths):,} documents, {lengths.mean():,.0f} tokens in the mean")
    for windows in map(int, args.windows.split(",")):
        block = windows * args.length
        blocks = -(-source.total_tokens // block)
        begin = time.process_time()
        found = count_windows(source.reader, block, args.length, 0, blocks)
        counting = time.process_time() - begin
        counts = WindowCounts(blocks)
        counts.append(found)
        order = PackOrder(source.reader, counts, block, (1, 2), (0, ()), args.length)
        begin = time.process_time()
        for number in range(_SAMPLES):
            order.pieces(number)
        reading = time.process_time() - begin
        print(
            f"{windows:4} windows a block: {1 - positions / (counts.total * args.length):6.2%} padding, "
            f"{counting / len(lengths) * 1e9:4.0f} ns a document, {reading / _SAMPLES * 1e6:5.2f} us a sample in order"
        )


if __name__ == "__main__":
    main()
