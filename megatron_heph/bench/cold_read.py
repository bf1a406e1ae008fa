"""How fast a file comes from the disk: from end to end (past the page cache, or through it), or as samples of a run.

    python -m megatron_heph.bench.cold_read PREFIX {direct|whole|samples} [--bytes 5e8]

The page cache is emptied of the file first.  Prints a line of JSON; `rate` is bytes of tokens a second of wall
time, `read` what came from the disk for each byte of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from megatron_heph.bench.meter import Meter
from megatron_heph.bench.own_loader import open_loader
from megatron_heph.bench.page_cache import drop, read_direct, read_whole
from megatron_heph.data.prefetch import prefetched


def read_samples(prefix: Path, sequence: int, samples: int, wanted: int) -> int:
    """Takes batches until they hold `wanted` bytes of tokens, two of them read ahead, as a run does: these bytes."""
    loader, _ = open_loader([prefix], sequence, samples, "window")
    steps = -(-wanted // (2 * sequence * samples))
    with prefetched(loader, range(steps), lambda batch: batch.tokens_BL.nbytes) as sizes:
        return sum(sizes)


def main() -> int:
    """One of the two, once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", type=Path)
    parser.add_argument("how", choices=("direct", "whole", "samples"))
    parser.add_argument("--bytes", type=float, default=2e9, help="of tokens, in samples (less than the file has)")
    parser.add_argument("--sequence", type=int, default=4096)
    parser.add_argument("--samples", type=int, default=256, help="of a batch")
    args = parser.parse_args()
    path = args.prefix.with_name(args.prefix.name + ".bin")
    # Memory that was in use just now: on a virtual machine the host takes back what is free, and to get it again costs
    # more than to read.  Both ways begin with as much of it.
    read_whole(path)
    drop(path)
    before, meter = _from_disk(), Meter()
    if args.how == "samples":
        done = read_samples(args.prefix, args.sequence, args.samples, min(int(args.bytes), path.stat().st_size // 2))
    else:
        done = {"direct": read_direct, "whole": read_whole}[args.how](path)
    cost, read = meter.cost(), _from_disk() - before
    sys.stdout.write(json.dumps({**asdict(cost), "rate": done / cost.wall, "read": read / done}) + "\n")
    return 0


def _from_disk() -> int:
    """Bytes that this process has had fetched from disks (proc(5), io)."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes:"))


if __name__ == "__main__":
    raise SystemExit(main())
