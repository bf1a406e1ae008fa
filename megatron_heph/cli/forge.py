"""`heph forge`: make a corpus by a recipe."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

EXAMPLE = "heph forge examples/quickstart/forge.toml output=corpora/mine reader.aws.max_documents=100"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument("recipe", type=Path, help="a forge recipe (TOML)")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="changes keys, as in reader.NAME.key=value"
    )
    parser.add_argument(
        "--force", action="store_true", help="make the corpus anew, and replace the one that stands"
    )
    parser.add_argument("--json", action="store_true", help="print the manifest's totals as JSON")


def run(args: argparse.Namespace) -> int:
    """Runs the recipe; prints a table, or JSON."""
    from data_tools.forge import forge
    from data_tools.recipe import read_recipe
    from megatron_heph.cli.inspect_corpus import summary_lines

    recipe = read_recipe(args.recipe, args.overrides)
    forged = forge(recipe, force=args.force, progress=_Progress())
    if args.json:
        print(json.dumps({"folder": str(forged.folder), "made": forged.made, **_totals(forged.manifest)}))
        return 0
    if not forged.made:
        print(f"{forged.folder} stands already: same recipe, packages and code. --force makes it anew.")
    print("\n".join(summary_lines(forged.manifest)))
    print(f"\ncorpus: {forged.folder}\nnext:   heph inspect corpus {forged.folder} --show 2")
    return 0


def _totals(manifest: dict[str, Any]) -> dict[str, Any]:
    return {key: manifest[key] for key in ("name", "fingerprint", "domains")}


class _Progress:
    """A line that is overwritten on a terminal; a line when a source is done elsewhere."""

    def __init__(self) -> None:
        self.started: dict[str, float] = {}

    def __call__(self, source: str, done: int, total: int, documents: int) -> None:
        elapsed = time.monotonic() - self.started.setdefault(source, time.monotonic())
        line = f"{source}: {done}/{total} units, {documents:,} documents"
        if sys.stderr.isatty():
            left = f", {elapsed / max(1, done - 1) * (total - done):.0f} s left" if 1 < done < total else ""
            print(f"\r\033[K{line}{left}", end="\n" if done == total else "", file=sys.stderr, flush=True)
        elif done == total:
            print(line, file=sys.stderr)
