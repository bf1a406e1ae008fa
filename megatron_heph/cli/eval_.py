"""`heph eval`: measures a model."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path

EXAMPLE = "heph eval losses runs/quickstart"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the subcommands."""
    modes = parser.add_subparsers(dest="mode", required=True, metavar="{losses}")
    losses = modes.add_parser("losses", help="mean loss per domain on held-out sources")
    losses.add_argument("target", type=Path, metavar="TARGET", help="a base, a run, a checkpoint or an HF folder")
    losses.add_argument("--heldout", nargs="+", metavar="DOMAIN=PREFIX", default=[], help="default: the run's own")
    losses.add_argument("--sequence", type=int, help="tokens per window (default: the run's, else 512)")
    losses.add_argument("--tokens", type=int, help="tokens per domain, at most (default: the run's, else 65536)")
    losses.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Measures and prints one line per domain."""
    from megatron_heph.evaluate.losses import measure, of_run
    from megatron_heph.train.worker import silence_notes

    silence_notes()
    run_folder = next((p for p in (args.target, args.target.parent.parent) if (p / "recipe.toml").is_file()), None)
    heldout, sequence, limit = of_run(run_folder) if run_folder else ({}, 512, 65536)
    if args.heldout:
        heldout = dict(map(_pair, args.heldout))
    losses = measure(args.target, heldout, args.sequence or sequence, args.tokens or limit)
    if args.json:
        print(json.dumps(asdict(losses)))
        return 0
    print(f"{losses.model}, windows of {losses.sequence} tokens")
    print(f"{'domain':<10}{'nats/token':>12}{'perplexity':>12}{'tokens':>10}")
    for domain, row in losses.domains.items():
        print(f"{domain:<10}{row.loss:>12.4f}{math.exp(row.loss):>12.3f}{row.tokens:>10,}")
    return 0


def _pair(text: str) -> tuple[str, str]:
    from megatron_heph.errors import InputError

    domain, equals, prefix = text.partition("=")
    if not equals:
        raise InputError(f"--heldout takes DOMAIN=PREFIX, such as agent=corpora/x/tokens/heldout/agent; got {text!r}.")
    return domain, prefix
