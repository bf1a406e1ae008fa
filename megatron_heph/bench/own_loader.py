"""Our loader on some sources, opened as a run opens it."""

from __future__ import annotations

from pathlib import Path

from megatron_heph.data.loader import Loader
from megatron_heph.data.segments import Point
from megatron_heph.data.sources import open_training
from megatron_heph.data.timeline import parts
from megatron_heph.errors import InputError
from megatron_heph.recipe.resolve import recipe_from_table, resolve
from megatron_heph.recipe.resolved import Machine

_VOCAB = 50_000
_MODEL = {"family": "llama", "layers": 1, "hidden": 64, "heads": 1, "ffn": 64, "vocab": _VOCAB}
_TOKENS = 10**12            # of the run: any number, nothing grows with it


def open_loader(prefixes: list[Path], sequence: int, samples: int, attention: str) -> tuple[Loader, int]:
    """The first loader of a run that reads all sources by their tokens, `samples` samples a step; and these tokens.

    `attention` is "window" or "document".
    """
    sources = {path.name: {"path": str(path), "domain": "text", "attention": attention} for path in prefixes}
    batch = samples * sequence
    stage = {
        "name": "bench", "tokens": _TOKENS // batch * batch, "sequence": sequence, "batch": batch,
        "mixture": {"text": 1.0}, "schedule": {"kind": "constant"},
    }  # fmt: skip
    table = {"name": "bench", "model": _MODEL, "data": {"sources": sources}, "optim": {"lr": 1e-4}, "stage": [stage]}
    resolved = resolve(recipe_from_table(table), Machine(cores=1, gpus=0))
    opened = open_training(resolved)
    loader = next(parts(resolved, opened, Point())).loader
    assert isinstance(loader, Loader), loader       # of our own order: the recipe asks for no other
    return loader, sum(source.total_tokens for source in opened.values())


def sources_in(folder: Path) -> list[Path]:
    """The prefixes of the sources in a folder that have a manifest, by name.  Raises InputError without any."""
    suffix = ".manifest.json"
    found = sorted(folder / path.name.removesuffix(suffix) for path in folder.glob(f"*{suffix}"))
    if not found:
        raise InputError(f"There is no *{suffix} in {folder}: benchmarks/data/make_sources.py makes some.")
    return found
