"""`heph inspect run`: what a run has done so far, from its record."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

EXAMPLE = "heph inspect run runs/quickstart"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, and whether a program reads the answer."""
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder (the one with metrics.jsonl)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def run(args: argparse.Namespace) -> int:
    """Prints the state of the run."""
    from megatron_heph.observe.overview import overview, overview_lines

    table: dict[str, Any] = overview(args.run, now=time.time())
    print(json.dumps(table, indent=2) if args.json else "\n".join(overview_lines(table)))
    return 0
