"""GPTDataset of megatron-core, built as pretrain_gpt.py builds it."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

# What GPTDataset asks of a tokenizer; a pad id that no text holds, so that nothing counts as padding.
TOKENIZER = SimpleNamespace(eod=0, pad=-1, vocab_size=50_000, unique_identifiers={"class": "none"})


def one_process() -> None:
    """A process group of this process alone."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)


def build(
    prefixes: list[str],
    weights: list[float] | None,
    samples: int,
    sequence: int,
    cache: Path,
    mask: bool = False,
    documents: bool = False,
) -> Any:
    """The training dataset: a BlendedDataset of several prefixes, a GPTDataset of one.

    `mask`: with an attention mask; `documents`: positions begin anew in each, and its end has no loss.
    """
    warnings.simplefilter("ignore")
    config = GPTDatasetConfig(
        random_seed=1, sequence_length=sequence, blend=(prefixes, weights), split="1,0,0", path_to_cache=str(cache),
        tokenizer=TOKENIZER, reset_position_ids=documents, reset_attention_mask=False, eod_mask_loss=documents,
        create_attention_mask=mask,
    )  # fmt: skip
    return BlendedMegatronDatasetBuilder(GPTDataset, [samples, 0, 0], lambda: True, config).build()[0]
