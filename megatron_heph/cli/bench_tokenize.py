"""`heph bench tokenize`: JSONL to .bin/.idx, ours and others'."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from megatron_heph.bench.card import Card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what it takes beside the options of every benchmark."""
    parser.add_argument("--corpus", type=Path, required=True, metavar="FILE", help="JSONL with a key `text`")
    parser.add_argument("--tokenizer", type=Path, required=True, metavar="DIR", help="folder with tokenizer.json")
    parser.add_argument("--megatron-lm", type=Path, metavar="DIR", help="a checkout (without: its rows are left out)")
    parser.add_argument("--peer-python", default=sys.executable, metavar="P", help="interpreter of the peers")
    parser.add_argument("--ours", choices=("heph", "preprocess_data"), default="heph", help="which of our commands")
    parser.add_argument("--repeat-bytes", type=float, default=4e9, metavar="N", help="input of the row `memory`")


def measure(args: argparse.Namespace, work: Path, rows: tuple[str, ...], say: Callable[[str], None]) -> Card:
    """Runs it."""
    from megatron_heph.bench.tokenize import bench_tokenize
    from megatron_heph.bench.tokenize_tools import Settings

    settings = Settings(
        corpus=args.corpus, tokenizer=args.tokenizer, work=work,
        megatron_lm=args.megatron_lm and args.megatron_lm.resolve(), peer_python=args.peer_python, ours=args.ours,
        runs=args.runs, rows=rows, repeat_bytes=int(args.repeat_bytes),
    )  # fmt: skip
    return bench_tokenize(settings, say)
