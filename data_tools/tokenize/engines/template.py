"""A tokenizer's own template around every document: the bos of Llama 3, the eos of others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from data_tools.tokenize.columns import Spans, Texts, Tokens
from data_tools.tokenize.engines.base import Engine


class TemplateEngine(Engine):
    """An engine with ids before and after each document, an empty one too."""

    def __init__(self, engine: Engine, before: Sequence[int], after: Sequence[int]) -> None:
        self.name, self.version, self.in_threads = engine.name, engine.version, engine.in_threads
        self.vocab_size, self.special = engine.vocab_size, engine.special
        self._engine = engine
        self._before, self._after = list(before), list(after)

    def encode(self, texts: Texts) -> Tokens:
        """See `Engine.encode`."""
        tokens = self._engine.encode(texts)
        return self._around(tokens, self._places(tokens.lengths))

    def encode_with_spans(self, texts: Texts) -> tuple[Tokens, Spans]:
        """See `Engine.encode_with_spans`; what is added covers no byte, at the document's ends."""
        tokens, spans = self._engine.encode_with_spans(texts)
        places = self._places(tokens.lengths)
        stops = np.diff(texts.offsets)[:, None].repeat(len(self._after), 1)
        edges = np.concatenate([np.zeros((len(stops), len(self._before)), np.int64), stops], 1).reshape(-1, 1)
        around = np.insert(spans, places, edges.repeat(2, 1), axis=0)
        return self._around(tokens, places), around

    def decode(self, ids: Sequence[int]) -> str:
        """See `Engine.decode`."""
        return self._engine.decode(ids)

    def rest(self) -> None:
        """See `Engine.rest`."""
        self._engine.rest()

    def _places(self, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where in the run of tokens each added one goes, document by document."""
        ends = np.cumsum(lengths)
        edges = [ends - lengths] * len(self._before) + [ends] * len(self._after)
        return np.stack(edges, 1).reshape(-1) if edges else np.empty(0, np.int64)

    def _around(self, tokens: Tokens, places: npt.NDArray[np.int64]) -> Tokens:
        added = np.tile(np.array(self._before + self._after, np.int32), len(tokens.lengths))
        ids = np.insert(tokens.ids.astype(np.int32), places, added)
        return Tokens(ids, tokens.lengths + len(self._before) + len(self._after))
