"""`sentencepiece`, the library that a .model is written for: the reference for these files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_tools.tokenize.columns import Spans, Texts, Tokens
from data_tools.tokenize.engines.base import Engine
from data_tools.tokenize.engines.batches import batches, byte_spans, spans_of, tokens_of
from megatron_heph.errors import InputError


class SentencePieceEngine(Engine):
    """`sentencepiece` on a .model; control pieces in the text are always text, as the library means it.

    Attributes:
        eos: the piece that the model calls its end of sentence; None if it has none.
        unmergeable: pieces that never come out of ordinary text: control, unknown, byte and unused ones.
        has_unused: whether there are pieces that are merged and taken apart again.
    """

    name = "sentencepiece"

    def __init__(self, file: Path, special_tokens: str) -> None:
        import sentencepiece

        if special_tokens == "parse":
            raise InputError(
                f"{file} is a sentencepiece model, and sentencepiece never reads control pieces out of "
                f"text: --special-tokens parse needs a tokenizer.json. Use --special-tokens text."
            )
        try:
            self._processor = model = sentencepiece.SentencePieceProcessor(model_file=str(file))
        except (RuntimeError, OSError) as error:
            raise InputError(f"{file} is not a sentencepiece model: {str(error).splitlines()[0]}.") from error
        self.version = sentencepiece.__version__
        self.vocab_size = model.get_piece_size()
        pieces = [model.id_to_piece(index) for index in range(self.vocab_size)]
        self.special = {piece: index for index, piece in enumerate(pieces) if model.is_control(index)}
        self.eos: str | None = pieces[model.eos_id()] if model.eos_id() >= 0 else None
        others = (model.is_control, model.is_unknown, model.is_byte, model.is_unused)
        self.unmergeable = {piece for index, piece in enumerate(pieces) if any(kind(index) for kind in others)}
        self.has_unused = any(model.is_unused(index) for index in range(self.vocab_size))

    def encode(self, texts: Texts) -> Tokens:
        """See `Engine.encode`."""
        # One thread: the pipeline's workers share the cores among themselves.
        encode = self._processor.encode
        rows = (encode(batch, return_type="numpy", num_threads=1) for batch in batches(texts))
        return tokens_of([ids for part in rows for ids in part])

    def encode_with_spans(self, texts: Texts) -> tuple[Tokens, Spans]:
        """See `Engine.encode_with_spans`."""
        ids, spans = [], []
        for batch in batches(texts):
            for text in batch:
                row = self._processor.encode(text, return_type="offset_mapping")
                ids.append(row["ids"])
                spans.append(byte_spans(text, row["offsets"]))
        return tokens_of(ids), spans_of(spans)

    def decode(self, ids: Sequence[int]) -> str:
        """See `Engine.decode`."""
        return str(self._processor.decode([int(i) for i in ids]))
