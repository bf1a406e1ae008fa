"""Reads config.json so that no key that changes the mathematics is ever passed over.

A key is read into the shape, or must have the one value that the engine computes, or is known not
to matter.  Any other key is refused by name and value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from megatron_heph.errors import InputError, RefusedError, nearest

# Keys that change neither the logits nor the training of a dense decoder.
HARMLESS = (
    "_attn_implementation", "_name_or_path", "architectures", "bos_token_id", "chunk_size_feed_forward",
    "decoder_start_token_id", "dtype", "eos_token_id", "finetuning_task", "id2label", "initializer_range",
    "is_llama_config", "label2id", "model_type", "output_attentions", "output_hidden_states", "pad_token_id",
    "prefix", "pretraining_tp", "problem_type", "return_dict", "sep_token_id", "task_specific_params",
    "tokenizer_class", "torch_dtype", "torchscript", "transformers.js_config", "transformers_version",
    "unk_token_id", "use_cache",
)  # fmt: skip
# Keys of every family that are harmless at this value only.
NEUTRAL: dict[str, Any] = {
    "add_cross_attention": False, "cross_attention_hidden_size": None, "is_decoder": False,
    "is_encoder_decoder": False, "partial_rotary_factor": 1.0, "pruned_heads": {}, "rope_interleaved": False,
    "tf_legacy_loss": False, "tie_encoder_decoder": False, "use_bfloat16": False,
}  # fmt: skip
_ROPE_NEUTRAL = {"rope_type": "default", "type": "default", "partial_rotary_factor": 1.0}
_DEFAULT_THETA = 10000.0  # what transformers assumes where the key is absent


def check_keys(
    config: Mapping[str, Any], reads: Collection[str], fixed: Mapping[str, Any], where: str
) -> None:
    """Raises RefusedError, by name and value, for a key that the conversion would not honour.

    `reads` are the keys that go into the shape; `fixed` are the values that the family's bridge computes.
    """
    only = {**NEUTRAL, **fixed}
    for key, value in config.items():
        if value is None or key in reads or key in HARMLESS:
            continue
        if key in only:
            if value != only[key]:
                raise RefusedError(
                    f"{where}: {key} is {value!r}, but only {only[key]!r} is supported; "
                    f"converting it would give a model that computes something else."
                )
            continue
        raise RefusedError(
            f"{where}: the key {key} = {value!r} is not understood, and may change what the model computes; "
            f"{nearest(key, [*reads, *only])} If it changes nothing, remove it from config.json."
        )


def required(config: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    """The value of a key that has no safe default; InputError if it is absent or of another type."""
    value = config.get(key)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{where}: {key} is {value!r}; it needs {kind.__name__}.")
    return value


def rope_theta(config: Mapping[str, Any], where: str) -> float:
    """The base of the rotary frequencies, from `rope_theta` or `rope_parameters`.

    Raises RefusedError for every kind of scaling, and if the two keys contradict each other.
    """
    found: dict[str, float] = {}
    if config.get("rope_theta") is not None:
        found["rope_theta"] = float(config["rope_theta"])
    for key in ("rope_scaling", "rope_parameters"):
        for name, value in (config.get(key) or {}).items():
            if name == "rope_theta":
                found[f"{key}.rope_theta"] = float(value)
            elif value is not None and (name not in _ROPE_NEUTRAL or value != _ROPE_NEUTRAL[name]):
                raise RefusedError(
                    f"{where}: {key} has {name} = {value!r}; scaled rotary positions are not supported, only "
                    f"rope_type = 'default'. Ignoring it would give a model that computes something else."
                )
    if len(set(found.values())) > 1:
        raise RefusedError(f"{where}: the keys {found} contradict each other; leave one of them.")
    return next(iter(found.values()), _DEFAULT_THETA)
