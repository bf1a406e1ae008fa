"""A reference that is put away once it has proved another engine, and loaded again where it is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from data_tools.tokenize.columns import Spans, Texts, Tokens
from data_tools.tokenize.engines.base import Engine


class LazyEngine(Engine):
    """Does what `engine` does; after `rest`, what `load` makes, when it is first asked.

    The tables of a library may take some hundred MB, and only few documents, if any, need it later.
    """

    def __init__(self, engine: Engine, load: Callable[[], Engine]) -> None:
        self.name, self.version = engine.name, engine.version
        self.vocab_size, self.special = engine.vocab_size, engine.special
        self._engine: Engine | None = engine
        self._load = load

    def encode(self, texts: Texts) -> Tokens:
        """See `Engine.encode`."""
        return self._loaded().encode(texts)

    def encode_with_spans(self, texts: Texts) -> tuple[Tokens, Spans]:
        """See `Engine.encode_with_spans`."""
        return self._loaded().encode_with_spans(texts)

    def decode(self, ids: Sequence[int]) -> str:
        """See `Engine.decode`."""
        return self._loaded().decode(ids)

    def rest(self) -> None:
        """Puts the engine away."""
        self._engine = None

    def _loaded(self) -> Engine:
        if self._engine is None:
            self._engine = self._load()
        return self._engine
