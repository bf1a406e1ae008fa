"""`heph inspect run`: what a run has done so far, from its record; or what it read at a step, from arithmetic."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from megatron_heph.train.history import DocumentPart

EXAMPLE = "heph inspect run runs/quickstart --at 12"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, a step of it, and whether a program reads the answer."""
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder (the one with metrics.jsonl)")
    parser.add_argument("--at", type=int, metavar="STEP", help="list the documents of this step, done or to come")
    parser.add_argument(
        "--document", metavar="SOURCE:N", help="list the steps, done or to come, that read document N of a source"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def run(args: argparse.Namespace) -> int:
    """Prints the state of the run, the documents of a step, or the steps of a document."""
    if args.at is not None:
        return _documents(args)
    if args.document is not None:
        return _steps(args)
    from megatron_heph.observe.overview import overview, overview_lines

    table: dict[str, Any] = overview(args.run, now=time.time())
    print(json.dumps(table, indent=2) if args.json else "\n".join(overview_lines(table)))
    return 0


def _documents(args: argparse.Namespace) -> int:
    from megatron_heph.train.history import History
    from megatron_heph.train.run_folder import RunFolder

    parts = History.open(RunFolder(args.run)).documents(args.at)
    if args.json:
        print(json.dumps({"step": args.at, "documents": [asdict(part) for part in parts]}, indent=1))
    else:
        print("\n".join(_lines(args.at, parts)))
        print("\n`heph inspect data PATH --document N --tokenizer T` shows the text of one.")
    return 0


def _steps(args: argparse.Namespace) -> int:
    from megatron_heph.errors import InputError
    from megatron_heph.train.history import History
    from megatron_heph.train.run_folder import RunFolder

    source, _, number = args.document.rpartition(":")
    if not source or not number.isdecimal():
        raise InputError(f"--document is {args.document!r}; it names a source and a number in it, such as api:17.")
    history = History.open(RunFolder(args.run))
    steps = history.steps_of(source, int(number))
    done = history.saved.step if history.saved else 0
    if args.json:
        print(json.dumps({"source": source, "document": int(number), "steps": steps, "done": done}))
        return 0
    read, ahead = [step for step in steps if step <= done], [step for step in steps if step > done]
    print(f"document {number} of {source}: read at step {', '.join(map(str, read)) or '(none)'}")
    if ahead:
        print(f"to come, after step {done}: {', '.join(map(str, ahead))}")
    return 0


def _lines(step: int, parts: list[DocumentPart]) -> list[str]:
    from megatron_heph.observe.overview import aligned

    rows = [
        (str(part.sample), part.source, part.shard, f"{part.document:,}", f"{part.tokens:,}",
         f"{part.first:,} to {part.first + part.count - 1:,}", f"{part.start:,}")
        for part in parts
    ]  # fmt: skip
    header = ("sample", "source", "shard", "document", "its tokens", "read", "position in the source")
    documents = len({(part.source, part.shard, part.document) for part in parts})
    samples = len({part.sample for part in parts})
    return [f"step {step}: {samples} samples, {documents} documents", *aligned(header, rows)]
