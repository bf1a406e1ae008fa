"""`heph inspect diff`: what one recipe or run reads otherwise than another."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

EXAMPLE = "heph inspect diff runs/quickstart changed.toml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The two that are compared."""
    parser.add_argument("first", type=Path, metavar="A", help="a run's folder, or a recipe file")
    parser.add_argument("second", type=Path, metavar="B", help="the same; a recipe beside a run: what it goes on with")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def run(args: argparse.Namespace) -> int:
    """Prints shares, tokens and epochs of every source, of both."""
    from megatron_heph.planning.diff import lines, sides

    a, b = sides(args.first, args.second)
    print(json.dumps({"a": asdict(a), "b": asdict(b)}, indent=1) if args.json else "\n".join(lines(a, b)))
    return 0
