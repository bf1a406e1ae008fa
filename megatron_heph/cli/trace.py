"""`heph trace`: runs one step of any run again, on one process, and names the documents behind its loss."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from megatron_heph.train.trace import DocumentTrace, StepTrace

EXAMPLE = "heph trace runs/quickstart --step 12"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder, of any grid")
    parser.add_argument("--step", type=int, required=True, metavar="N", help="the step, counted from 1")
    parser.add_argument(
        "--sort", choices=("grad-norm", "loss", "order"), default="grad-norm",
        help="what comes first: the largest part in the step's gradient (default), the largest loss, the first sample",
    )  # fmt: skip
    parser.add_argument("--top", type=int, default=20, metavar="K", help="show so many documents (default: 20; 0: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object with all documents")


def run(args: argparse.Namespace) -> int:
    """Prints the step's loss and gradient norm beside the recorded ones, and those of its documents."""
    from megatron_heph.cli.live_line import LiveLine
    from megatron_heph.train.history import History
    from megatron_heph.train.run_folder import RunFolder
    from megatron_heph.train.trace import trace
    from megatron_heph.train.worker import silence_notes

    silence_notes()
    line = LiveLine("trace")
    try:
        found = trace(History.open(RunFolder(args.run)), args.step, line.show)
    finally:
        line.end()
    print(json.dumps(asdict(found), indent=1) if args.json else "\n".join(_lines(found, args.sort, args.top)))
    return 0


def _lines(found: StepTrace, order: str, top: int) -> list[str]:
    from megatron_heph.observe.overview import aligned

    keys = {"loss": lambda d: -d.loss, "grad-norm": lambda d: -d.grad_norm * d.weight, "order": lambda d: 0}
    shown = sorted(found.documents, key=keys[order])
    left_out = len(shown) - top if top and len(shown) > top else 0
    origin = f"the checkpoint of step {found.replayed_from}" if found.replayed_from else "where the run began"
    header = (
        "sample", "source", "shard", "document", "read", "labels", "loss", "gradient norm", "of the step's labels",
    )  # fmt: skip
    lines = [f"step {found.step}, on one process, from {origin}", *_comparison(found), ""]
    lines += aligned(header, [_row(document) for document in (shown[:top] if left_out else shown)])
    return lines + ([f"and {left_out} more (--top 0 shows all)"] if left_out else [])


def _comparison(found: StepTrace) -> list[str]:
    here = f"loss {found.loss:.6f}, gradient norm {found.grad_norm:.6f}"
    if found.recorded is None:
        return [f"here      {here}", "recorded  nothing: the run has not got to this step, or its record is gone"]
    row = found.recorded
    return [f"here      {here}", f"recorded  loss {row.loss:.6f}, gradient norm {row.grad_norm:.6f}"]


def _row(document: DocumentTrace) -> tuple[str, ...]:
    part = document.part
    return (
        str(part.sample), part.source, part.shard, f"{part.document:,}",
        f"{part.first:,} to {part.first + part.count - 1:,}", f"{document.trained:,}", f"{document.loss:.4f}",
        f"{document.grad_norm:.4f}", f"{document.weight:.1%}",
    )  # fmt: skip
