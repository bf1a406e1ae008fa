"""A tiny model and tiny sources, small enough that a grid of processes trains it in a second."""

from __future__ import annotations

import copy
import struct
from pathlib import Path
from typing import Any

import numpy as np

VOCAB = 256
SEQUENCE = 32

RECIPE: dict[str, Any] = {
    "name": "tiny",
    "seed": 7,
    "model": {"layers": 4, "hidden": 64, "heads": 4, "kv_heads": 2, "ffn": 96, "vocab": VOCAB, "tied": True},
    "precision": {"format": "fp32"},
    "optim": {"lr": 3e-3},
    "observe": {"tensorboard": False},
    "stage": [
        {
            "name": "broad", "tokens": 1536, "sequence": SEQUENCE, "batch": 256, "micro_batch": 2,
            "mixture": {"agent": 0.5, "code": 0.25, "text": 0.25}, "schedule": {"kind": "constant"},
        }
    ],
}  # fmt: skip


def write_pair(prefix: Path, documents: list[np.ndarray]) -> None:
    """A plain Megatron pair, uint16, written from the format's description and not by the code under test."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    lengths = np.array([len(d) for d in documents], np.int32)
    pointers = np.r_[0, np.cumsum(lengths[:-1], dtype=np.int64) * 2]
    prefix.with_name(prefix.name + ".bin").write_bytes(np.concatenate(documents).astype(np.uint16).tobytes())
    header = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, len(lengths), len(lengths) + 1)
    order = np.arange(len(lengths) + 1, dtype=np.int64)
    body = lengths.tobytes() + pointers.astype(np.int64).tobytes() + order.tobytes()
    prefix.with_name(prefix.name + ".idx").write_bytes(header + body)


def write_sources(folder: Path) -> dict[str, Any]:
    """Three sources and held-out sets of arithmetic sequences; returns the `[data]` table of a recipe."""
    rng = np.random.default_rng(0)
    table: dict[str, Any] = {"sources": {}, "heldout": {}}
    for stride, (domain, documents) in enumerate({"agent": 40, "code": 25, "text": 30}.items(), 1):
        for part, count in (("train", documents), ("heldout", 6)):
            rows = [(rng.integers(VOCAB) + stride * np.arange(rng.integers(30, 90))) % VOCAB for _ in range(count)]
            write_pair(folder / part / domain, rows)
        table["sources"][domain] = {"path": str(folder / "train" / domain), "domain": domain}
        table["heldout"][domain] = str(folder / "heldout" / domain)
    return table


def recipe(sources: dict[str, Any], run: Path, **parallel: Any) -> dict[str, Any]:
    """The tiny recipe on the given `[data]` table, in the run folder `run`, as a plain table."""
    table = copy.deepcopy(RECIPE)
    return {**table, "data": sources, "run": str(run), "parallel": {"data": 1, **parallel}}
