"""What the tokenizer types of Megatron-LM mean in our options.

Sources: Megatron-LM's `megatron/core/tokenizers/utils/build_tokenizer.py` and the libraries beside it.
HuggingFaceTokenizer and GPT2BPETokenizer call transformers, which parses special tokens out of the text and
puts the template around it; TikTokenizer allows all special tokens; sentencepiece reads none.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.tokenize.engines.ends import eos_of_config, tokenizer_config
from data_tools.tokenize.engines.sentencepiece_engine import SentencePieceEngine
from megatron_heph.errors import InputError, nearest
from megatron_heph.formats.tiktoken_schemes import MEGATRON_SPECIAL, Scheme, megatron_scheme
from megatron_heph.formats.tokenizer import find_tokenizer_file

_GPT2_EOD = "<|endoftext|>"
TYPES = {
    "HuggingFaceTokenizer": "huggingface",
    "SentencePieceTokenizer": "sentencepiece",
    "GPTSentencePieceTokenizer": "sentencepiece",
    "Llama2Tokenizer": "sentencepiece",
    "TikTokenizer": "tiktoken",
    "GPT2BPETokenizer": "gpt2",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """What a tokenizer type of Megatron-LM means in our options."""

    tokenizer: Path
    special_tokens: str
    eod: str | None             # None: it names none
    scheme: Scheme | None = None


def choose(args: argparse.Namespace, scratch: Path) -> Choice:
    """The tokenizer, its special-token policy and its end-of-document token, as Megatron-LM has them.

    `scratch` is a folder for a tokenizer.json where only a vocabulary and merges are given.
    Raises InputError for a type or flags that are not supported.
    """
    kind = TYPES.get(args.tokenizer_type)
    if kind is None:
        raise InputError(
            f"--tokenizer-type is {args.tokenizer_type!r}, which is not for pretraining text, or unknown; "
            f"{nearest(args.tokenizer_type, TYPES)}"
        )
    if args.tokenizer_special_tokens and kind != "tiktoken":
        raise InputError(
            f"--tokenizer-special-tokens adds tokens to the vocabulary of {args.tokenizer_type}, which is only "
            f"done for TikTokenizer: add them to the tokenizer itself, and leave the flag out."
        )
    if kind == "gpt2":
        return _gpt2(args, scratch)
    if args.tokenizer_model is None:
        raise InputError(f"--tokenizer-type {args.tokenizer_type} needs --tokenizer-model, a folder or file.")
    file = find_tokenizer_file(args.tokenizer_model)
    if kind == "tiktoken":
        return Choice(file, "parse", "</s>", _tiktoken_scheme(args))
    if kind == "sentencepiece":
        return Choice(file, "text", SentencePieceEngine(file, "text").eos)
    if file.suffix != ".json":
        raise InputError(
            f"--tokenizer-type HuggingFaceTokenizer needs a tokenizer.json, and {file} is none: save it with "
            f"the model's fast tokenizer, or use --tokenizer-type SentencePieceTokenizer."
        )
    policy = "parse" if args.tokenizer_hf_no_include_special_tokens else "parse+template"
    return Choice(file, policy, eos_of_config(file) or tokenizer_config(file).get("sep_token"))


def _tiktoken_scheme(args: argparse.Namespace) -> Scheme:
    names, count = args.tokenizer_special_tokens or list(MEGATRON_SPECIAL), args.tiktoken_num_special_tokens
    if lacking := set(MEGATRON_SPECIAL) - set(names):
        raise InputError(
            f"--tokenizer-special-tokens lacks {', '.join(sorted(lacking))}: TikTokenizer needs "
            f"{', '.join(MEGATRON_SPECIAL)}."
        )
    if len(set(names)) < len(names) or not len(names) <= count < args.vocab_size:
        raise InputError(
            f"--tokenizer-special-tokens names {len(names)} tokens ({len(set(names))} different ones), "
            f"--tiktoken-num-special-tokens is {count} and --vocab-size {args.vocab_size}: each must be larger "
            f"than the one before it, and no token named twice."
        )
    return megatron_scheme(args.tiktoken_pattern, names, count, args.vocab_size)


def _gpt2(args: argparse.Namespace, scratch: Path) -> Choice:
    if args.vocab_file is None or args.merge_file is None:
        raise InputError("--tokenizer-type GPT2BPETokenizer needs --vocab-file (JSON) and --merge-file (text).")
    try:
        vocabulary = json.loads(args.vocab_file.read_bytes())
        lines = args.merge_file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"--vocab-file {args.vocab_file} or --merge-file cannot be read: {error}.") from error
    folder = scratch / "gpt2"
    folder.mkdir()
    merges = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    (folder / "tokenizer.json").write_text(json.dumps(_gpt2_table(vocabulary, merges)), encoding="utf-8")
    return Choice(folder, "parse", _GPT2_EOD)


def _gpt2_table(vocabulary: dict[str, int], merges: list[list[str]]) -> dict[str, Any]:
    """The tokenizer.json of a vocabulary and merges of GPT-2's kind."""
    eod = {"id": vocabulary.get(_GPT2_EOD, len(vocabulary)), "content": _GPT2_EOD, "special": True}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [eod | flags], "normalizer": None,
        "pre_tokenizer": level, "post_processor": None, "decoder": level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": vocabulary, "merges": merges,
        },
    }  # fmt: skip
