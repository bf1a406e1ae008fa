"""Rebuilds a byte-level BPE tokenizer from GGUF metadata.

`tokenizer.ggml.pre` names how text is split before merging.  It must be honoured: without the digit
splitting of "smollm" a number such as 2026 becomes other tokens than the model was trained on.
"""

from __future__ import annotations

import json
from typing import Any

from megatron_heph.checkpoint.convert.gguf_metadata import Metadata
from megatron_heph.errors import InputError, RefusedError

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5  # ggml's token types that a byte-level BPE has
_KNOWN = (
    "model", "pre", "tokens", "token_type", "merges", "scores", "bos_token_id", "eos_token_id",
    "unknown_token_id", "padding_token_id", "eot_token_id", "eom_token_id", "seperator_token_id",
    "separator_token_id", "mask_token_id", "cls_token_id", "fim_pre_token_id", "fim_suf_token_id",
    "fim_mid_token_id", "fim_pad_token_id", "fim_rep_token_id", "fim_sep_token_id", "add_bos_token",
    "add_eos_token", "add_space_prefix",
)  # fmt: skip
_ROLES = {"bos": "bos_token_id", "eos": "eos_token_id", "pad": "padding_token_id", "unk": "unknown_token_id"}


def special_ids(metadata: Metadata, where: str) -> dict[str, int]:
    """The ids of "bos", "eos", "pad" and "unk", those that the file names."""
    tokens = metadata.get("tokenizer.ggml.tokens", [])
    found = {role: metadata.get(f"tokenizer.ggml.{key}") for role, key in _ROLES.items()}
    ids = {role: int(value) for role, value in found.items() if value is not None}
    for role, value in ids.items():
        if value >= len(tokens):
            raise InputError(
                f"{where}: tokenizer.ggml.{_ROLES[role]} is {value}, but there are {len(tokens)} tokens."
            )
    return ids


def tokenizer_files(metadata: Metadata, max_positions: int, where: str) -> dict[str, bytes]:
    """tokenizer.json and tokenizer_config.json.

    Raises RefusedError for a tokenizer that cannot be rebuilt exactly, InputError for broken metadata.
    """
    _check(metadata, where)
    tokenizer = _build(metadata, where)
    tokens, ids = metadata["tokenizer.ggml.tokens"], special_ids(metadata, where)
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_positions,
        "clean_up_tokenization_spaces": False,
        **{f"{role}_token": tokens[value] for role, value in ids.items()},
    }
    if template := metadata.get("tokenizer.chat_template"):
        config["chat_template"] = template
    pretty = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    return {
        "tokenizer.json": tokenizer.to_str(pretty=True).encode(),
        "tokenizer_config.json": pretty.encode(),
    }


def _check(metadata: Metadata, where: str) -> None:
    kind = metadata.get("tokenizer.ggml.model")
    if kind != "gpt2":
        raise RefusedError(
            f"{where}: tokenizer.ggml.model is {kind!r}; only 'gpt2' (byte-level BPE) is rebuilt from GGUF. "
            f"Import the model's safetensors folder, which has its tokenizer.json."
        )
    for name, value in metadata.items():
        key = name.removeprefix("tokenizer.ggml.")
        if not name.startswith("tokenizer.") or name.startswith("tokenizer.chat_template"):
            continue
        if key not in _KNOWN or (key == "add_space_prefix" and value):
            shown = repr(value) if len(repr(value)) < 60 else "(long)"
            raise RefusedError(
                f"{where}: the metadata {name} = {shown} is not understood, and it may change how text "
                f"becomes tokens."
            )
    for key in ("tokens", "token_type", "merges"):
        if not isinstance(metadata.get(f"tokenizer.ggml.{key}"), list):
            raise InputError(
                f"{where}: the metadata tokenizer.ggml.{key} is missing; the tokenizer is incomplete."
            )


def _build(metadata: Metadata, where: str) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models

    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    types: list[int] = metadata["tokenizer.ggml.token_type"]
    vocab = {token: number for number, token in enumerate(tokens)}
    if len(vocab) != len(tokens) or len(types) != len(tokens):
        raise InputError(
            f"{where}: {len(tokens)} tokens, {len(vocab)} different ones, {len(types)} token types."
        )
    if strange := set(types) - {_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED}:
        raise RefusedError(f"{where}: a byte-level BPE has no tokens of the types {sorted(strange)}.")
    # A space separates the two parts, and is in neither: byte-level BPE writes it as Ġ.
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    if bad := [merge for merge in merges if len(merge) != 2 or not {*merge, "".join(merge)} <= vocab.keys()]:
        raise InputError(f"{where}: the merge {bad[0]} does not join two tokens of the vocabulary.")
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = _splitter(metadata, where)
    tokenizer.decoder = decoders.ByteLevel()
    for wanted in (_CONTROL, _USER_DEFINED):
        chosen = [token for token, kind in zip(tokens, types, strict=True) if kind == wanted]
        added = [AddedToken(token, special=wanted == _CONTROL, normalized=False) for token in chosen]
        tokenizer.add_special_tokens(added) if wanted == _CONTROL else tokenizer.add_tokens(added)
    _add_ends(tokenizer, metadata, where)
    return tokenizer


def _splitter(metadata: Metadata, where: str) -> Any:
    from tokenizers import pre_tokenizers

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    known = {
        "gpt-2": lambda: byte_level,
        "smollm": lambda: pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), byte_level]
        ),
    }
    pre = metadata.get("tokenizer.ggml.pre")
    if pre not in known:
        # "default", or none, means that the file's maker did not know: guessing would be silent.
        raise RefusedError(
            f"{where}: tokenizer.ggml.pre is {pre!r}, and how it splits text is not known here; known are "
            f"{', '.join(map(repr, known))}. Import the model's safetensors folder, which has its "
            f"tokenizer.json."
        )
    return known[pre]()


def _add_ends(tokenizer: Any, metadata: Metadata, where: str) -> None:
    """The tokens that are put around every text, where the file asks for them."""
    from tokenizers import processors

    tokens, ids = metadata["tokenizer.ggml.tokens"], special_ids(metadata, where)
    wanted = {role: bool(metadata.get(f"tokenizer.ggml.add_{role}_token", False)) for role in ("bos", "eos")}
    if not any(wanted.values()):
        return
    if absent := [role for role, asked in wanted.items() if asked and role not in ids]:
        raise InputError(f"{where}: add_{absent[0]}_token is set, but {absent[0]}_token_id is not.")
    ends = {role: tokens[ids[role]] for role, asked in wanted.items() if asked}
    template = [ends.get("bos"), "$A", ends.get("eos")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[part for part in template if part],
        special_tokens=[(token, ids[role]) for role, token in ends.items()],
    )
