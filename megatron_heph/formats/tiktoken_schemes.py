"""What a file of ranks does not say: how text is cut before merging, the special tokens, and their ids.

A tiktoken file is a list of byte strings with ranks.  The regular expression and the special tokens of
an encoding stand in the program that its makers published; here they are as data.  Sources: tiktoken's
`tiktoken_ext/openai_public.py` (gpt2, cl100k, o200k), Meta's `llama_models` (llama3, llama4), Qwen's
`dashscope` (qwen), Mistral's `mistral_common` (tekken), Megatron-LM's `TikTokenTokenizer` (megatron).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from megatron_heph.errors import InputError, nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """How a file of ranks becomes a tokenizer.

    Attributes:
        pattern: regular expression whose matches are merged one by one.
        special: special tokens and their ids.
        eod: the special token that ends a document, if none is asked for.
        ranks: how many ranks of the file are used, from the first.
        shift: the id of rank 0.
        exact: the file holds just that many ranks (a longer one is another tokenizer's).
    """

    name: str
    pattern: str
    special: dict[str, int]
    eod: str
    ranks: int
    shift: int = 0
    exact: bool = True

    @property
    def vocab_size(self) -> int:
        """Largest id + 1."""
        return max(self.shift + self.ranks, *(index + 1 for index in self.special.values()))

    def digest(self) -> str:
        """The sha256 (hex) of all that decides ids."""
        parts = [self.pattern, sorted(self.special.items()), self.ranks, self.shift]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_BEFORE = r"[^\r\n\p{L}\p{N}]?"
_CASED = (
    f"{_BEFORE}{_UPPER}*{_LOWER}+{_ENDING}|{_BEFORE}{_UPPER}+{_LOWER}*{_ENDING}" + r"|\p{N}{1,3}" + _REST
)
TEKKEN_PATTERN = f"{_BEFORE}{_UPPER}*{_LOWER}+|{_BEFORE}{_UPPER}+{_LOWER}*" + r"|\p{N}" + _REST
_MEGATRON_V1 = r"[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
_GPT2 = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
_CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$"
    r"|\s*[\r\n]|\s+(?!\S)|\s"
)

_MISTRAL_SPECIAL = (
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]",
    "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
)  # fmt: skip
MEGATRON_SPECIAL = ("<unk>", "<s>", "</s>", "<mask>", "<pad>", "<cls>", "<sep>")


def _numbered(names: Sequence[str], first: int) -> dict[str, int]:
    return {name: first + index for index, name in enumerate(names)}


def _reserved(count: int, first: int = 0, kind: str = "") -> list[str]:
    return [f"<|{kind}reserved_special_token_{i}|>" for i in range(first, first + count)]


def _llama3() -> Scheme:
    names = [
        "<|begin_of_text|>", "<|end_of_text|>", *_reserved(2), "<|finetune_right_pad_id|>", "<|step_id|>",
        "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>", "<|image|>",
    ]  # fmt: skip
    special = _numbered(names + _reserved(256 - len(names), 2), 128_000)
    return Scheme(name="llama3", pattern=_WORDS, special=special, eod="<|end_of_text|>", ranks=128_000)


def _llama4() -> Scheme:
    text, vision = "text_post_train_", "vision_"
    names = [
        "<|begin_of_text|>", "<|end_of_text|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>",
        "<|header_start|>", "<|header_end|>", "<|eom|>", "<|eot|>", "<|step|>", *_reserved(6, 0, text),
        "<|python_start|>", "<|python_end|>", "<|finetune_right_pad|>", *_reserved(61, 8, text),
        "<|image_start|>", "<|image_end|>", *_reserved(2, 0, vision), "<|tile_x_separator|>",
        "<|tile_y_separator|>", *_reserved(4, 2, vision), "<|image|>", *_reserved(1, 6, vision), "<|patch|>",
        *_reserved(1041, 7, vision), *_reserved(8, 0, "reasoning_"), "<|reasoning_thinking_start|>",
        "<|reasoning_thinking_end|>",
    ]  # fmt: skip
    special = _numbered(names + _reserved(2048 - len(names)), 200_000)
    return Scheme(name="llama4", pattern=_CASED, special=special, eod="<|end_of_text|>", ranks=200_000)


def _qwen() -> Scheme:
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{i}|>" for i in range(205))]
    return Scheme(
        name="qwen", pattern=_WORDS.replace(r"\p{N}{1,3}", r"\p{N}"), special=_numbered(names, 151_643),
        eod="<|endoftext|>", ranks=151_643,
    )  # fmt: skip


def _openai(name: str, pattern: str, ranks: int, **special: int) -> Callable[[], Scheme]:
    table = {f"<|{token}|>": index for token, index in special.items()}
    return lambda: Scheme(name=name, pattern=pattern, special=table, eod="<|endoftext|>", ranks=ranks)


SCHEMES: dict[str, Callable[[], Scheme]] = {
    "llama3": _llama3,
    "llama4": _llama4,
    "qwen": _qwen,
    "gpt2": _openai("gpt2", _GPT2, 50_256, endoftext=50_256),
    "cl100k": _openai(
        "cl100k", _CL100K, 100_256,
        endoftext=100_257, fim_prefix=100_258, fim_middle=100_259, fim_suffix=100_260, endofprompt=100_276,
    ),
    "o200k": _openai("o200k", _CASED, 199_998, endoftext=199_999, endofprompt=200_018),
}  # fmt: skip

# sha256 of published rank files: these need no --scheme
_PUBLISHED = {
    "82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55": "llama3",
    "d0bdbaf59b0762c8c807617e2d8ea51420eb1b1de266df2495be755c8e0ed6ed": "llama4",
    "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186": "qwen",
    "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930": "gpt2",
    "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7": "cl100k",
    "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d": "o200k",
}


def scheme_of_ranks(data: bytes, asked: str | None, file: object) -> Scheme:
    """The scheme of a tiktoken rank file: the one asked for, or the one that it was published with.

    Raises InputError if the name is unknown, or the file is not a published one and no name is given.
    """
    name = asked or _PUBLISHED.get(hashlib.sha256(data).hexdigest())
    if name is None:
        raise InputError(
            f"{file} is a list of {data.count(b' '):,} ranks: it says neither how text is cut before merging "
            f"nor which special tokens there are, and it is none of the published files that are known here. "
            f"Name its scheme with --scheme, one of {', '.join(SCHEMES)}; or give a tokenizer.json."
        )
    if name not in SCHEMES:
        raise InputError(f"--scheme is {name!r}; {nearest(name, SCHEMES)}")
    return SCHEMES[name]()


def tekken_scheme(table: dict[str, Any], file: object) -> Scheme:
    """The scheme that a Tekken file carries; InputError if a key is missing.

    Special tokens have the first ids, filled up with `<SPECIAL_i>`; ranks follow them.
    """
    try:
        config, listed = table["config"], table.get("special_tokens")
        count, size = int(config["default_num_special_tokens"]), int(config["default_vocab_size"])
        special = (
            {row["token_str"]: int(row["rank"]) for row in listed} if listed else _numbered(_MISTRAL_SPECIAL, 0)
        )
        pattern = str(config["pattern"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file} looks like a Tekken tokenizer, but lacks {error}: copy it again.") from error
    return _special_first("tekken", pattern, special, count, size)


def megatron_scheme(
    pattern: str = "v2", special: Sequence[str] = MEGATRON_SPECIAL, num_special: int = 1000, size: int = 131_072
) -> Scheme:
    """The scheme of Megatron-LM's TikTokenizer on a list of ranks, with the meaning of its flags.

    `pattern` is "v1" or "v2" (`--tiktoken-pattern`), `special` the first special tokens
    (`--tokenizer-special-tokens`), `num_special` and `size` are `--tiktoken-num-special-tokens` and
    `--vocab-size`.
    """
    expression = {"v1": _MEGATRON_V1, "v2": TEKKEN_PATTERN}[pattern]
    return _special_first(f"megatron-{pattern}", expression, _numbered(special, 0), num_special, size)


def _special_first(name: str, pattern: str, special: dict[str, int], count: int, size: int) -> Scheme:
    taken = set(special.values())
    filled = special | {f"<SPECIAL_{i}>": i for i in range(count) if i not in taken}
    return Scheme(
        name=name, pattern=pattern, special=filled, eod="</s>", ranks=size - count, shift=count, exact=False
    )
