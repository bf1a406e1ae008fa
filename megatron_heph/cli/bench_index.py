"""`heph bench index`: what a run does before its first batch."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from megatron_heph.bench.card import Card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what it takes beside the options of every benchmark."""
    parser.add_argument("--sources", type=Path, required=True, metavar="DIR", help="sources with manifests, for ours")
    parser.add_argument("--peer", type=Path, metavar="DIR", help="plain pairs, for Megatron (default: without it)")
    parser.add_argument("--sequence", type=int, default=4096, metavar="N", help="tokens of a sample (default: 4096)")


def measure(args: argparse.Namespace, work: Path, rows: tuple[str, ...], say: Callable[[str], None]) -> Card:
    """Runs it."""
    from megatron_heph.bench.index import Settings, bench_index

    settings = Settings(
        sources=args.sources.resolve(), peer=args.peer and args.peer.resolve(), work=work, sequence=args.sequence,
        runs=args.runs, rows=rows,
    )  # fmt: skip
    return bench_index(settings, say)
