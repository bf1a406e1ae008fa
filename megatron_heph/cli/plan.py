"""`heph plan`: says what a recipe would do, before it does it."""

from __future__ import annotations

import argparse
import json
import math
import os
from pathlib import Path

EXAMPLE = "heph plan examples/quickstart/train.toml parallel.data=4 --tokens-per-second 2000"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="a recipe file (TOML)")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as parallel.tensor=2")
    parser.add_argument(
        "--tokens-per-second",
        type=_positive,
        metavar="X",
        help="of all processes together, for the time (default: what this run has measured before, if it has)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(args: argparse.Namespace) -> int:
    """Prints the plan; starts no process and allocates no model."""
    from megatron_heph.planning.plan import make_plan, to_table
    from megatron_heph.planning.show import lines
    from megatron_heph.recipe.resolve import load_recipe, resolve
    from megatron_heph.train.worker import this_machine

    world = int(os.environ["WORLD_SIZE"]) if "WORLD_SIZE" in os.environ else None
    resolved = resolve(load_recipe(args.recipe, args.overrides), this_machine(world))
    plan = make_plan(resolved, args.tokens_per_second)
    print(json.dumps(to_table(plan), indent=2) if args.json else "\n".join(lines(plan)))
    return 0


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of tokens per second; it is above 0, such as 2000")
    return number
