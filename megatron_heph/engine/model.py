"""Builds megatron-core's GPTModel from our ModelShape."""

from __future__ import annotations

import warnings

import torch

from megatron_heph.engine.core import GPTModel, TransformerConfig, parallel_state
from megatron_heph.engine.layers import block_spec
from megatron_heph.engine.rotary import SegmentRotary
from megatron_heph.engine.shims import cpu_tensors_pass_for_cuda
from megatron_heph.recipe.resolved import GridSize
from megatron_heph.recipe.shape import ModelShape
from megatron_heph.recipe.tree import Parallel

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def transformer_config(
    shape: ModelShape, size: GridSize, parallel: Parallel, dtype: torch.dtype
) -> TransformerConfig:
    """megatron's configuration for a shape on a grid.

    Fusions that need apex or Transformer Engine are off.  The loss is normalised by the global number
    of trained tokens (`calculate_per_token_loss`), so that masks and uneven parts change nothing.
    """
    overlap = parallel.virtual > 1 if parallel.p2p == "auto" else parallel.p2p == "overlap"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about a default of CUDA graphs, which are off
        return _config(shape, size, parallel, dtype, overlap)


def _config(
    shape: ModelShape, size: GridSize, parallel: Parallel, dtype: torch.dtype, overlap: bool
) -> TransformerConfig:
    return TransformerConfig(
        num_layers=shape.layers,
        hidden_size=shape.hidden,
        num_attention_heads=shape.heads,
        num_query_groups=shape.kv_heads,
        kv_channels=shape.head_dim,
        ffn_hidden_size=shape.ffn,
        normalization="RMSNorm",
        layernorm_epsilon=shape.norm_eps,
        gated_linear_unit=True,
        activation_func=torch.nn.functional.silu,
        add_bias_linear=False,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        tensor_model_parallel_size=size.tensor,
        pipeline_model_parallel_size=size.pipeline,
        virtual_pipeline_model_parallel_size=parallel.virtual if parallel.virtual > 1 else None,
        context_parallel_size=size.context,
        sequence_parallel=parallel.sequence,
        params_dtype=dtype,
        pipeline_dtype=dtype,
        bf16=dtype is torch.bfloat16,
        use_cpu_initialization=not torch.cuda.is_available(),
        init_method=_leave_unset,
        output_layer_init_method=_leave_unset,
        calculate_per_token_loss=True,
        gradient_accumulation_fusion=False,
        masked_softmax_fusion=False,
        bias_activation_fusion=False,
        bias_dropout_fusion=False,
        apply_rope_fusion=False,
        persist_layer_norm=False,
        overlap_p2p_comm=overlap,
        batch_p2p_comm=not overlap,
        batch_p2p_sync=False,
    )


def _leave_unset(weight: torch.Tensor) -> torch.Tensor:
    """Weights come from a base, or from init.py; megatron still marks how they are cut."""
    return weight


def build_model(shape: ModelShape, config: TransformerConfig, *, gather_logits: bool = False) -> list[GPTModel]:
    """The chunks of the model that this process holds (one, or `parallel.virtual`), weights unset.

    With `gather_logits` the output is the whole vocabulary on every tensor rank.
    """
    count = config.virtual_pipeline_model_parallel_size
    with cpu_tensors_pass_for_cuda():
        chunks = [_chunk(shape, config, gather_logits, stage if count else None) for stage in range(count or 1)]
    device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
    return [chunk.to(device=device, dtype=config.params_dtype) for chunk in chunks]


def _chunk(shape: ModelShape, config: TransformerConfig, gather_logits: bool, vp_stage: int | None) -> GPTModel:
    where = {"ignore_virtual": vp_stage is None} | ({"vp_stage": vp_stage} if vp_stage is not None else {})
    model = GPTModel(
        config,
        block_spec(config, vp_stage),
        vocab_size=shape.vocab,
        max_sequence_length=shape.max_positions,
        pre_process=parallel_state.is_pipeline_first_stage(**where),
        post_process=parallel_state.is_pipeline_last_stage(**where),
        parallel_output=not gather_logits,
        share_embeddings_and_output_weights=shape.tied,
        position_embedding_type="rope",
        rotary_base=shape.rope_theta,
        vp_stage=vp_stage,
    )
    model.rotary_pos_emb = SegmentRotary(model.rotary_pos_emb)
    return model
