"""A model as the Hugging Face world knows it: what a reader gives and a writer takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from megatron_heph.recipe.shape import ModelShape


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceModel:
    """A model read from somewhere, under Hugging Face names."""

    shape: ModelShape
    tensors: Mapping[str, Tensor]
    config: dict[str, Any]  # config.json
    tokenizer: dict[str, bytes]  # file name -> content; tokenizer.json is always there
    generation_config: dict[str, Any] | None
    label: str


def stored_dtype(tensors: Mapping[str, Tensor]) -> str:
    """The name of the widest dtype among the tensors, such as "bfloat16"."""
    widest = max((tensor.dtype for tensor in tensors.values()), key=lambda dtype: dtype.itemsize)
    return str(widest).removeprefix("torch.")
