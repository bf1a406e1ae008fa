"""One shard: blocks of lines, engine, writer, and a record of what it holds."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np

from data_tools.tokenize.engines.libraries import Engine
from data_tools.tokenize.inputs import BLOCK_BYTES, Input, LineBlock, read_blocks
from data_tools.tokenize.records import Record, parse_record, tokens_without_loss
from megatron_heph._native import IndexedWriter
from megatron_heph.errors import InputError
from megatron_heph.formats.indexed import IndexedShard
from megatron_heph.formats.manifest import InputFile, ShardInfo
from megatron_heph.formats.mask import MaskWriter, mask_path, spans_of

OnProgress = Callable[[int, int, int], None]
"""Called with the bytes read from the disk, the bytes of text and the tokens since the last call."""


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """Which files, in order, become the shard `<prefix>-NNNNN`; it never depends on the number of workers."""

    prefix: Path
    inputs: tuple[Input, ...]


@dataclass(slots=True)
class _Counts:
    documents: int = 0
    characters: int = 0
    utf8_bytes: int = 0
    empty: int = 0
    licenses: Counter[str] = field(default_factory=Counter)
    domains: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)

    def add(self, records: Sequence[Record]) -> None:
        self.documents += len(records)
        self.characters += sum(len(record.text) for record in records)
        self.utf8_bytes += sum(record.utf8_bytes for record in records)
        self.licenses.update(record.license for record in records if record.license)
        self.domains.update(record.domain for record in records if record.domain)
        self.sources.update(record.source for record in records if record.source)


@dataclass(frozen=True, slots=True)
class _Output:
    """What one shard is written with."""

    engine: Engine
    text_field: str
    writer: IndexedWriter
    mask: MaskWriter
    counts: _Counts


def plan_shards(prefix: Path, inputs: Iterable[Input], shard_bytes: int) -> list[ShardPlan]:
    """Groups whole files, in order, into shards of at least `shard_bytes` on the disk (but for the last)."""
    groups: list[list[Input]] = []
    size = shard_bytes
    for file in inputs:
        if size >= shard_bytes:
            groups.append([])
            size = 0
        groups[-1].append(file)
        size += file.bytes
    return [ShardPlan(shard_prefix(prefix, index), tuple(group)) for index, group in enumerate(groups)]


def shard_prefix(prefix: Path, index: int) -> Path:
    """`data/api`, 3 -> `data/api-00003`."""
    return prefix.with_name(f"{prefix.name}-{index:05d}")


def is_finished(plan: ShardPlan, earlier: ShardInfo) -> bool:
    """Whether an earlier run made this very shard: whole files, of inputs with the same bytes."""
    sizes = [file.bytes for file in plan.inputs]
    if sizes != [file.bytes for file in earlier.inputs]:
        return False
    try:
        shard = IndexedShard(plan.prefix, deep=False)
    except InputError:
        return False
    if len(shard.tokens) != earlier.tokens or mask_path(plan.prefix).is_file() != bool(earlier.mask_sha256):
        return False
    return [_file_sha256(file.path) for file in plan.inputs] == [file.sha256 for file in earlier.inputs]


def write_shard(
    plan: ShardPlan, engine: Engine, text_field: str, on_progress: OnProgress, block_bytes: int = BLOCK_BYTES
) -> ShardInfo:
    """Tokenizes the files of a plan into `<prefix>.bin/.idx` (and `.mask`).

    All three have names ending in `.partial` until they are complete.  Raises InputError that names file
    and line for what cannot be read, and for a disk that does not take the result.
    """
    counts, inputs = _Counts(), []
    try:
        with (
            IndexedWriter(str(plan.prefix), engine.vocab_size) as writer,
            MaskWriter(mask_path(plan.prefix)) as mask,
        ):
            out = _Output(engine, text_field, writer, mask, counts)
            for file in plan.inputs:
                inputs.append(_write_file(file, out, on_progress, block_bytes))
            has_mask = mask.finalize()      # before the pair: a pair is never seen without its mask
            writer.finalize()
            return _describe(plan, inputs, counts, writer.tokens, mask.masked_tokens if has_mask else 0)
    except OSError as error:
        raise InputError(
            f"{error.filename or plan.prefix}: {error.strerror}. The shard was not written, the finished "
            f"ones are kept: make room or mend the folder, and run the same command again."
        ) from error


def _write_file(file: Input, out: _Output, on_progress: OnProgress, block_bytes: int) -> InputFile:
    digest, read = hashlib.sha256(), 0

    def on_bytes(chunk: bytes) -> None:
        nonlocal read
        digest.update(chunk)
        read += len(chunk)
        on_progress(len(chunk), 0, 0)

    for block in read_blocks(file.path, on_bytes, block_bytes):
        tokens, size = out.writer.tokens, out.counts.utf8_bytes
        _write_block(block, file, out)
        on_progress(0, out.counts.utf8_bytes - size, out.writer.tokens - tokens)
    return InputFile(path=file.name, bytes=read, sha256=digest.hexdigest())


def _write_block(block: LineBlock, file: Input, out: _Output) -> None:
    records = [parse_record(line, out.text_field, f"{file.path}:{number}") for number, line in block.lines()]
    # Runs with and without segments, in order: offsets cost time, and most documents need none.
    for segmented, run in groupby(records, key=lambda record: bool(record.segments)):
        batch = list(run)
        texts = [record.text for record in batch]
        start = out.writer.tokens
        if segmented:
            ids, lengths, offsets = out.engine.encode_with_offsets(texts)
            parts = zip(batch, np.split(offsets, np.cumsum(lengths)[:-1]), strict=True)
            flags = [tokens_without_loss(record.segments, part) for record, part in parts if len(part)]
            out.mask.append(spans_of(np.concatenate([np.empty(0, np.bool_), *flags]), start))
        else:
            ids, lengths = out.engine.encode_batch(texts)
        kept = lengths > 0      # a document without tokens would be a lone end-of-document
        out.writer.append(ids, lengths[kept], out.engine.eod_id)
        out.counts.add([record for record, keep in zip(batch, kept, strict=True) if keep])
        out.counts.empty += int((~kept).sum())


def _describe(
    plan: ShardPlan, inputs: list[InputFile], counts: _Counts, tokens: int, masked: int
) -> ShardInfo:
    bin_path, idx_path = (plan.prefix.with_name(plan.prefix.name + suffix) for suffix in (".bin", ".idx"))
    return ShardInfo(
        name=plan.prefix.name,
        inputs=tuple(inputs),
        documents=counts.documents,
        tokens=tokens,
        masked_tokens=masked,
        characters=counts.characters,
        utf8_bytes=counts.utf8_bytes,
        empty=counts.empty,
        bin_bytes=bin_path.stat().st_size,
        bin_sha256=_file_sha256(bin_path),
        idx_sha256=_file_sha256(idx_path),
        mask_sha256=_file_sha256(mask_path(plan.prefix)) if masked else "",
        licenses=dict(sorted(counts.licenses.items())),
        domains=dict(sorted(counts.domains.items())),
        sources=dict(sorted(counts.sources.items())),
    )


def _file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
