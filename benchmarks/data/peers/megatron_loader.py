"""Megatron's batches: a GPTDataset of one pair behind a DataLoader without worker processes.

    python benchmarks/data/peers/megatron_loader.py PREFIX CACHE [--mask | --documents] [--batches 500]

Prints a line of JSON with the seconds of `batches` batches; some before them are not counted.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict
from pathlib import Path

from megatron_datasets import build
from torch.utils.data import DataLoader

from megatron_heph.bench.meter import Meter

_WARM_UP = 20               # batches


def main() -> int:
    """Builds (or takes from the cache), then reads in the dataset's order, which is random in the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix")
    parser.add_argument("cache", type=Path)
    parser.add_argument("--sequence", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--batches", type=int, default=500)
    parser.add_argument("--mask", action="store_true", help="with an attention mask, as is its default")
    parser.add_argument("--documents", action="store_true", help="positions begin anew in each, no loss at its end")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    samples = Path(f"{args.prefix}.bin").stat().st_size // 2 // args.sequence - 1
    dataset = build([args.prefix], None, samples, args.sequence, args.cache, args.mask, args.documents)
    batches = iter(DataLoader(dataset, batch_size=args.batch, num_workers=0))
    for _ in range(_WARM_UP):
        next(batches)
    meter = Meter()
    for _ in range(args.batches):
        next(batches)
    print(json.dumps({**asdict(meter.cost()), "batches": args.batches}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
