"""The exactness gate: an engine proves on hard texts that it does what its tokenizer does.

An engine that is fast and wrong is worse than none: its ids would teach the model another language.
The reference is the tokenizer's own library, document by document; what is checked here holds for it too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from data_tools.tokenize.engines.libraries import Engine
from megatron_heph.errors import RefusedError

# What has broken tokenizers: runs, spaces, control and combining characters, other scripts, surrogate-pair
# planes, numbers, code, and text that looks like a tokenizer's own notation.
HARD_TEXTS = (
    "a",
    " ",
    "  leading and trailing  ",
    "\n\n\n\t\t  \n",
    "\r\nlines\r\n",
    "a" * 3000,
    " " * 3000,
    "-=" * 800,
    "don't DON'T I'll we've",
    "3.14159 1,000,000 0x1F 123456789012345678901234567890",
    "\ufb01 \u212b \u00c5 e\u0301 \u00e9 \u200b\ufeff",
    "日本語のテキスト 中文 한국어 العربية עברית ไทย हिन्दी",
    "\U0001f642 \U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f1e9\U0001f1ea",
    "\x00\x01\x7f\x80\x9f\ufffd",
    'def f(x: int) -> str:\n    return f"{x!r}"\n',
    '{"name": "get_weather", "arguments": {"city": "Zürich"}}',
    "▁ Ġ Ċ <0x0A> ##ing </w>",
    "<s></s><unk><pad><|im_start|>system<|im_end|><|endoftext|>[INST][/INST]",
)


@dataclass(frozen=True, slots=True)
class GateReport:
    """How many texts were checked, and how many do not come back letter by letter (a normalizer's doing)."""

    texts: int
    lossy: int


def check_engine(engine: Engine, special_tokens: str, sample: Iterable[str] = ()) -> GateReport:
    """Checks an engine on the hard texts, on its own special tokens as text, and on a sample of the input.

    Raises RefusedError that names the text and both results at the first difference.
    """
    texts = [*HARD_TEXTS, *(f"a{token}b {token}" for token in engine.special), *sample]
    ids, lengths = engine.encode_batch(texts)
    with_offsets, same_lengths, offsets = engine.encode_with_offsets(texts)
    ends = np.cumsum(lengths)
    lossy = 0
    for index, (text, end, length) in enumerate(zip(texts, ends, lengths, strict=True)):
        own = ids[end - length : end]
        alone, _ = engine.encode_batch([text])
        _same(own, alone, text, engine, "in a batch and alone")
        _same(own, with_offsets[end - length : end], text, engine, "with and without offsets")
        if length != same_lengths[index]:
            _refuse(engine, text, f"{length} and {same_lengths[index]} tokens with and without offsets")
        spans = offsets[end - length : end]
        if length and (spans.min() < 0 or spans.max() > len(text) or (np.diff(spans[:, 0]) < 0).any()):
            _refuse(engine, text, f"offsets outside of its {len(text)} characters, or out of order")
        if length and not 0 <= own.min() <= own.max() < engine.vocab_size:
            _refuse(engine, text, f"ids {own.min()} to {own.max()} in a vocabulary of {engine.vocab_size}")
        if special_tokens == "text" and engine.eod_id in own:
            _refuse(engine, text, f"the end-of-document token {engine.eod_token!r} out of ordinary text")
        lossy += engine.decode(own.tolist()) != text
    return GateReport(texts=len(texts), lossy=lossy)


def _same(first: np.ndarray, second: np.ndarray, text: str, engine: Engine, how: str) -> None:
    if not np.array_equal(first, second):
        _refuse(engine, text, f"{first[:8].tolist()}... and {second[:8].tolist()}... {how}")


def _refuse(engine: Engine, text: str, result: str) -> None:
    raise RefusedError(
        f"The engine {engine.name} is not exact with this tokenizer: {text[:40]!r} gives {result}. "
        f"Its ids cannot be trusted; use another version of {engine.name}, and report the tokenizer."
    )
