"""Attention within documents against attention over the whole sample: CPU time forward and backward, one thread.

    python benchmarks/attention_segments.py [--length 2048] [--rows 2] [--heads 8] [--segments 4,16,64,256]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from megatron_heph.engine.attention import CoreAttention
from megatron_heph.engine.core import TransformerConfig
from megatron_heph.engine.segments import Segments

_SIZE, _RUNS = 64, 5


def seconds(layer: CoreAttention, length: int, rows: int, heads: int, segments: int) -> float:
    """CPU seconds of one pass, of equally long segments in each row; 0 segments: the whole row."""
    q, k, v = (torch.randn(length, rows, heads, _SIZE, requires_grad=True) for _ in range(3))
    packed = None
    if segments:
        cu_seqlens = torch.arange(0, rows * length + 1, length // segments, dtype=torch.int32)
        packed = Segments(cu_seqlens, (rows, length), torch.device("cpu"))
    begin = time.process_time()
    layer(q, k, v, None, packed_seq_params=packed).sum().backward()
    return time.process_time() - begin


def main() -> None:
    """Prints the time of whole rows, and the share of it that segments take."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("length", 2048), ("rows", 2), ("heads", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--segments", default="4,16,64,256", help="in a row")
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = TransformerConfig(
        num_layers=1, hidden_size=args.heads * _SIZE, num_attention_heads=args.heads, use_cpu_initialization=True
    )
    layer = CoreAttention(config, 1, None, "self")
    counts = [0, *map(int, args.segments.split(","))]
    found: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(_RUNS + 1):
        for count in counts:
            found[count].append(seconds(layer, args.length, args.rows, args.heads, count))
    whole = statistics.median(found[0][1:])         # the first round warms up
    print(f"whole rows: {whole * 1e3:.0f} ms")
    for count in counts[1:]:
        print(f"{count:4} segments a row: {statistics.median(found[count][1:]) / whole:.2f} of it")


if __name__ == "__main__":
    main()
