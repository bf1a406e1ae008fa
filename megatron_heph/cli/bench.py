"""`heph bench`: ours against others, on this machine; each benchmark has a module of its own."""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from megatron_heph.bench.card import Card

EXAMPLE = "heph bench loader --pair bench-data/pair --card card.md"

# what is measured -> help; the module is bench_<name> in this package, with `add_arguments` and `measure`.
_BENCHMARKS = {
    "tokenize": "heph tokenize against Megatron-LM, datatrove and raw engines",
    "index": "from the start to the first batch, against Megatron's indices",
    "loader": "batches from the page cache and from a cold disk, against GPTDataset",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the sub-commands of `heph bench`, and what they have in common."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="{" + ",".join(_BENCHMARKS) + "}")
    for name, text in _BENCHMARKS.items():
        module = importlib.import_module(f"megatron_heph.cli.bench_{name}")
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        module.add_arguments(sub)
        sub.add_argument("--runs", type=int, default=5, metavar="N", help="rounds of paired runs (default: 5)")
        sub.add_argument("--rows", default="", metavar="A,B", help="only these rows (default: all)")
        sub.add_argument("--work", type=Path, metavar="DIR", help="folder for what is written (default: temporary)")
        sub.add_argument("--card", type=Path, metavar="FILE.md", help="write the card there, and as .json beside it")
        sub.add_argument("--json", action="store_true", help="print the card as JSON")
        sub.set_defaults(measure=module.measure)


def run(args: argparse.Namespace) -> int:
    """Measures, and prints the card."""
    from megatron_heph.errors import InputError

    if args.runs < 1:
        raise InputError(f"--runs is {args.runs}; it is 1 or more (default 5).")
    measure: Callable[[argparse.Namespace, Path, tuple[str, ...], Callable[[str], None]], Card] = args.measure
    with tempfile.TemporaryDirectory(prefix="heph-bench-") as scratch:
        work = (args.work or Path(scratch)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        rows = tuple(filter(None, args.rows.split(",")))
        card = measure(args, work, rows, lambda line: print(line, file=sys.stderr, flush=True))
    if args.card:
        card.write(args.card)
    print(card.json() if args.json else card.markdown())
    return 0
