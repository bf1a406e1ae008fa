"""Recipes of the tiny model, resolved in this process, and a base folder that only looks like one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from megatron_heph.recipe.resolve import recipe_from_table, resolve
from megatron_heph.recipe.resolved import Machine, Resolved
from support import tiny

ONE = Machine(cores=1, gpus=0)


def resolved(data: dict[str, Any], *overrides: str, machine: Machine = ONE, run: Path = Path("nowhere")) -> Resolved:
    """The tiny recipe with overrides."""
    return resolve(recipe_from_table(tiny.recipe(data, run), overrides), machine)


def fake_base(folder: Path, tokenizer_hash: str = "0" * 64, **shape: Any) -> Path:
    """A base folder with a record and no weights: enough for everything before the first process."""
    sizes = {
        "family": "llama", "layers": 4, "hidden": 64, "heads": 4, "kv_heads": 2, "head_dim": 16, "ffn": 96,
        "vocab": tiny.VOCAB, "max_positions": 128, "rope_theta": 10000.0, "norm_eps": 1e-5, "tied": True,
    }  # fmt: skip
    folder.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text("{}")
    record = {
        "shape": sizes | shape, "label": "a base of a test", "source": "m.gguf", "source_sha256": "ab",
        "dtype": "float32", "tokenizer_sha256": tokenizer_hash, "files": {"tokenizer.json": 2},
    }  # fmt: skip
    (folder / "heph.json").write_text(json.dumps(record))
    return folder
