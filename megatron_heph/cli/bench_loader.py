"""`heph bench loader`: batches from the page cache and from a cold disk."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from megatron_heph.bench.card import Card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what it takes beside the options of every benchmark."""
    parser.add_argument("--pair", type=Path, required=True, metavar="PREFIX", help="a Megatron pair of uint16 tokens")
    parser.add_argument("--sequence", type=int, default=4096, metavar="N", help="tokens of a sample (default: 4096)")
    parser.add_argument("--samples", type=int, default=4, metavar="N", help="samples of a batch (default: 4)")
    parser.add_argument("--batches", type=int, default=2000, metavar="N", help="batches in a run (default: 2000)")


def measure(args: argparse.Namespace, work: Path, rows: tuple[str, ...], say: Callable[[str], None]) -> Card:
    """Runs it."""
    from megatron_heph.bench.loader import Settings, bench_loader

    settings = Settings(
        pair=args.pair.absolute(), work=work, sequence=args.sequence, samples=args.samples, batches=args.batches,
        runs=args.runs, rows=rows,
    )  # fmt: skip
    return bench_loader(settings, say)
