"""`heph train`: runs a recipe, here or under a launcher."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

EXAMPLE = "heph train examples/quickstart/train.toml optim.lr=2e-4"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="a recipe file (TOML)")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as stage.broad.lr=1e-4")


def run(args: argparse.Namespace) -> int:
    """Checks everything that can be checked, then trains; goes on where the run folder's run stands."""
    from megatron_heph.cli.live_line import LiveLine
    from megatron_heph.data.source_orders import prepare
    from megatron_heph.data.sources import open_heldout, open_training
    from megatron_heph.recipe.resolve import load_recipe, resolve
    from megatron_heph.train.local import run_local
    from megatron_heph.train.run_folder import RunFolder, is_finished
    from megatron_heph.train.worker import run_here, this_machine

    world = int(os.environ["WORLD_SIZE"]) if "WORLD_SIZE" in os.environ else None
    machine = this_machine(world)
    resolved = resolve(load_recipe(args.recipe, args.overrides), machine)
    folder = RunFolder(resolved.run)
    resolved = folder.settle(resolved)
    if folder.exists:
        folder.check_same(resolved)
    saved, sources = folder.newest(), open_training(resolved)
    open_heldout(resolved)
    progress = LiveLine("train")
    prepare(resolved, sources, progress.counting, progress.warn)
    progress.end()
    finished = saved is not None and is_finished(resolved, sources, saved)  # before anything is written
    if os.environ.get("RANK", "0") == "0":
        changes = folder.changes(resolved) if saved else []
        folder.prepare(resolved)
        for line in changes:
            print(f"changed from here on: {line}", file=sys.stderr)
    if finished:
        print(f"{folder.path} is finished: all {saved.step if saved else 0} steps are there", file=sys.stderr)
    elif world is not None or resolved.grid.world == 1:
        run_here(resolved, folder)
    else:
        run_local(folder, resolved.grid.world, machine.cores)
    return 0
