"""Sources whose tokens are their positions, so that a sample says where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from megatron_heph.data.sources import Sources, TrainingSource
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.recipe.resolve import recipe_from_table, resolve
from megatron_heph.recipe.resolved import Machine, Resolved
from megatron_heph.recipe.tree import Source
from support import tiny

VOCAB = 60_000


def write_positions(prefix: Path, tokens: int, rng: np.random.Generator | None = None, mean: int = 40) -> None:
    """A pair of `tokens` tokens 0, 1, 2, ... in documents of random lengths."""
    rng = rng or np.random.default_rng(tokens)
    lengths = rng.geometric(1 / mean, size=tokens)
    cuts = np.cumsum(lengths)
    tiny.write_pair(prefix, np.split(np.arange(tokens), cuts[cuts < tokens]))


def position_sources(folder: Path, sizes: dict[str, int], **keys: Any) -> Sources:
    """Opened sources of these sizes, in the order of their names; `keys` are those of `[data.sources.NAME]`."""
    for name, size in sizes.items():
        if not (folder / f"{name}.bin").exists():
            write_positions(folder / name, size)
    return {
        name: TrainingSource(
            name, TokenizedSource.open(folder / name), Source(path=str(folder / name), **{"domain": "text", **keys})
        )
        for name in sorted(sizes)
    }


def resolved_for(
    sources: Sources, stages: list[dict[str, Any]] | None = None, *, block: int, seed: int = 3, **data: Any
) -> Resolved:
    """A recipe of a tiny fresh model over these sources."""
    nodes = {
        name: {key: getattr(source.node, key) for key in ("path", "domain", "window")}
        | {key: value for key in ("weight", "max_epochs") if (value := getattr(source.node, key)) is not None}
        | {"at_cap": source.node.at_cap}
        for name, source in sources.items()
    }
    table = {**tiny.RECIPE, "seed": seed, "data": {"sources": nodes, "block": block, **data}}
    table["model"] = {**table["model"], "vocab": VOCAB}
    domains = {source.node.domain for source in sources.values()}
    table["stage"] = stages or [
        {"name": "only", "tokens": 1024, "sequence": 1, "batch": 8, "mixture": dict.fromkeys(sorted(domains), 1.0)}
    ]
    return resolve(recipe_from_table(table), Machine(cores=1, gpus=0, world=1))
