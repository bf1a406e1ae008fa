"""Byte-level BPE tokenizers of every kind that the native engine knows, as `tokenizers` and as `tiktoken` have them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from support.hard_texts import hard_texts

from data_tools.tokenize.engines.native_support import EXPRESSIONS

ROOT = Path(__file__).parents[3]
TOKENIZERS = ROOT / ".venv" / "test-tokenizers"
EXPRESSION_OF = {name: expression for expression, name in reversed(EXPRESSIONS.items())}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
PRETOKENIZERS: dict[str, dict[str, Any]] = {
    "gpt2": BYTE_LEVEL,
    "digits": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTE_LEVEL]},
    "digit_runs": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": False}, BYTE_LEVEL]},
}
for _name in ("llama3", "qwen2", "o200k", "tekken"):
    _split = {"type": "Split", "pattern": {"Regex": EXPRESSION_OF[_name]}, "behavior": "Isolated", "invert": False}
    PRETOKENIZERS[_name] = {"type": "Sequence", "pretokenizers": [_split, {**BYTE_LEVEL, "use_regex": False}]}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def trained(pre_tokenizer: str, vocab_size: int = 1500, seed: int = 1) -> dict[str, Any]:
    """The tokenizer.json of a BPE that was trained on hard texts and on this repository's documents."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    table = json.loads(Tokenizer(models.BPE()).to_str())
    table["pre_tokenizer"] = PRETOKENIZERS[pre_tokenizer]
    tokenizer = Tokenizer.from_str(json.dumps(table))
    texts = hard_texts(seed, 1500) + [path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    loaded: dict[str, Any] = json.loads(tokenizer.to_str())
    return loaded


def qwen_ranks(count: int) -> dict[bytes, int]:
    """The first tokens of Qwen: a prefix of a BPE is a BPE."""
    lines = (TOKENIZERS / "dashscope/resources/qwen.tiktoken").read_bytes().splitlines()[:count]
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}


def tekken_ranks(count: int) -> dict[bytes, int]:
    """The first tokens of Tekken, which numbers its 1000 special tokens before them: ranks without these."""
    rows = json.loads((TOKENIZERS / "mistral_common/data/tekken_240911.json").read_bytes())["vocab"][:count]
    return {base64.b64decode(row["token_bytes"]): row["rank"] for row in rows}


def json_of_ranks(ranks: dict[bytes, int], pre_tokenizer: str, *, ignore_merges: bool) -> dict[str, Any]:
    """The tokenizer.json with the same tokens, and a merge for every way to make one of two others."""
    letters = _letters()
    names = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges = [
        [names[token[:cut]], names[token[cut:]]]
        for token in sorted(ranks, key=ranks.__getitem__)
        for cut in _cuts(token, ranks)
    ]
    model = {"type": "BPE", "vocab": {names[t]: i for t, i in ranks.items()}, "merges": merges}
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": PRETOKENIZERS[pre_tokenizer],
        "post_processor": None,
        "decoder": BYTE_LEVEL,
        "model": {**model, "ignore_merges": ignore_merges},
    }


def _cuts(token: bytes, ranks: dict[bytes, int]) -> Iterable[int]:
    cuts = [cut for cut in range(1, len(token)) if token[:cut] in ranks and token[cut:] in ranks]
    return sorted(cuts, key=lambda cut: (ranks[token[:cut]], ranks[token[cut:]]))


def _letters() -> list[str]:
    """GPT-2's character for each byte: itself where it prints, else U+0100 and on."""
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printing else next(others)) for byte in range(256)]
