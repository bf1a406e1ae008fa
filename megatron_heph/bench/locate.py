"""What it costs to say which bytes a sample is: its source, and its place in that source's stream of tokens.

    python -m megatron_heph.bench.locate SOURCES [--tokens 1e12] [--sequence 4096] [--count 200000]

Asks for samples all over the first 10^12, so that each falls into another epoch, block and source than the one
before.  The sources are numbers alone: nothing is read.  Prints a line of JSON; `ns` is CPU time per sample.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

import numpy as np

from megatron_heph.bench.meter import Meter
from megatron_heph.data.mixture import Mixture
from megatron_heph.data.order import SampleOrder, StreamOrder, source_key
from megatron_heph.recipe.resolve import default_block

_SAMPLES = 10**12


def make_order(sources: int, tokens: int, sequence: int) -> SampleOrder:
    """Sources of unlike sizes and weights, `tokens` tokens in all."""
    shares = np.random.default_rng(1).dirichlet(np.ones(sources))
    block = default_block([sequence])
    orders = [
        StreamOrder(max(2, int(share * tokens)), block, source_key(1, f"s{index}"), 0, sequence)
        for index, share in enumerate(shares)
    ]
    return SampleOrder(Mixture(shares.tolist()), orders)


def main() -> int:
    """Samples far apart, in one call: what Python adds to a call is in the loader's benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=int)
    parser.add_argument("--tokens", type=float, default=1e12)
    parser.add_argument("--sequence", type=int, default=4096)
    parser.add_argument("--count", type=int, default=200_000)
    args = parser.parse_args()
    order = make_order(args.sources, int(args.tokens), args.sequence)
    stride = _SAMPLES // args.count - 1
    order.pieces(0, args.count // 10, stride)
    meter = Meter()
    pieces, _ = order.pieces(0, args.count, stride)
    cost = meter.cost()
    assert len(pieces) >= args.count
    sys.stdout.write(json.dumps({**asdict(cost), "ns": cost.cpu / args.count * 1e9}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
