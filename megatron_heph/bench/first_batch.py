"""What a run's first batch costs, from the moment when its imports are done.

    python -m megatron_heph.bench.first_batch FOLDER [--sequence 4096] [--samples 4]

FOLDER holds sources with manifests, all of which are read.  Prints a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from megatron_heph.bench.meter import Meter
from megatron_heph.bench.own_loader import open_loader, sources_in


def main() -> int:
    """From the paths of the sources to the first samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sequence", type=int, default=4096)
    parser.add_argument("--samples", type=int, default=4, help="of a batch")
    args = parser.parse_args()
    prefixes = sources_in(args.folder)
    meter = Meter()
    loader, tokens = open_loader(prefixes, args.sequence, args.samples, "window")
    batch = loader.batch(0)
    cost = meter.cost()
    assert batch.tokens_BL.shape == (args.samples, args.sequence)
    sys.stdout.write(json.dumps({**asdict(cost), "tokens": tokens}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
