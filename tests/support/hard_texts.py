"""Texts on which tokenizers differ, from a seed."""

from __future__ import annotations

import random

_ASCII = [chr(c) for c in range(128)]
_SPACES = [*"  \t\n\r\v\f\x85\xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000", "\r\n", "   ", "\n\n"]
_WORDS = ["def", "return", "The", "HTTPServer", "camelCase", "naïve", "Straße", "ǅungla", "日本語", "हिन्दी", "ไทย", "x"]
_TAILS = ["'s", "'S", "'\u017f", "'t", "'re", "'RE", "'Ve", "'m", "'ll", "'lL", "'d", "'l", "'r", "'", "''s", "'s't"]
_MARKS = ["\u0301", "\u093f", "\u20dd", "\u200d", "\ufe0f"]
_NUMBERS = ["1", "12", "1234567", "²", "½", "Ⅷ", "٣٤", "\U0001d7d8"]
_SYMBOLS = [*"!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~", "€", "…", "🙂", "👩‍💻", "\0", "\u200b", "\ue000", "//", "\n/\n"]


def _soup(rng: random.Random, parts: list[str], most: int) -> str:
    return "".join(rng.choice(parts) for _ in range(rng.randrange(most)))


def _anything(rng: random.Random) -> str:
    """Characters of all planes, surrogates left out; many of them not assigned."""
    limits = [0x80, 0x250, 0x800, 0x3000, 0xD800, 0x20000, 0x110000]
    codes = (rng.randrange(rng.choice(limits)) for _ in range(rng.randrange(40)))
    return "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000)


def _code(rng: random.Random) -> str:
    lines = []
    for _ in range(rng.randrange(1, 8)):
        name = rng.choice(_WORDS) + rng.choice(["_", "", "2", "."]) + rng.choice(_WORDS)
        indent = " " * rng.choice([0, 0, 2, 4, 8, 17, 40])
        lines.append(f"{indent}{name}(x={rng.randrange(10**6)}, 'it{rng.choice(_TAILS)}')")
    return rng.choice(["\n", "\r\n", "\n\n"]).join(lines)


def _long_run(rng: random.Random) -> str:
    return rng.choice(["a", "ab", " ", "\n", "=", "9", "é", "漢", "\u0301", "A", "aA", "xyz "]) * rng.randrange(1, 600)


def hard_texts(seed: int, count: int) -> list[str]:
    """`count` short texts: soups of words, spaces, contractions, marks and numbers, code, long runs, any Unicode."""
    rng = random.Random(seed)
    everything = _SPACES + _WORDS + _TAILS + _MARKS + _NUMBERS + _SYMBOLS
    kinds = [
        lambda: _soup(rng, everything, 30),
        lambda: _soup(rng, everything, 30),
        lambda: _soup(rng, [*_SPACES, "a", "1", "!"], 20),
        lambda: _soup(rng, [*_TAILS, " ", "I", "don", "é", "́"], 12),
        lambda: _soup(rng, [*_MARKS, "a", "B", "ʰ", "ª", "漢", "!", " ", "1", "'s"], 14),
        lambda: _soup(rng, _ASCII, 60),
        lambda: _anything(rng),
        lambda: _code(rng),
        lambda: _long_run(rng),
        lambda: '{"' + _soup(rng, [*_WORDS, '": ', ', "', "[1, 2]", "\\n", "\\u00e9"], 20) + '"}',
    ]
    return [kinds[i % len(kinds)]() for i in range(count)]
