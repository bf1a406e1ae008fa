"""`tiktoken`, the library that files of ranks are written for: the reference for these files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from data_tools.tokenize.columns import Spans, Texts, Tokens
from data_tools.tokenize.engines.base import Engine
from data_tools.tokenize.engines.batches import batches, spans_of, tokens_of
from megatron_heph.errors import InputError
from megatron_heph.formats.tiktoken_schemes import Scheme


class TiktokenEngine(Engine):
    """`tiktoken` on byte strings and their ids."""

    name = "tiktoken"

    def __init__(self, ranks: dict[bytes, int], scheme: Scheme, special_tokens: str) -> None:
        try:
            import tiktoken
        except ImportError as error:
            raise InputError(
                "A file of ranks needs the package tiktoken, its reference: pip install "
                "'megatron-heph[tokenize]'. Or give the model's tokenizer.json."
            ) from error

        self.version = tiktoken.__version__
        self.special = dict(scheme.special)
        self.vocab_size = scheme.vocab_size
        self._ranks = ranks
        self._encoding = tiktoken.Encoding(
            scheme.name, pat_str=scheme.pattern, mergeable_ranks=ranks, special_tokens=self.special
        )
        self._parsed = self._encoding.special_tokens_set if special_tokens == "parse" else set()

    def encode(self, texts: Texts) -> Tokens:
        """See `Engine.encode`."""
        return tokens_of([self._ids(text) for batch in batches(texts) for text in batch])

    def encode_with_spans(self, texts: Texts) -> tuple[Tokens, Spans]:
        """See `Engine.encode_with_spans`."""
        rows = [self._ids(text) for batch in batches(texts) for text in batch]
        spans = []
        for ids in rows:
            ends = np.cumsum(self._lengths[ids])
            spans.append(np.stack([ends - self._lengths[ids], ends], 1))
        return tokens_of(rows), spans_of(spans)

    def decode(self, ids: Sequence[int]) -> str:
        """See `Engine.decode`."""
        return str(self._encoding.decode([int(i) for i in ids]))

    def _ids(self, text: str) -> npt.NDArray[np.uint32]:
        ids = self._encoding.encode_to_numpy(text, allowed_special=self._parsed, disallowed_special=())
        return np.asarray(ids, np.uint32)

    @cached_property
    def _lengths(self) -> npt.NDArray[np.int64]:
        """int64 [vocabulary]: the bytes of text that each token stands for, which are its own."""
        lengths = np.zeros(self.vocab_size, np.int64)
        for token, index in self._ranks.items():
            lengths[index] = len(token)
        for name, index in self.special.items():
            lengths[index] = len(name.encode())
        return lengths
