"""The engine of this project: byte-level BPE in C++ (`megatron_heph._native.BpeEncoder`).

Exact by construction: what it does not know for certain it leaves to a reference engine.  A tokenizer with a
part that it lacks is refused (`UnsupportedTokenizerError`); a document with a character that its Unicode
tables do not assign, or, under a normalizer, one that is not in normal form, is encoded by the reference.
"""

from __future__ import annotations

import itertools
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from data_tools.tokenize.columns import Spans, Texts, Tokens
from data_tools.tokenize.engines.base import Engine, UnsupportedTokenizerError
from data_tools.tokenize.engines.native_support import (
    AddedSets,
    added_sets,
    check_model,
    normalizes,
    pattern_of_expression,
    pattern_of_json,
    special_sets,
)
from megatron_heph import __version__
from megatron_heph._native import BpeEncoder


class NativeEngine(Engine):
    """Byte-level BPE; `encode` may run in many threads at once, which share one cache of pretokens.

    Make it with `from_tokenizer_json` or `from_tiktoken`.
    """

    name = "native"
    version = __version__
    in_threads = True

    def __init__(self, encoder: BpeEncoder, special: dict[str, int], normalized: bool, reference: Engine) -> None:
        self.special = special
        self.vocab_size = encoder.vocab_size
        self._encoder = encoder
        self._normalized = normalized
        self._reference = reference
        self._reference_lock = threading.Lock()     # not every reference may be called from two threads
        self._token_lengths = encoder.token_lengths()

    def rest(self) -> None:
        """See `Engine.rest`: the reference is for few documents."""
        self._reference.rest()

    @classmethod
    def from_tokenizer_json(cls, table: dict[str, Any], special_tokens: str, reference: Engine) -> NativeEngine:
        """Of a parsed tokenizer.json, as the `tokenizers` library reads it.

        Args:
            table: the whole file.
            special_tokens: the policy, `text` or `parse`.
            reference: encodes the documents that this engine leaves to it, under the same policy.

        Raises UnsupportedTokenizerError that names what the engine lacks.
        """
        model = table.get("model") or {}
        check_model(model)
        pattern = pattern_of_json(table.get("pre_tokenizer"))
        normalized = normalizes(table.get("normalizer"))
        sets, special = added_sets(table.get("added_tokens") or [], model["vocab"], special_tokens, normalized)
        try:
            encoder = BpeEncoder.from_merges(
                model["vocab"], model["merges"], pattern, bool(model.get("ignore_merges")), sets
            )
        except ValueError as error:
            raise UnsupportedTokenizerError(f"of its vocabulary: {error}") from error
        return cls(encoder, special, normalized, reference)

    @classmethod
    def from_tiktoken(
        cls,
        ranks: Mapping[bytes, int] | Sequence[bytes],
        pattern: str,
        special: dict[str, int],
        special_tokens: str,
        reference: Engine,
    ) -> NativeEngine:
        """Of tokens with their ranks, which are their ids, and the expression that cuts text into words.

        Raises UnsupportedTokenizerError that names what the engine lacks.
        """
        table = ranks if isinstance(ranks, dict) else dict(_pairs(ranks))
        sets: AddedSets = special_sets(special, special_tokens)
        try:
            encoder = BpeEncoder.from_ranks(table, pattern_of_expression(pattern), sets)
        except ValueError as error:
            raise UnsupportedTokenizerError(f"of its vocabulary: {error}") from error
        return cls(encoder, dict(special), False, reference)

    def encode(self, texts: Texts) -> Tokens:
        """See `Engine.encode`."""
        tokens, _ = self._encode(texts)
        return tokens

    def encode_with_spans(self, texts: Texts) -> tuple[Tokens, Spans]:
        """See `Engine.encode_with_spans`: every token covers its own bytes."""
        tokens, left = self._encode(texts, splice=False)
        spans = self._spans(tokens)
        if not left:
            return tokens, spans
        with self._reference_lock:
            other, other_spans = self._reference.encode_with_spans(texts.take(left))
        edges = np.cumsum([0, *other.lengths])
        parts = [other_spans[a:b] for a, b in itertools.pairwise(edges)]
        return _spliced(tokens, left, other), _inserted(spans, tokens.lengths, left, parts)

    def decode(self, ids: Sequence[int]) -> str:
        """See `Engine.decode`; bytes that are not UTF-8 become U+FFFD."""
        return self._encoder.decode([int(i) for i in ids]).decode("utf-8", errors="replace")

    def _encode(self, texts: Texts, *, splice: bool = True) -> tuple[Tokens, list[int]]:
        """The tokens, and the documents that the reference is for (without `splice` they have none yet)."""
        data = np.ascontiguousarray(texts.data, np.uint8)
        offsets = np.ascontiguousarray(texts.offsets, np.int64)
        ids, lengths, declined, unsteady = self._encoder.encode(data, offsets)
        left = declined.tolist()
        tokens = Tokens(ids, lengths)
        if self._normalized and len(unsteady):
            changed = [i for i in unsteady.tolist() if not _in_normal_form(texts, i)]
            tokens = _emptied(tokens, changed)
            left = sorted(left + changed)
        if splice and left:
            with self._reference_lock:
                tokens = _spliced(tokens, left, self._reference.encode(texts.take(left)))
        return tokens, left

    def _spans(self, tokens: Tokens) -> Spans:
        stops = np.cumsum(self._token_lengths[tokens.ids])
        starts = stops - self._token_lengths[tokens.ids]
        first = np.cumsum(tokens.lengths) - tokens.lengths      # index of each document's first token
        filled = tokens.lengths > 0
        origin = np.repeat(starts[first[filled]], tokens.lengths[filled])
        return np.stack([starts - origin, stops - origin], axis=1)


def _pairs(ranks: Mapping[bytes, int] | Sequence[bytes]) -> Any:
    return ranks.items() if isinstance(ranks, Mapping) else ((token, rank) for rank, token in enumerate(ranks))


def _in_normal_form(texts: Texts, document: int) -> bool:
    return unicodedata.is_normalized("NFC", texts.text_bytes(document).decode())


def _emptied(tokens: Tokens, documents: list[int]) -> Tokens:
    """Without the tokens of some documents."""
    if not documents:
        return tokens
    keep = np.ones(len(tokens.lengths), bool)
    keep[documents] = False
    return Tokens(tokens.ids[np.repeat(keep, tokens.lengths)], np.where(keep, tokens.lengths, 0))


def _spliced(tokens: Tokens, documents: list[int], other: Tokens) -> Tokens:
    """With the tokens of `other` for some documents, which have none in `tokens`."""
    edges = np.cumsum([0, *other.lengths])
    parts = [other.ids[a:b].astype(np.uint32) for a, b in itertools.pairwise(edges)]
    ids = _inserted(tokens.ids, tokens.lengths, documents, parts)
    lengths = tokens.lengths.copy()
    lengths[documents] = other.lengths
    return Tokens(ids, lengths)


def _inserted(
    rows: npt.NDArray, lengths: npt.NDArray[np.int64], documents: list[int], parts: Sequence[npt.NDArray]
) -> npt.NDArray:
    """`rows` with a part where each of some documents, which has none, would have its own."""
    edges = np.concatenate([[0], np.cumsum(lengths)])
    pieces: list[npt.NDArray] = []
    last = 0
    for document, part in zip(documents, parts, strict=True):
        pieces += [rows[last : edges[document]], part]
        last = int(edges[document])
    return np.concatenate([*pieces, rows[last:]])
