"""`heph bench`: ours against others, on this machine."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

EXAMPLE = "heph bench tokenize --corpus c400.jsonl --tokenizer llama3 --megatron-lm Megatron-LM --card card.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the sub-commands of `heph bench`."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    tokenize = commands.add_parser("tokenize", help="heph tokenize against Megatron-LM, datatrove and raw engines")
    tokenize.add_argument("--corpus", type=Path, required=True, metavar="FILE", help="JSONL with a key `text`")
    tokenize.add_argument("--tokenizer", type=Path, required=True, metavar="DIR", help="folder with tokenizer.json")
    tokenize.add_argument("--megatron-lm", type=Path, metavar="DIR", help="a checkout (without: its rows are left out)")
    tokenize.add_argument("--peer-python", default=sys.executable, metavar="P", help="interpreter of the peers")
    tokenize.add_argument("--ours", choices=("heph", "preprocess_data"), default="heph", help="which of our commands")
    tokenize.add_argument("--runs", type=int, default=5, metavar="N", help="rounds of paired runs (default: 5)")
    tokenize.add_argument("--rows", default="", metavar="A,B", help="only these rows (default: all)")
    tokenize.add_argument("--repeat-bytes", type=float, default=4e9, metavar="N", help="input of the row `memory`")
    tokenize.add_argument("--work", type=Path, metavar="DIR", help="folder for inputs and outputs (default: temporary)")
    tokenize.add_argument("--card", type=Path, metavar="FILE.md", help="write the card there, and as .json beside it")
    tokenize.add_argument("--json", action="store_true", help="print the card as JSON")


def run(args: argparse.Namespace) -> int:
    """Measures, and prints the card."""
    from megatron_heph.bench.tokenize import bench_tokenize
    from megatron_heph.bench.tokenize_tools import Settings
    from megatron_heph.errors import InputError

    if args.runs < 1:
        raise InputError(f"--runs is {args.runs}; it is 1 or more (default 5).")
    with tempfile.TemporaryDirectory(prefix="heph-bench-") as scratch:
        settings = Settings(
            corpus=args.corpus, tokenizer=args.tokenizer, work=(args.work or Path(scratch)).resolve(),
            megatron_lm=args.megatron_lm and args.megatron_lm.resolve(), peer_python=args.peer_python, ours=args.ours,
            runs=args.runs, rows=tuple(filter(None, args.rows.split(","))), repeat_bytes=int(args.repeat_bytes),
        )  # fmt: skip
        card = bench_tokenize(settings, lambda line: print(line, file=sys.stderr, flush=True))
    if args.card:
        card.write(args.card)
    print(card.json() if args.json else card.markdown())
    return 0
