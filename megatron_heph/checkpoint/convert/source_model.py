"""A model as the Hugging Face world knows it: what a reader gives and a writer takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from megatron_heph.recipe.shape import ModelShape


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceModel:
    """A model read from somewhere; all its tensors share one dtype, float32 or bfloat16."""

    shape: ModelShape
    tensors: Mapping[str, Tensor]
    config: dict[str, Any]  # config.json
    tokenizer: dict[str, bytes]  # file name -> content; tokenizer.json is always there
    generation_config: dict[str, Any] | None
    label: str


def uniform(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in one dtype: bfloat16 if all are, else float32, which holds every value exactly."""
    wanted = torch.bfloat16 if all(t.dtype is torch.bfloat16 for t in tensors.values()) else torch.float32
    return {name: tensor.to(wanted) for name, tensor in tensors.items()}


def dtype_name(tensors: Mapping[str, Tensor]) -> str:
    """The name of the dtype that all tensors share, such as "bfloat16"."""
    (dtype,) = {tensor.dtype for tensor in tensors.values()}
    return str(dtype).removeprefix("torch.")
