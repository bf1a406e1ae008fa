"""A tokenized source: shards in order, read as one stream of tokens."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from megatron_heph._native import TokenReader
from megatron_heph.errors import InputError
from megatron_heph.formats.find_shards import check_sizes, find_shards
from megatron_heph.formats.manifest import Manifest
from megatron_heph.formats.shard import Shard, input_error, token_dtype

__all__ = ["PlacedDocument", "Shard", "TokenizedSource", "token_dtype"]


class PlacedDocument(NamedTuple):
    """A document of a source: where it is stored, and where it is in the stream."""

    shard: int
    number: int       # within the shard
    start: int        # in tokens of the stream
    length: int


class TokenizedSource:
    """Shards `<prefix>-NNNNN.bin/.idx` in order with `<prefix>.manifest.json`, or plain Megatron pairs.

    Attributes:
        prefix: what it was opened by.
        shards: the Shards in the order of the manifest, or of their names.
        manifest: None for Megatron pairs without one.
        total_tokens: tokens in all shards.
    """

    def __init__(self, prefix: Path, shards: tuple[Shard, ...], manifest: Manifest | None) -> None:
        self.prefix, self.shards, self.manifest = prefix, shards, manifest
        self.total_tokens: int = sum(shard.tokens for shard in shards)

    @classmethod
    def open(cls, prefix: Path | str, *, vocab_size: int | None = None) -> TokenizedSource:
        """Opens a source; a prefix without manifest may be a pattern, such as `data/pile_*_text_document`.

        With a manifest the sizes of all files are compared with it, and no file is opened; without one the
        headers are read.  Everything else is checked where it is read.  `vocab_size`, where it is known, is
        checked against the dtype of pairs without manifest.  Raises InputError if something is missing or does
        not fit together.
        """
        prefix = Path(prefix)
        manifest, shards = find_shards(prefix)
        if manifest is not None:
            check_sizes(prefix, shards, manifest)
        elif vocab_size is not None:
            _check_dtype(shards, token_dtype(vocab_size), vocab_size)
        return cls(prefix, shards, manifest)

    @cached_property
    def reader(self) -> TokenReader:
        """What reads the files; they are opened when something of them is read."""
        return TokenReader([shard.spec for shard in self.shards])

    @property
    def dtype(self) -> np.dtype:
        """What the ids of all shards are stored as."""
        return self.shards[0].dtype

    @property
    def total_documents(self) -> int:
        """Documents in all shards, also the empty ones."""
        return sum(shard.documents for shard in self.shards)

    def read(self, start: int, count: int) -> npt.NDArray[np.int64]:
        """The tokens [start, start + count) of the stream, across shards: int64 [count].

        Raises IndexError if the range is not inside the stream, InputError for files that are not what they were
        when the source was opened.
        """
        self._check_range(start, count)
        try:
            return self.reader.read(start, count).astype(np.int64)
        except (ValueError, OSError) as error:
            raise input_error(error) from error

    def read_loss_mask(self, start: int, count: int) -> npt.NDArray[np.bool_]:
        """Which of the tokens [start, start + count) carry loss: bool [count]; without `.mask`, all do."""
        self._check_range(start, count)
        try:
            return self.reader.loss(start, count)
        except (ValueError, OSError) as error:
            raise input_error(error) from error

    def documents(self, start: int = 0, count: int | None = None) -> npt.NDArray[np.int64]:
        """(start, length) of the documents that begin in [start, start + count), int64 [documents, 2]; no empty ones.

        Without `count`, to the end of the stream.
        """
        count = self.total_tokens - start if count is None else count
        self._check_range(start, count)
        try:
            return self.reader.documents(start, count)
        except (ValueError, OSError) as error:
            raise input_error(error) from error

    def document_at(self, position: int) -> PlacedDocument:
        """The document that holds a position of the stream."""
        self._check_range(position, 1)
        try:
            return PlacedDocument(*self.reader.document_at(position))
        except (ValueError, OSError) as error:
            raise input_error(error) from error

    def document(self, number: int) -> PlacedDocument:
        """A document by its number in the source, from 0; the empty ones are counted."""
        if not 0 <= number < self.total_documents:
            raise IndexError(f"document {number} of {self.prefix}, which has {self.total_documents}")
        try:
            return PlacedDocument(*self.reader.document(number))
        except (ValueError, OSError) as error:
            raise input_error(error) from error

    def _check_range(self, start: int, count: int) -> None:
        if start < 0 or count < 0 or start + count > self.total_tokens:
            raise IndexError(f"tokens [{start}, {start + count}) of {self.prefix}, which has {self.total_tokens}")


def _check_dtype(shards: tuple[Shard, ...], right: np.dtype, vocab_size: int) -> None:
    """Megatron derives the dtype from the vocabulary; ids that others store otherwise are checked as they are read."""
    first = shards[0]
    if first.dtype in (token_dtype(0), token_dtype(1 << 20)) and first.dtype != right:
        raise InputError(
            f"{first.idx_path} holds {first.dtype.name}, and a vocabulary of {vocab_size} tokens is stored as "
            f"{right.name}: it was made with another tokenizer. Run `heph tokenize` with this model's."
        )
