"""Samples as megatron-core makes them: the reference of `megatron_heph.data.megatron_order`.

As a program, `python -m support.megatron_samples CASES OUT`: of the cases in a JSON file, for another megatron-core
than the one that is installed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np


def megatron_samples(
    prefixes: list[str],
    weights: list[float] | None,
    *,
    sequence: int,
    samples: int,
    seed: int,
    split: str | None,
    surplus: float = 0.005,
    extra_token: bool = True,
) -> np.ndarray:
    """All samples of the train split: int64 [samples, sequence + 1], or [samples, sequence] without the extra token."""
    from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

    blend = (prefixes, weights)
    config = GPTDatasetConfig(
        random_seed=seed,
        sequence_length=sequence,
        blend=None if split is None else blend,
        blend_per_split=[blend, None, None] if split is None else None,
        split=split,
        tokenizer=SimpleNamespace(vocab_size=65536, eod=0, unique_identifiers={"class": "none"}),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=False,
        create_attention_mask=False,
        mid_level_dataset_surplus=surplus,
        add_extra_token_to_sequence=extra_token,
    )
    train = BlendedMegatronDatasetBuilder(GPTDataset, [samples, 1, 1], lambda: True, config).build()[0]
    rows = [train[index] for index in range(len(train))]
    last = [row["labels"][-1:] if extra_token else row["labels"][:0] for row in rows]
    return np.stack([np.concatenate([row["tokens"], end]) for row, end in zip(rows, last, strict=True)])


def main(cases: Path, out: Path) -> None:
    """Writes `out` (.npz): the samples of each case by its name."""
    from megatron_heph.engine import shims

    shims.SHIMS["triton"]()  # without it 0.19 cannot be imported
    table: dict[str, dict[str, Any]] = json.loads(cases.read_text())
    np.savez(out, **{name: megatron_samples(**case) for name, case in table.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
