"""`tokenizers`, the library that a tokenizer.json is written for: the reference for these files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_tools.tokenize.columns import Spans, Texts, Tokens
from data_tools.tokenize.engines.base import Engine
from data_tools.tokenize.engines.batches import batches, byte_spans, spans_of, tokens_of
from megatron_heph.errors import InputError


class HuggingFaceEngine(Engine):
    """`tokenizers` on a tokenizer.json.

    Attributes:
        template: ids that its post-processor puts before and after a text.
        added: all added tokens, special or not.
    """

    name = "tokenizers"

    def __init__(self, file: Path, largest: int, special_tokens: str) -> None:
        """`largest` is the largest id of the model's vocabulary, without added tokens; see `largest_id`."""
        # Threads inside a worker would only fight the other workers; a user's own setting stands.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        import tokenizers
        from tokenizers import processors

        self.version = tokenizers.__version__
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:     # the library raises Exception itself
            raise InputError(f"{file} cannot be loaded by the tokenizers library: {error}.") from error
        # Saved by a training run, a tokenizer.json may cut or pad every document; and trimmed offsets
        # (an option of the byte-level post-processor) leave characters that no token covers.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.template = self._template()
        self._tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
        self._tokenizer.encode_special_tokens = special_tokens == "text"
        added = self._tokenizer.get_added_tokens_decoder()
        self.added = {token.content for token in added.values()}
        self.special = {token.content: index for index, token in added.items() if token.special}
        self.vocab_size = max(largest, *added, -1) + 1

    def _template(self) -> tuple[list[int], list[int]]:
        row = self._tokenizer.encode("a")
        own = [index for index, added in enumerate(row.special_tokens_mask) if not added] or [0]
        return row.ids[: own[0]], row.ids[own[-1] + 1 :]

    def encode(self, texts: Texts) -> Tokens:
        """See `Engine.encode`."""
        encode = self._tokenizer.encode_batch_fast
        rows = (encode(batch, add_special_tokens=False) for batch in batches(texts))
        return tokens_of([row.ids for part in rows for row in part])

    def encode_with_spans(self, texts: Texts) -> tuple[Tokens, Spans]:
        """See `Engine.encode_with_spans`."""
        ids, spans = [], []
        for batch in batches(texts):
            for text, row in zip(
                batch, self._tokenizer.encode_batch(batch, add_special_tokens=False), strict=True
            ):
                ids.append(row.ids)
                spans.append(byte_spans(text, row.offsets))
        return tokens_of(ids), spans_of(spans)

    def decode(self, ids: Sequence[int]) -> str:
        """See `Engine.decode`."""
        return str(self._tokenizer.decode([int(i) for i in ids], skip_special_tokens=False))


def largest_id(table: dict[str, Any]) -> int:
    """The largest id of the vocabulary of a parsed tokenizer.json; -1 of an empty one."""
    # the library's get_vocab() would build a second dictionary of all tokens
    vocabulary = table["model"].get("vocab") or {}
    return max(vocabulary.values(), default=-1) if isinstance(vocabulary, dict) else len(vocabulary) - 1
