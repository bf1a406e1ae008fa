"""Merging shards into one, as if their documents had been written in one go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_tools.tokenize.quarantine import quarantine_path
from data_tools.tokenize.shards import file_checksum
from megatron_heph._native import merge_pairs
from megatron_heph.errors import InputError
from megatron_heph.formats.check_pair import check_index
from megatron_heph.formats.manifest import Manifest, ShardInfo, total
from megatron_heph.formats.mask import MaskWriter, mask_path, read_mask
from megatron_heph.formats.shard import Shard, read_shard

_SPANS_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class MergeTotals:
    """What a merged shard holds."""

    documents: int
    tokens: int
    masked_tokens: int      # tokens without loss; 0 where there is no .mask
    bin_bytes: int


def merge_shards(
    prefixes: Sequence[Path], target: Path, on_copied: Callable[[int], None] = lambda _: None
) -> MergeTotals:
    """Writes `<target>.bin/.idx` (and `.mask`) from the pairs of `prefixes`, in that order.

    The sources stay.  Every index is walked before anything is written; memory does not grow with the size
    of the shards.  `on_copied` is called with the bytes of `.bin` since the last call.

    Raises InputError for a pair that is missing, damaged, named twice or of another dtype, for a mask that
    does not fit its pair, for a target that exists, and for a disk that does not take the result (nothing
    is left of it then).
    """
    _check_names(prefixes, target)
    sources = [_open(prefix) for prefix in prefixes]
    for source in sources:
        _check_same_dtype(sources[0], source)
    try:
        masked_tokens = _merge_masks(sources, mask_path(target))     # first: a pair is never seen without its mask
        try:
            merge_pairs([str(prefix) for prefix in prefixes], str(target), on_copied)
        except BaseException:
            mask_path(target).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(
            f"{error.filename or target}: {error.strerror}. The shards were not merged, and stay as they "
            f"are: make room or mend the folder, and merge again."
        ) from error
    tokens = sum(source.tokens for source in sources)
    return MergeTotals(
        documents=sum(source.documents for source in sources),
        tokens=tokens,
        masked_tokens=masked_tokens,
        bin_bytes=tokens * sources[0].dtype.itemsize,
    )


def _check_names(prefixes: Sequence[Path], target: Path) -> None:
    if not prefixes:
        raise InputError(f"There is nothing to merge into {target}: name the prefixes of one or more shards.")
    seen: set[Path] = set()
    for prefix in prefixes:
        if prefix.resolve() in seen:
            raise InputError(
                f"{prefix} is named twice: its documents would be trained on twice. Name every shard once "
                f"(epochs belong in the recipe)."
            )
        seen.add(prefix.resolve())
    if target.resolve() in seen:
        raise InputError(f"{target} is one of the shards to merge: give the result a prefix of its own.")
    if target.with_name(target.name + ".idx").exists():
        raise InputError(f"There is a shard {target} already: give the result another prefix, or remove that one.")


def _open(prefix: Path) -> Shard:
    shard = read_shard(prefix)
    check_index(shard)
    if shard.has_mask:
        read_mask(mask_path(prefix), shard.tokens)
    return shard


def _check_same_dtype(first: Shard, other: Shard) -> None:
    if first.dtype != other.dtype:
        raise InputError(
            f"{first.prefix}.idx holds {first.dtype.name}, and {other.prefix}.idx holds {other.dtype.name}: "
            f"they were made with different tokenizers (uint16 is for a vocabulary below 65,500 tokens), and "
            f"one shard has one. Tokenize both with the model's tokenizer, or keep them apart."
        )


def _merge_masks(sources: Sequence[Shard], target: Path) -> int:
    start = 0
    with MaskWriter(target) as mask:
        for source in sources:
            path = mask_path(source.prefix)
            spans = read_mask(path, source.tokens) if path.is_file() else np.empty((0, 2), np.uint64)
            for at in range(0, len(spans), _SPANS_AT_ONCE):
                part = spans[at : at + _SPANS_AT_ONCE].astype(np.int64)
                part[:, 0] += start
                mask.append(part)
            start += source.tokens
        mask.finalize()
    return mask.masked_tokens


def merge_source(prefix: Path, manifest: Manifest, begun: Path) -> Manifest:
    """Merges all shards of a source into the one pair `<prefix>.bin/.idx`; the manifest of that.

    The shards stay; the caller removes them when the new manifest stands.  `begun` is a file that says, for
    a run after this one, that what is there under `prefix` is of a merge that did not come to its end.
    Raises InputError as `merge_shards` does.
    """
    folder, names = prefix.parent, [shard.name for shard in manifest.shards]
    if prefix.name in names:      # merged before, and added to since
        raise InputError(
            f"{prefix} is one pair already, and {len(names) - 1} shards were added: leave --merge out (the source is "
            f"whole as it is), or merge into another -o."
        )
    if begun.is_file():
        for suffix in (".bin", ".idx", ".mask"):
            prefix.with_name(prefix.name + suffix).unlink(missing_ok=True)
    elif not prefix.with_name(prefix.name + ".idx").exists():      # else it is somebody's, and refused below
        begun.touch()
    totals = merge_shards([folder / name for name in names], prefix)
    _merge_quarantines([folder / name for name in names], prefix)
    mask = mask_path(prefix)
    info = ShardInfo(
        name=prefix.name,
        inputs=tuple(piece for shard in manifest.shards for piece in shard.inputs),
        documents=totals.documents,
        tokens=totals.tokens,
        masked_tokens=totals.masked_tokens,
        characters=manifest.characters,
        utf8_bytes=manifest.utf8_bytes,
        empty=manifest.empty,
        malformed=manifest.malformed,
        bin_bytes=totals.bin_bytes,
        bin_xxh3=file_checksum(prefix.with_name(prefix.name + ".bin")),
        idx_xxh3=file_checksum(prefix.with_name(prefix.name + ".idx")),
        mask_xxh3=file_checksum(mask) if mask.is_file() else "",
        licenses=manifest.licenses,
        domains=total(shard.domains for shard in manifest.shards),
        sources=total(shard.sources for shard in manifest.shards),
    )
    return replace(manifest, shards=(info,))


def _merge_quarantines(shards: Sequence[Path], target: Path) -> None:
    paths = [path for shard in shards if (path := quarantine_path(shard)).is_file()]
    if paths:
        quarantine_path(target).write_bytes(b"".join(path.read_bytes() for path in paths))
