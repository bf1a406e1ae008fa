"""Text in, token ids out: one interface over the tokenizer libraries.

Documents are encoded bare: no bos, no template, no truncation.  The end-of-document token is put after
each by the writer.  Special tokens that stand literally in the text follow one policy in every engine:
`text` encodes them as the ordinary characters they are (a scraped page cannot end a document or open a
chat turn), `parse` makes them the token they name.  Special are the tokens that tokenizer.json marks so,
and the control pieces of a sentencepiece model.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from megatron_heph.errors import InputError, nearest
from megatron_heph.formats.manifest import TokenizerInfo
from megatron_heph.formats.tokenizer import find_tokenizer_file, read_tokenizer_json, tokenizer_hash

Ids = npt.NDArray[np.int32]
Lengths = npt.NDArray[np.int64]
Offsets = npt.NDArray[np.int64]      # [tokens, 2]: first and stop character in the document

POLICIES = ("text", "parse")
PRETRAINING_EOD = "<|endoftext|>"
_BATCH_CHARACTERS = 1 << 20          # per call into a library that returns Python objects: bounds memory


class Engine(ABC):
    """A loaded tokenizer.

    Attributes:
        name: of the library.
        vocab_size: largest id + 1, added tokens included.
        special: special tokens and their ids.
        eod_id, eod_token: what ends a document.
    """

    name: str
    vocab_size: int
    special: dict[str, int]
    eod_id: int
    eod_token: str

    def encode_batch(self, texts: Sequence[str]) -> tuple[Ids, Lengths]:
        """The ids of all documents in a row, int32 [tokens], and their lengths, int64 [documents]."""
        parts = [part for batch in _batches(texts) for part in self._encode(batch)]
        return _flat(parts), np.array([len(part) for part in parts], np.int64)

    def encode_with_offsets(self, texts: Sequence[str]) -> tuple[Ids, Lengths, Offsets]:
        """As `encode_batch`, with the characters of its document that each token covers; slower."""
        pairs = [pair for batch in _batches(texts) for pair in self._encode_with_offsets(batch)]
        offsets = [np.array(offset, np.int64).reshape(-1, 2) for _, offset in pairs]
        lengths = np.array([len(ids) for ids, _ in pairs], np.int64)
        flat = np.concatenate([np.empty((0, 2), np.int64), *offsets])
        return _flat([ids for ids, _ in pairs]), lengths, flat

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens included."""

    @abstractmethod
    def _encode(self, texts: list[str]) -> Sequence[Any]:
        """The ids of each text."""

    @abstractmethod
    def _encode_with_offsets(self, texts: list[str]) -> list[tuple[Any, Any]]:
        """The ids and the character offsets of each text."""


class HuggingFaceEngine(Engine):
    """`tokenizers` on a tokenizer.json."""

    name = "tokenizers"

    def __init__(self, file: Path, special_tokens: str) -> None:
        from tokenizers import Tokenizer

        table = read_tokenizer_json(file)
        # Saved by a training run, a tokenizer.json may cut or pad every document; and trimmed offsets
        # (an option of the byte-level post-processor) leave characters that no token covers.
        for key in ("truncation", "padding", "post_processor"):
            table[key] = None
        try:
            self._tokenizer = Tokenizer.from_str(json.dumps(table))
        except Exception as error:     # the library raises Exception itself
            raise InputError(f"{file} cannot be loaded by the tokenizers library: {error}.") from error
        self._tokenizer.encode_special_tokens = special_tokens == "text"
        self.vocab_size = max(self._tokenizer.get_vocab(with_added_tokens=True).values()) + 1
        added = self._tokenizer.get_added_tokens_decoder()
        self.special = {token.content: index for index, token in added.items() if token.special}

    def decode(self, ids: Sequence[int]) -> str:
        """See `Engine.decode`."""
        return str(self._tokenizer.decode([int(i) for i in ids], skip_special_tokens=False))

    def _encode(self, texts: list[str]) -> Sequence[Any]:
        return [e.ids for e in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def _encode_with_offsets(self, texts: list[str]) -> list[tuple[Any, Any]]:
        return [(e.ids, e.offsets) for e in self._tokenizer.encode_batch(texts, add_special_tokens=False)]


class SentencePieceEngine(Engine):
    """`sentencepiece` on a .model; control pieces in the text are always text, as the library means it."""

    name = "sentencepiece"

    def __init__(self, file: Path, special_tokens: str) -> None:
        from sentencepiece import SentencePieceProcessor

        if special_tokens == "parse":
            raise InputError(
                f"{file} is a sentencepiece model, and sentencepiece never reads control pieces out of "
                f"text: --special-tokens parse needs a tokenizer.json. Use --special-tokens text."
            )
        try:
            self._processor = SentencePieceProcessor(model_file=str(file))
        except (RuntimeError, OSError) as error:
            raise InputError(f"{file} is not a sentencepiece model: {str(error).splitlines()[0]}.") from error
        self.vocab_size = self._processor.get_piece_size()
        pieces = range(self.vocab_size)
        self.special = {self._processor.id_to_piece(i): i for i in pieces if self._processor.is_control(i)}
        self.eos_id: int = self._processor.eos_id()

    def decode(self, ids: Sequence[int]) -> str:
        """See `Engine.decode`."""
        return str(self._processor.decode([int(i) for i in ids]))

    def _encode(self, texts: list[str]) -> Sequence[Any]:
        # One thread: the pipeline's workers share the cores among themselves.
        return list(self._processor.encode(texts, return_type="numpy", num_threads=1))

    def _encode_with_offsets(self, texts: list[str]) -> list[tuple[Any, Any]]:
        rows = [self._processor.encode(text, return_type="offset_mapping") for text in texts]
        return [(row["ids"], row["offsets"]) for row in rows]


def load_engine(tokenizer: Path, *, special_tokens: str = "text", eod: str | None = None) -> Engine:
    """Loads the tokenizer of a folder or file.

    `eod` names the special token that ends documents.  Without it that is `<|endoftext|>` where it is a
    special token (also of chat models, whose eos ends a turn and not a document), and else the eos token.

    Raises InputError if the tokenizer or its token cannot be used.
    """
    if special_tokens not in POLICIES:
        raise InputError(f"--special-tokens is {special_tokens!r}; it is one of {', '.join(POLICIES)}.")
    # Threads inside a worker would only fight the other workers; a user's own setting stands.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    file = find_tokenizer_file(tokenizer)
    engine: Engine
    if file.suffix == ".json":
        engine = HuggingFaceEngine(file, special_tokens)
        eos = _eos_of_config(file.with_name("tokenizer_config.json"))
    else:
        engine = SentencePieceEngine(file, special_tokens)
        eos = next((token for token, index in engine.special.items() if index == engine.eos_id), None)
    engine.eod_token = _choose_eod(engine.special, eod, eos, file)
    engine.eod_id = engine.special[engine.eod_token]
    return engine


def tokenizer_info(engine: Engine, tokenizer: Path, special_tokens: str) -> TokenizerInfo:
    """What the manifest says of a loaded tokenizer."""
    path = tokenizer.resolve()
    return TokenizerInfo(
        hash=tokenizer_hash(tokenizer),
        name=path.name if path.is_dir() else f"{path.parent.name}/{path.name}",
        vocab_size=engine.vocab_size,
        eod_id=engine.eod_id,
        eod_token=engine.eod_token,
        special_tokens=special_tokens,
    )


def _choose_eod(special: dict[str, int], asked: str | None, eos: str | None, file: Path) -> str:
    if asked is None:
        asked = PRETRAINING_EOD if PRETRAINING_EOD in special else eos
    if asked is None:
        raise InputError(
            f"{file} does not say which token ends a document: it has no {PRETRAINING_EOD}, and no "
            f"eos_token stands in a tokenizer_config.json beside it. Name it with --eod; "
            f"{nearest('</s>', special)}"
        )
    if asked not in special:
        raise InputError(
            f"{asked!r} is to end every document, but it is not a special token of {file}, so that ordinary "
            f"text could hold it. Name another with --eod; {nearest(asked, special)}"
        )
    return asked


def _eos_of_config(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        eos = json.loads(path.read_bytes()).get("eos_token")
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path} is not a JSON object: copy the tokenizer again.") from error
    return eos.get("content") if isinstance(eos, dict) else eos     # older files hold the whole AddedToken


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _flat(parts: Sequence[Any]) -> Ids:
    return np.concatenate([np.empty(0, np.int32), *(np.asarray(part, np.int32) for part in parts)])
