"""What the native engine can do of a tokenizer: every part is matched to the letter, or named and refused."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from data_tools.tokenize.engines.base import POLICIES, UnsupportedTokenizerError

AddedSets = list[list[tuple[bytes, int, bool]]]
"""Sets of (bytes, id, stays text), searched one after the other."""

_TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_CAPITALS = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_SMALLS = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_PREFIX = r"[^\r\n\p{L}\p{N}]?"


def _cased(contractions: str, numbers: str) -> str:
    first = f"{_PREFIX}{_CAPITALS}*{_SMALLS}+{contractions}"
    second = f"{_PREFIX}{_CAPITALS}+{_SMALLS}*{contractions}"
    return rf"{first}|{second}|{numbers}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*{_TAIL}"


EXPRESSIONS: dict[str, str] = {
    # GPT-2, as OpenAI released it and as tiktoken writes it: the same language.
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": "gpt2",
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": "gpt2",
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s": "gpt2",
    _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + _TAIL: "llama3",
    _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + _TAIL: "qwen2",
    (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
    ): "cl100k",
    _cased(_CONTRACTIONS + "?", r"\p{N}{1,3}"): "o200k",
    _cased("", r"\p{N}"): "tekken",
}
"""The expressions that csrc/data/pretokenize_rules.h has a rule for, and its name."""

# Not looked at: unk_token, fuse_unk and byte_fallback, which are for characters that no token stands for; a
# document with a byte that is no token is left to the reference.
_MODEL_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "dropout": (None, 0),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
}
_ADDED_FLAGS = ("single_word", "lstrip", "rstrip")


def check_model(model: Mapping[str, Any]) -> None:
    """Raises UnsupportedTokenizerError unless the model of a tokenizer.json is a plain BPE."""
    kind = model.get("type", "BPE" if "merges" in model else None)
    if kind != "BPE" or not isinstance(model.get("vocab"), dict) or not isinstance(model.get("merges"), list):
        raise UnsupportedTokenizerError(f"its model is {kind or 'of no known type'}, not BPE")
    for key, plain in _MODEL_DEFAULTS.items():
        if model.get(key) not in plain:
            raise UnsupportedTokenizerError(f"its model has {key} = {model[key]!r}")


def normalizes(normalizer: Mapping[str, Any] | None) -> bool:
    """Whether texts are brought to normal form C; UnsupportedTokenizerError for any other normalizer."""
    if normalizer is None:
        return False
    if normalizer == {"type": "NFC"}:
        return True
    if normalizer.get("type") == "Sequence" and not normalizer.get("normalizers"):
        return False
    raise UnsupportedTokenizerError(f"its normalizer is {_kind(normalizer)}")


def pattern_of_expression(expression: str) -> str:
    """The name of an expression's scanner."""
    if expression not in EXPRESSIONS:
        raise UnsupportedTokenizerError(f"it cuts words by the unknown expression {expression!r}")
    return EXPRESSIONS[expression]


def pattern_of_json(pre_tokenizer: Mapping[str, Any] | None) -> str:
    """The name of the scanner for the pre_tokenizer of a tokenizer.json."""
    if pre_tokenizer is None:
        raise UnsupportedTokenizerError("it has no pre_tokenizer")
    steps = pre_tokenizer["pretokenizers"] if pre_tokenizer.get("type") == "Sequence" else [pre_tokenizer]
    last = steps[-1] if steps else {}
    if last.get("type") != "ByteLevel":
        raise UnsupportedTokenizerError(f"its pre_tokenizer is {_kind(pre_tokenizer)}, without ByteLevel at the end")
    if last.get("add_prefix_space", True):
        raise UnsupportedTokenizerError("its ByteLevel pre_tokenizer has add_prefix_space = true")
    own_expression = last.get("use_regex", True)
    first = steps[0]
    if len(steps) == 1 and own_expression:
        return "gpt2"
    if len(steps) == 2 and own_expression and first.get("type") == "Digits":
        return "digits" if first.get("individual_digits", False) else "digit_runs"
    if len(steps) == 2 and not own_expression and first.get("type") == "Split":
        plain = first.get("behavior") == "Isolated" and first.get("invert") is False
        expression = (first.get("pattern") or {}).get("Regex")
        if plain and isinstance(expression, str):
            return pattern_of_expression(expression)
    raise UnsupportedTokenizerError(f"its pre_tokenizer is {_kind(pre_tokenizer)}")


def added_sets(
    added: Sequence[Mapping[str, Any]], vocab: Mapping[str, int], special_tokens: str, normalized: bool
) -> tuple[AddedSets, dict[str, int]]:
    """The added tokens of a tokenizer.json as `tokenizers` searches for them, and the special ones by name.

    It looks first for those that are not normalized, and in what is left for the others.  Under the policy
    `text` a special token is found all the same and left as text, so that no other begins within it.
    """
    _check_policy(special_tokens)
    sets: AddedSets = [[], []]
    special: dict[str, int] = {}
    highest = len(vocab) - 1
    seen: set[str] = set()
    for token in sorted(added, key=lambda token: token["id"]):
        content, index = token["content"], token["id"]
        flags = [flag for flag in _ADDED_FLAGS if token.get(flag)]
        if flags:
            raise UnsupportedTokenizerError(f"its added token {content!r} has {flags[0]} = true")
        # The library numbers added tokens itself: by the vocabulary, else one after the other.
        expected = vocab.get(content, highest + 1)
        if not content or content in seen or index != expected:
            raise UnsupportedTokenizerError(f"its added token {content!r} has the id {index}, not {expected}")
        highest = max(highest, index)
        seen.add(content)
        late = bool(token.get("normalized", not token.get("special")))
        if late and normalized and not unicodedata.is_normalized("NFC", content):
            raise UnsupportedTokenizerError(f"its added token {content!r} is not in normal form C")
        skipped = bool(token.get("special")) and special_tokens == "text"
        sets[late].append((content.encode(), index, skipped))
        if token.get("special"):
            special[content] = index
    return sets, special


def special_sets(special: Mapping[str, int], special_tokens: str) -> AddedSets:
    """The special tokens of a tiktoken encoding."""
    _check_policy(special_tokens)
    names = sorted(special)
    for name, following in itertools.pairwise(names):
        if following.startswith(name):     # tiktoken takes either, by the order of a hash table
            raise UnsupportedTokenizerError(f"its special token {following!r} begins with another, {name!r}")
    return [[(name.encode(), special[name], special_tokens == "text") for name in names]]


def _check_policy(special_tokens: str) -> None:
    if special_tokens not in POLICIES:
        raise ValueError(f"special_tokens is {special_tokens!r}, not one of {POLICIES}")


def _kind(part: Mapping[str, Any]) -> str:
    """The types that a part of a tokenizer.json is made of."""
    inner = part.get("pretokenizers") or part.get("normalizers") or []
    return f"{part.get('type')}({', '.join(_kind(step) for step in inner)})" if inner else str(part.get("type"))
