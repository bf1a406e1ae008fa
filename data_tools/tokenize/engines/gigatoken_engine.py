"""`gigatoken`: fast for sentencepiece's BPE with byte fallback, and for many a tokenizer.json.

It takes the columns as they are: an awkward array of strings over our bytes and offsets, and gives one
over ids; it lets go of the interpreter's lock, and its threads share one cache of pretokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_tools.tokenize.columns import Spans, Texts, Tokens
from data_tools.tokenize.engines.base import Engine, UnsupportedTokenizerError
from data_tools.tokenize.engines.sentencepiece_engine import SentencePieceEngine
from megatron_heph.formats.tokenizer import TokenizerFile


class GigatokenEngine(Engine):
    """`gigatoken`, with the reference for spans and for the way back."""

    name = "gigatoken"
    in_threads = True

    def __init__(self, table: str | bytes, reference: Engine) -> None:
        """`table` is a tokenizer.json whose added tokens are all read out of text."""
        # Without gigatoken's own front, which imports what this does not need.
        from importlib.metadata import version

        from gigatoken.gigatoken_rs import load_hf_json

        try:
            self._backend = load_hf_json(table)
        except Exception as error:     # of several types, by what is missing
            raise UnsupportedTokenizerError(str(error).partition("\n")[0]) from error
        self.version = version("gigatoken")
        self.vocab_size = reference.vocab_size
        self.special = reference.special
        self._reference = reference

    @classmethod
    def from_tokenizer_json(
        cls, file: TokenizerFile, special_tokens: str, reference: Engine
    ) -> GigatokenEngine:
        """Of a tokenizer.json; under `text` its special tokens are taken out, so that none is read."""
        table = file.table
        if special_tokens == "parse" or not reference.special:
            return cls(file.data, reference)
        ordinary = [token for token in table.get("added_tokens") or [] if not token.get("special")]
        return cls(json.dumps(table | {"added_tokens": ordinary}), reference)

    @classmethod
    def from_sentencepiece(cls, file: TokenizerFile, reference: SentencePieceEngine) -> GigatokenEngine:
        """Of a sentencepiece BPE with byte fallback, under `text` (sentencepiece has no other policy)."""
        from gigatoken._load.sentencepiece import sentencepiece_to_tokenizer_json

        if reference.has_unused:
            raise UnsupportedTokenizerError("it has pieces that are marked as unused")
        try:
            table = json.loads(sentencepiece_to_tokenizer_json(file.data))
        except ValueError as error:
            raise UnsupportedTokenizerError(str(error)) from error
        table["added_tokens"] = [token for token in table["added_tokens"] if not token["special"]]
        # The conversion makes a merge for every piece that two others spell.  sentencepiece never merges
        # into a control or byte piece: "</s>" and "<0x0A>" in a text are ordinary characters.
        never = reference.unmergeable
        model = table["model"]
        model["merges"] = [pair for pair in model["merges"] if pair[0] + pair[1] not in never]
        return cls(json.dumps(table), reference)

    def encode(self, texts: Texts) -> Tokens:
        """See `Engine.encode`."""
        # parallel=False: on the calling thread; the pipeline's workers share the cores among themselves
        layout = self._backend.encode_batch(_strings(texts), parallel=False).layout
        offsets = np.asarray(layout.offsets.data, np.int64)
        ids = np.asarray(layout.content.data)[offsets[0] : offsets[-1]]
        return Tokens(ids, np.diff(offsets))

    def encode_with_spans(self, texts: Texts) -> tuple[Tokens, Spans]:
        """See `Engine.encode_with_spans`; done by the reference."""
        return self._reference.encode_with_spans(texts)

    def decode(self, ids: Sequence[int]) -> str:
        """See `Engine.decode`; done by the reference."""
        return self._reference.decode(ids)


def _strings(texts: Texts) -> Any:
    """An awkward array of strings over the columns; nothing is copied."""
    import awkward
    from awkward.contents import ListOffsetArray, NumpyArray
    from awkward.index import Index64

    content = NumpyArray(texts.data, parameters={"__array__": "char"})
    layout = ListOffsetArray(Index64(texts.offsets), content, parameters={"__array__": "string"})
    return awkward.Array(layout)
