"""One shard: documents, engine, writer, and a record of what it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash

from data_tools.tokenize.columns import Batch, Codes, Segments, Texts
from data_tools.tokenize.engines.base import Engine
from data_tools.tokenize.masks import tokens_without_loss
from data_tools.tokenize.plan import Piece, ShardPlan
from data_tools.tokenize.quarantine import Quarantine
from data_tools.tokenize.reading import BLOCK_BYTES, read_piece
from megatron_heph._native import IndexedWriter
from megatron_heph.errors import InputError
from megatron_heph.formats.manifest import InputPiece, ShardInfo
from megatron_heph.formats.mask import MaskWriter, mask_path, spans_of

OnProgress = Callable[[int, int, int], None]
"""Called with the bytes read from the disk, the bytes of text and the tokens since the last call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How documents become tokens, besides the engine; the same for all shards."""

    field: str
    vocab_size: int
    eod_id: int | None
    max_bad_lines: int = 0
    block_bytes: int = BLOCK_BYTES


@dataclass(slots=True)
class _Counts:
    documents: int = 0
    characters: int = 0
    utf8_bytes: int = 0
    empty: int = 0
    licenses: Counter[str] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)

    def add(self, batch: Batch, kept: npt.NDArray[np.bool_]) -> None:
        self.documents += int(kept.sum())
        self.empty += int((~kept).sum())
        self.characters += int(batch.characters[kept].sum())
        self.utf8_bytes += int(np.diff(batch.texts.offsets)[kept].sum())
        for counter, codes in (
            (self.licenses, batch.licenses), (self.domains, batch.domains), (self.sources, batch.sources),
        ):  # fmt: skip
            _count(counter, codes, kept)


class _Shard:
    """A shard at work."""

    def __init__(self, prefix: Path, engine: Engine, settings: Settings, on_progress: OnProgress) -> None:
        self._engine, self._settings, self._on_progress = engine, settings, on_progress
        self.checksum = xxhash.xxh3_128()
        self.writer = IndexedWriter(str(prefix), settings.vocab_size, on_write=self.checksum.update)
        self.mask = MaskWriter(mask_path(prefix))
        self.bad = Quarantine(prefix, settings.max_bad_lines)
        self.counts = _Counts()

    def add_piece(self, piece: Piece) -> InputPiece:
        digest, read = xxhash.xxh3_128(), 0

        def on_bytes(chunk: memoryview | bytes) -> None:
            nonlocal read
            digest.update(chunk)
            read += len(chunk)

        for batch in read_piece(piece, self._settings.field, on_bytes, self._settings.block_bytes):
            tokens, size = self.writer.tokens, self.counts.utf8_bytes
            self.bad.add(piece.file, batch.bad)
            self._add(batch)
            self._on_progress(read, self.counts.utf8_bytes - size, self.writer.tokens - tokens)
            read = 0
        self._on_progress(read, 0, 0)
        return InputPiece(
            path=piece.file.name, begin=piece.begin, end=piece.end, file_bytes=piece.file.bytes,
            xxh3=digest.hexdigest(),
        )  # fmt: skip

    def _add(self, batch: Batch) -> None:
        lengths = []
        for start, stop, segments in _runs(batch.segments, len(batch.texts)):
            lengths.append(self._add_run(_part(batch.texts, start, stop), segments))
        self.counts.add(batch, np.concatenate([np.empty(0, np.int64), *lengths]) > 0)

    def _add_run(self, texts: Texts, segments: Segments | None) -> npt.NDArray[np.int64]:
        """Documents that all have segments, or none; offsets cost time, and most documents need none."""
        start, end = self.writer.tokens, self._settings.eod_id
        if segments is None:
            tokens = self._engine.encode(texts)
        else:
            tokens, spans = self._engine.encode_with_spans(texts)
            flags = tokens_without_loss(segments, tokens.lengths, spans, ends=end is not None)
            self.mask.append(spans_of(flags, start))
        kept = tokens.lengths[tokens.lengths > 0]      # a document without tokens would be a lone end
        self.writer.append(tokens.ids, kept, end)
        return tokens.lengths


def write_shard(
    plan: ShardPlan, folder: Path, engine: Engine, settings: Settings, on_progress: OnProgress
) -> ShardInfo:
    """Tokenizes the pieces of a plan into `<name>.bin/.idx` (and `.mask`, and `.quarantine.jsonl`).

    All have names ending in `.partial` until they are complete.  Raises InputError that names file and line
    for what cannot be read, and for a disk that does not take the result.
    """
    prefix = folder / plan.name
    try:
        shard = _Shard(prefix, engine, settings, on_progress)
        with shard.writer as writer, shard.mask as mask:
            inputs = tuple(shard.add_piece(piece) for piece in plan.pieces)
            shard.bad.finalize()
            has_mask = mask.finalize()      # before the pair: a pair is never seen without its mask
            writer.finalize()
            return _describe(prefix, inputs, shard, mask.masked_tokens if has_mask else 0)
    except OSError as error:
        raise InputError(
            f"{error.filename or prefix}: {error.strerror}. The shard was not written, the finished "
            f"ones are kept: make room or mend the folder, and run the same command again."
        ) from error


def _runs(segments: Segments, documents: int) -> Iterator[tuple[int, int, Segments | None]]:
    """(start, stop, segments) of runs of documents that all have segments (numbered from 0), or none."""
    has = np.zeros(documents, np.bool_)
    has[segments.documents] = True
    edges = np.flatnonzero(np.diff(has, prepend=~has[:1], append=~has[-1:]))
    for start, stop in pairwise(edges.tolist()):
        if not has[start]:
            yield start, stop, None
            continue
        a, b = np.searchsorted(segments.documents, (start, stop))
        yield start, stop, Segments(segments.documents[a:b] - start, segments.ends[a:b], segments.train[a:b])


def _part(texts: Texts, start: int, stop: int) -> Texts:
    edges = texts.offsets[start : stop + 1]
    return Texts(texts.data[edges[0] : edges[-1]], edges - edges[0])


def _count(counter: Counter[str], codes: Codes, kept: npt.NDArray[np.bool_]) -> None:
    names, of_document = codes
    if names:
        numbers = np.bincount(of_document[kept & (of_document >= 0)], minlength=len(names)).tolist()
        counter.update({name: number for name, number in zip(names, numbers, strict=True) if number})


def _describe(prefix: Path, inputs: tuple[InputPiece, ...], shard: _Shard, masked: int) -> ShardInfo:
    counts = shard.counts
    return ShardInfo(
        name=prefix.name,
        inputs=inputs,
        documents=counts.documents,
        tokens=shard.writer.tokens,
        masked_tokens=masked,
        characters=counts.characters,
        utf8_bytes=counts.utf8_bytes,
        empty=counts.empty,
        malformed=shard.bad.count,
        bin_bytes=shard.writer.tokens * shard.writer.item_size,
        bin_xxh3=shard.checksum.hexdigest(),
        idx_xxh3=file_checksum(prefix.with_name(prefix.name + ".idx")),
        mask_xxh3=file_checksum(mask_path(prefix)) if masked else "",
        licenses=dict(sorted(counts.licenses.items())),
        domains=dict(sorted(counts.domains.items())),
        sources=dict(sorted(counts.sources.items())),
    )


def file_checksum(path: Path) -> str:
    """XXH3-128 (hex) of a file."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
