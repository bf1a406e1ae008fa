"""What our batches cost, of one source whose file is in the page cache; and whether they are what the file holds.

    python -m megatron_heph.bench.read_batches PREFIX [--attention document] [--widen] [--batches 2000]

Prints a line of JSON with the seconds of `batches` batches; some before them are not counted.  `right` is 1
if every sample that was looked at is a place of the file, found there by its first tokens, and no place comes twice.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from megatron_heph.bench.meter import Meter
from megatron_heph.bench.own_loader import open_loader
from megatron_heph.data.batch import Batch
from megatron_heph.data.loader import Loader

_WARM_UP = 20               # batches
_LOOKED_AT = 64             # batches


def is_right(tokens: npt.NDArray, loader: Loader, batches: int) -> bool:
    """Whether these batches are pieces of the file, with the tokens after them as labels, and none twice.

    Independent of the order: where a sample lies is found by its first eight bytes.
    """
    sequence = loader.segment.sequence
    starts = np.arange(0, len(tokens) - sequence, sequence)     # a block is whole samples: they begin here
    keys = np.lib.stride_tricks.sliding_window_view(tokens, 4)[starts]
    place = dict(zip(map(bytes, np.ascontiguousarray(keys)), starts.tolist(), strict=True))
    seen: set[int] = set()
    for step in range(batches):
        batch: Batch = loader.batch(step)
        for row, labels in zip(batch.tokens_BL, batch.labels_BL, strict=True):
            at = place.get(row[:4].tobytes())
            if at is None or at in seen:
                return False
            seen.add(at)
            if not (np.array_equal(row, tokens[at : at + sequence])
                    and np.array_equal(labels, tokens[at + 1 : at + 1 + sequence])):  # fmt: skip
                return False
    return True


def widen(batch: Batch) -> None:
    """What training makes of a batch where the device does not do it: int64 tokens and labels, a float mask."""
    batch.tokens_BL.astype(np.int64)
    batch.labels_BL.astype(np.int64)
    batch.loss_BL.astype(np.float32)


def main() -> int:
    """Reads in the order of a run, which is random in the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", type=Path)
    parser.add_argument("--sequence", type=int, default=4096)
    parser.add_argument("--samples", type=int, default=4, help="of a batch")
    parser.add_argument("--batches", type=int, default=2000)
    parser.add_argument("--attention", choices=("window", "document"), default="window")
    parser.add_argument("--widen", action="store_true", help="to the dtypes that Megatron's batches have")
    args = parser.parse_args()
    loader, _ = open_loader([args.prefix], args.sequence, args.samples, args.attention)
    for step in range(_WARM_UP):
        loader.batch(step)
    meter = Meter()
    for step in range(_WARM_UP, _WARM_UP + args.batches):
        batch = loader.batch(step)
        if args.widen:
            widen(batch)
    cost = meter.cost()
    tokens = np.memmap(args.prefix.with_name(args.prefix.name + ".bin"), batch.tokens_BL.dtype, mode="r")
    right = is_right(tokens, loader, _LOOKED_AT)
    sys.stdout.write(json.dumps({**asdict(cost), "batches": args.batches, "right": int(right)}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
