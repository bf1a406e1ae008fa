"""Reads the metadata of a GGUF file of the llama architecture, and refuses what it does not understand.

Keys are those of the GGUF specification of the ggml project.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from megatron_heph.errors import InputError, RefusedError, nearest
from megatron_heph.recipe.shape import ModelShape

ARCHITECTURE = "llama"
Metadata = Mapping[str, Any]

_READ = (
    "block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size",
    "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length",
    "attention.layer_norm_rms_epsilon", "rope.freq_base", "rope.dimension_count",
)  # fmt: skip
# Keys whose one value leaves the mathematics of a dense Llama as it is.
_FIXED = {"expert_count": 0, "expert_used_count": 0, "rope.scaling.type": "none"}
# Groups of keys that describe the file, not the model.
_DESCRIPTIVE = ("general.", "quantize.", "GGUF.", "tokenizer.")


def read_shape(metadata: Metadata, *, vocab: int, tied: bool, where: str) -> ModelShape:
    """The shape of the model; `vocab` (rows of the embedding) and `tied` come from the tensors.

    Raises RefusedError for another architecture and for a key that is not understood, InputError for a
    key that is missing or contradicts another.
    """
    check_architecture(metadata, where)
    _check_keys(metadata, where)
    hidden, heads = (integer(metadata, f"{ARCHITECTURE}.{key}", where) for key in
                     ("embedding_length", "attention.head_count"))  # fmt: skip
    shape = ModelShape(
        family="llama",
        layers=integer(metadata, "llama.block_count", where),
        hidden=hidden,
        heads=heads,
        kv_heads=integer(metadata, "llama.attention.head_count_kv", where, heads),
        head_dim=integer(metadata, "llama.attention.key_length", where, hidden // heads),
        ffn=integer(metadata, "llama.feed_forward_length", where),
        vocab=vocab,
        max_positions=integer(metadata, "llama.context_length", where),
        rope_theta=_float(metadata, "llama.rope.freq_base", where, 10000.0),
        norm_eps=_float(metadata, "llama.attention.layer_norm_rms_epsilon", where),
        tied=tied,
    )
    for key, value in (
        ("attention.value_length", shape.head_dim),
        ("rope.dimension_count", shape.head_dim),
        ("vocab_size", vocab),
    ):
        found = metadata.get(f"llama.{key}", value)
        if found != value:
            raise RefusedError(
                f"{where}: llama.{key} is {found}, but only {value} is supported for this model."
            )
    return shape


def check_architecture(metadata: Metadata, where: str) -> None:
    """Raises RefusedError unless the file holds one whole model of the llama architecture."""
    architecture = metadata.get("general.architecture")
    if architecture != ARCHITECTURE:
        raise RefusedError(
            f"{where}: general.architecture is {architecture!r}; only {ARCHITECTURE!r} is read from GGUF. "
            f"Import the model's safetensors folder instead."
        )
    if metadata.get("general.type", "model") != "model":
        raise RefusedError(
            f"{where}: general.type is {metadata['general.type']!r}, and only 'model' is read."
        )


def _check_keys(metadata: Metadata, where: str) -> None:
    for name, value in metadata.items():
        key = name.removeprefix(f"{ARCHITECTURE}.")
        if name.startswith(_DESCRIPTIVE) or (key != name and key in _READ):
            continue
        if key in _FIXED and value == _FIXED[key]:
            continue
        legal = f"only {_FIXED[key]!r} is supported" if key in _FIXED else nearest(key, [*_READ, *_FIXED])
        raise RefusedError(
            f"{where}: the metadata {name} = {value!r} is not understood and may change what the model "
            f"computes; {legal}"
        )


def integer(metadata: Metadata, key: str, where: str, default: int | None = None) -> int:
    """A whole number; a list (one value a layer) is refused, because layers would differ."""
    value = metadata.get(key, default)
    if isinstance(value, list):
        raise RefusedError(f"{where}: {key} is a list, one value a layer; only equal layers are supported.")
    if value is None:
        raise InputError(
            f"{where}: the metadata {key} is missing; the file is no complete {ARCHITECTURE} model."
        )
    return int(value)


def _float(metadata: Metadata, key: str, where: str, default: float | None = None) -> float:
    import numpy as np

    value = metadata.get(key, default)
    if value is None:
        raise InputError(
            f"{where}: the metadata {key} is missing; the file is no complete {ARCHITECTURE} model."
        )
    # GGUF stores float32: the shortest decimal that is that float32 is what the author wrote (1e-05).
    return float(str(np.float32(value)))
