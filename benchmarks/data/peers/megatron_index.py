"""Megatron's start-up: the indices of a blend, and the first sample of it.

    python benchmarks/data/peers/megatron_index.py FOLDER CACHE [--sequence 4096]

FOLDER holds plain pairs; each is a source of the blend, and the weights are those of their tokens.  Prints a
line of JSON; time and memory are counted from the moment when the imports are done.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from dataclasses import asdict
from pathlib import Path

from megatron_datasets import build, one_process

from megatron_heph.bench.meter import Meter


def main() -> int:
    """Builds everything once, with an empty cache."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--sequence", type=int, default=4096)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    shutil.rmtree(args.cache, ignore_errors=True)
    one_process()                       # a BlendedDataset asks for the rank
    prefixes = sorted(str(path.with_suffix("")) for path in args.folder.glob("*.idx"))
    tokens = [Path(f"{prefix}.bin").stat().st_size // 2 for prefix in prefixes]
    # A hundredth less than there is: with the surplus that the builder adds, one epoch of each source and not two.
    samples = int(0.99 * sum(tokens)) // args.sequence
    meter = Meter()
    dataset = build(prefixes, [count / sum(tokens) for count in tokens], samples, args.sequence, args.cache)
    assert len(dataset[0]["tokens"]) == args.sequence
    cost = meter.cost()
    stored = sum(path.stat().st_size for path in args.cache.iterdir())
    print(json.dumps({**asdict(cost), "stored": stored, "samples": samples, "tokens": sum(tokens)}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
