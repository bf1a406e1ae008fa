"""The layer specification of the `torch` backend: megatron's layers with our own norm and attention."""

from __future__ import annotations

from typing import Any

import torch

from megatron_heph.engine.attention import CoreAttention
from megatron_heph.engine.core import (
    ModuleSpec,
    TransformerBlockSubmodules,
    TransformerConfig,
    get_gpt_layer_local_spec,
    get_num_layers_to_build,
)


class RMSNorm(torch.nn.RMSNorm):
    """Root-mean-square norm (Zhang & Sennrich, arXiv 1910.07467) that also works under sequence parallelism.

    megatron's own wrapper refuses sequence parallelism; all it takes is to mark the weight, so that
    `finalize_model_grads` adds its gradient over the tensor group.
    """

    def __init__(self, config: TransformerConfig, hidden_size: int, eps: float = 1e-5, **_: Any) -> None:
        super().__init__(hidden_size, eps=eps)
        setattr(self.weight, "sequence_parallel", config.sequence_parallel)  # noqa: B010


def block_spec(config: TransformerConfig, vp_stage: int | None) -> TransformerBlockSubmodules:
    """The layers of this pipeline rank (and virtual stage), and the final norm."""
    layer: ModuleSpec = get_gpt_layer_local_spec(normalization="RMSNorm")
    layer.submodules.input_layernorm = RMSNorm
    layer.submodules.pre_mlp_layernorm = RMSNorm
    layer.submodules.self_attention.submodules.core_attention = CoreAttention
    count = get_num_layers_to_build(config, vp_stage=vp_stage)
    return TransformerBlockSubmodules(layer_specs=[layer] * count, layer_norm=RMSNorm)
