"""`heph inspect corpus`: what is in a forged corpus, and what was left out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the mode's arguments."""
    parser.add_argument("folder", type=Path, help="a corpus folder, as `heph forge` makes it")
    parser.add_argument(
        "--show", type=int, default=0, metavar="N", help="also print N documents of each source"
    )
    parser.add_argument("--source", help="of this source alone")
    parser.add_argument("--json", action="store_true", help="print the manifest")


def run(args: argparse.Namespace) -> int:
    """Prints the table, and documents on request."""
    from data_tools.manifest import read_manifest
    from megatron_heph.errors import InputError, nearest

    manifest = read_manifest(args.folder)
    if args.source is not None and args.source not in manifest["sources"]:
        raise InputError(
            f"{args.folder} has no source {args.source!r}; {nearest(args.source, manifest['sources'])}"
        )
    if args.json:
        print(json.dumps(manifest, ensure_ascii=False))
        return 0
    print("\n".join(summary_lines(manifest, args.source)))
    for text in _samples(args.folder, manifest, args.source, args.show):
        print(text)
    return 0


def summary_lines(manifest: dict[str, Any], only: str | None = None) -> Iterator[str]:
    """A table of the sources, a line of their licences, and what each step dropped."""
    yield f"{'domain':<8} {'source':<14} {'part':<8} {'documents':>10} {'characters':>12} {'providers':>10}"
    chosen = {name: row for name, row in manifest["sources"].items() if only in (None, name)}
    for name, row in sorted(chosen.items(), key=lambda pair: (pair[1]["domain"], pair[0])):
        for part in ("train", "heldout"):
            numbers = row[part]
            yield (
                f"{row['domain']:<8} {name:<14} {part:<8} {numbers['documents']:>10,} "
                f"{numbers['characters']:>12,} {len(numbers['providers']):>10,}"
            )
    for name, row in chosen.items():
        licenses = {**row["heldout"]["licenses"], **row["train"]["licenses"]}
        yield f"\n{name}: {', '.join(sorted(licenses))}"
        for step, reasons in row["dropped"].items():
            for reason, documents in reasons.items():
                yield f"  dropped by {step}: {documents:,} {reason}"
        for kind, found in row["masked"].items():
            yield f"  masked: {found:,} {kind}"


def _samples(folder: Path, manifest: dict[str, Any], only: str | None, count: int) -> Iterator[str]:
    from megatron_heph.formats.document import read_documents

    for name, row in manifest["sources"].items():
        first = folder / row["domain"] / f"{name}-00000.jsonl.zst"
        if only not in (None, name) or count < 1 or not first.is_file():
            continue
        # Evenly spread, so that they come from several providers.
        step = max(1, row["train"]["documents"] // count)
        for document in islice(read_documents(first), 0, step * count, step):
            yield f"\n{'─' * 8} {document.id} ({document.license}, {len(document.full_text):,} characters)\n"
            yield document.full_text
