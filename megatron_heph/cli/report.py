"""`heph report`: writes a run's report.html."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLE = "heph report runs/quickstart --control runs/quickstart-control"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, its control arm, and where to write."""
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder (the one with metrics.jsonl)")
    parser.add_argument(
        "--control",
        type=Path,
        metavar="RUN2",
        help="a run from the same base over as many tokens without agent data, to tell learning from repair",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where to write (default: RUN/report.html)"
    )


def run(args: argparse.Namespace) -> int:
    """Writes the report and says where it is."""
    from megatron_heph.observe.report.page import write_report

    print(write_report(args.run, args.control, args.output))
    return 0
