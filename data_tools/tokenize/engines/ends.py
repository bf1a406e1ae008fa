"""What stands at the ends of a document, and what a tokenizer_config.json beside a tokenizer.json adds to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from data_tools.tokenize.engines.base import Engine
from data_tools.tokenize.engines.huggingface import HuggingFaceEngine
from megatron_heph.errors import InputError, nearest

PRETRAINING_EOD = "<|endoftext|>"
_NAMED = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


def choose_eod(special: dict[str, int], asked: str | None, eos: str | None, file: Path) -> str:
    """The token that ends documents: the one asked for, else `<|endoftext|>`, else the eos of the file.

    Raises InputError if there is none, or it is not a special token.
    """
    if asked is None:
        asked = PRETRAINING_EOD if PRETRAINING_EOD in special else eos
    if asked is None:
        raise InputError(
            f"{file} does not say which token ends a document: it has no {PRETRAINING_EOD}, and no "
            f"eos_token stands in a tokenizer_config.json beside it. Name it with --eod; "
            f"{nearest('</s>', special)}"
        )
    if asked not in special:
        raise InputError(
            f"{asked!r} is to end every document, but it is not a special token of {file}, so that ordinary "
            f"text could hold it. Name another with --eod; {nearest(asked, special)}"
        )
    return asked


def template_of(reference: Engine, file: Path) -> tuple[list[int], list[int]]:
    """The ids that a tokenizer.json puts before and after a text; InputError if that is not clear."""
    if not isinstance(reference, HuggingFaceEngine):
        raise InputError(
            f"--special-tokens is parse+template, but {file} has no template: only a tokenizer.json has one. "
            f"Use --special-tokens parse."
        )
    config, (before, after) = tokenizer_config(file), reference.template
    for key, ids in (("add_bos_token", before), ("add_eos_token", after)):
        if key in config and bool(config[key]) != bool(ids):
            raise InputError(
                f"{file.with_name('tokenizer_config.json')} has {key} = {config[key]}, but the post-processor "
                f"of {file.name} adds {ids or 'nothing'} there: which one is meant depends on the version of "
                f"transformers. Make the two agree, or use --special-tokens parse, without a template."
            )
    return before, after


def eos_of_config(file: Path) -> str | None:
    """The eos token that the tokenizer_config.json beside a tokenizer.json names."""
    return _content(tokenizer_config(file).get("eos_token"))


def check_named_tokens(reference: Engine, file: Path) -> None:
    """Refuses to parse where transformers would add tokens that are not in the tokenizer.json.

    It adds every token that tokenizer_config.json names and the other file lacks; a text that holds it would
    have other ids here.  Raises InputError.
    """
    if not isinstance(reference, HuggingFaceEngine):
        return
    config = tokenizer_config(file)
    named = [_content(config.get(f"{name}_token")) for name in _NAMED]
    named += [_content(token) for token in config.get("additional_special_tokens") or []]
    named += [_content(token) for token in (config.get("added_tokens_decoder") or {}).values()]
    lacking = sorted({token for token in named if token} - reference.added)
    if lacking:
        raise InputError(
            f"{file.with_name('tokenizer_config.json')} names {', '.join(map(repr, lacking[:5]))}, which "
            f"{file.name} does not have among its added tokens: transformers would read them out of the text, "
            f"and other programs would not. Save the tokenizer again (save_pretrained), or use "
            f"--special-tokens text."
        )


def _content(token: Any) -> str | None:
    return token.get("content") if isinstance(token, dict) else token     # older files hold the whole AddedToken


def tokenizer_config(file: Path) -> dict[str, Any]:
    """The tokenizer_config.json beside a tokenizer.json; empty if there is none."""
    path = file.with_name("tokenizer_config.json")
    try:
        table = json.loads(path.read_bytes()) if path.is_file() else {}
    except ValueError:
        table = None
    if not isinstance(table, dict):
        raise InputError(f"{path} is not a JSON object: copy the tokenizer again.")
    return table
