"""The bridge of the Llama family: Hugging Face's `LlamaForCausalLM` <-> megatron-core's `GPTModel`.

All tensors are whole, as without tensor parallelism; megatron's names are those of its local layer
specification.  docs/convert.md has the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from megatron_heph.checkpoint.convert.fused import fuse_gate_up, fuse_qkv, split_gate_up, split_qkv
from megatron_heph.checkpoint.convert.hf_config import check_keys, required, rope_theta
from megatron_heph.checkpoint.convert.names import Shapes, check_tensors
from megatron_heph.recipe.shape import ModelShape

MODEL_TYPE = "llama"
ARCHITECTURE = "LlamaForCausalLM"

_READ = (
    "num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim",
    "intermediate_size", "vocab_size", "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings",
    "rope_theta", "rope_scaling", "rope_parameters",
)  # fmt: skip
_FIXED = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "attention_dropout": 0.0}

# megatron name -> HF name of the tensors that are the same on both sides; {i} is the layer.
_TOP = {
    "embedding.word_embeddings.weight": "model.embed_tokens.weight",
    "decoder.final_layernorm.weight": "model.norm.weight",
}
_OUTPUT = {"output_layer.weight": "lm_head.weight"}
_SAME = {
    "decoder.layers.{i}.input_layernorm.weight": "model.layers.{i}.input_layernorm.weight",
    "decoder.layers.{i}.self_attention.linear_proj.weight": "model.layers.{i}.self_attn.o_proj.weight",
    "decoder.layers.{i}.pre_mlp_layernorm.weight": "model.layers.{i}.post_attention_layernorm.weight",
    "decoder.layers.{i}.mlp.linear_fc2.weight": "model.layers.{i}.mlp.down_proj.weight",
}
_QKV = "decoder.layers.{i}.self_attention.linear_qkv.weight"
_QKV_PARTS = tuple(f"model.layers.{{i}}.self_attn.{part}_proj.weight" for part in "qkv")
_FC1 = "decoder.layers.{i}.mlp.linear_fc1.weight"
_FC1_PARTS = tuple(f"model.layers.{{i}}.mlp.{part}_proj.weight" for part in ("gate", "up"))


def shape_from_config(config: Mapping[str, Any], where: str) -> ModelShape:
    """Reads config.json; RefusedError names a key that the bridge does not honour."""
    check_keys(config, _READ, _FIXED, where)
    hidden, heads = (required(config, key, int, where) for key in ("hidden_size", "num_attention_heads"))
    return ModelShape(
        family=MODEL_TYPE,
        layers=required(config, "num_hidden_layers", int, where),
        hidden=hidden,
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or hidden // heads,
        ffn=required(config, "intermediate_size", int, where),
        vocab=required(config, "vocab_size", int, where),
        max_positions=required(config, "max_position_embeddings", int, where),
        rope_theta=rope_theta(config, where),
        norm_eps=required(config, "rms_norm_eps", float, where),
        tied=bool(config.get("tie_word_embeddings", False)),
    )


def config_from_shape(shape: ModelShape) -> dict[str, Any]:
    """A config.json that both older and newer versions of transformers read alike."""
    return {
        "architectures": [ARCHITECTURE],
        "model_type": MODEL_TYPE,
        "num_hidden_layers": shape.layers,
        "hidden_size": shape.hidden,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "intermediate_size": shape.ffn,
        "vocab_size": shape.vocab,
        "max_position_embeddings": shape.max_positions,
        "rope_theta": shape.rope_theta,  # read by transformers 4
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},  # read by transformers 5
        "rms_norm_eps": shape.norm_eps,
        "tie_word_embeddings": shape.tied,
        **_FIXED,
    }


def from_hf(shape: ModelShape, tensors: Mapping[str, Tensor], where: str = "the model") -> dict[str, Tensor]:
    """HF names -> megatron names.

    Raises InputError that names a missing, unknown or wrongly shaped tensor.
    """
    check_tensors(tensors, hf_shapes(shape), where)
    result = {ours: tensors[theirs] for ours, theirs in _unchanged(shape).items()}
    for i in range(shape.layers):
        q, k, v = (tensors[name.format(i=i)] for name in _QKV_PARTS)
        result[_QKV.format(i=i)] = fuse_qkv(q, k, v, shape.kv_heads)
        gate_FH, up_FH = (tensors[name.format(i=i)] for name in _FC1_PARTS)
        result[_FC1.format(i=i)] = fuse_gate_up(gate_FH, up_FH)
    return result


def to_hf(shape: ModelShape, tensors: Mapping[str, Tensor], where: str = "the model") -> dict[str, Tensor]:
    """Megatron names -> HF names: the exact inverse of `from_hf`, with the same errors."""
    check_tensors(tensors, megatron_shapes(shape), where)
    result = {theirs: tensors[ours] for ours, theirs in _unchanged(shape).items()}
    for i in range(shape.layers):
        parts = split_qkv(tensors[_QKV.format(i=i)], shape.kv_heads, shape.head_dim)
        result |= {name.format(i=i): part for name, part in zip(_QKV_PARTS, parts, strict=True)}
        halves = split_gate_up(tensors[_FC1.format(i=i)])
        result |= {name.format(i=i): half for name, half in zip(_FC1_PARTS, halves, strict=True)}
    return result


def hf_shapes(shape: ModelShape) -> Shapes:
    """Every HF tensor name with its shape."""
    result = {theirs: _size(theirs, shape) for theirs in _unchanged(shape).values()}
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    for i in range(shape.layers):
        for name, rows in zip(_QKV_PARTS, (q, kv, kv), strict=True):
            result[name.format(i=i)] = (rows, shape.hidden)
        for name in _FC1_PARTS:
            result[name.format(i=i)] = (shape.ffn, shape.hidden)
    return result


def megatron_shapes(shape: ModelShape) -> Shapes:
    """Every megatron tensor name with its whole shape."""
    result = {ours: _size(theirs, shape) for ours, theirs in _unchanged(shape).items()}
    for i in range(shape.layers):
        result[_QKV.format(i=i)] = ((shape.heads + 2 * shape.kv_heads) * shape.head_dim, shape.hidden)
        result[_FC1.format(i=i)] = (2 * shape.ffn, shape.hidden)
    return result


def _unchanged(shape: ModelShape) -> dict[str, str]:
    names = {**_TOP, **({} if shape.tied else _OUTPUT)}
    for i in range(shape.layers):
        names |= {ours.format(i=i): theirs.format(i=i) for ours, theirs in _SAME.items()}
    return names


def _size(hf_name: str, shape: ModelShape) -> tuple[int, ...]:
    """The shape of a tensor that is the same on both sides."""
    if hf_name in ("model.embed_tokens.weight", "lm_head.weight"):
        return (shape.vocab, shape.hidden)
    if hf_name.endswith("o_proj.weight"):
        return (shape.hidden, shape.heads * shape.head_dim)
    if hf_name.endswith("down_proj.weight"):
        return (shape.hidden, shape.ffn)
    return (shape.hidden,)
