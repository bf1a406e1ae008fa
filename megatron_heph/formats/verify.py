"""Reads all of a source and compares it with itself, its manifest and its vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import xxhash

from megatron_heph.errors import InputError
from megatron_heph.formats.check_pair import check_ids, check_index, check_mask
from megatron_heph.formats.find_shards import find_pairs, shard_of
from megatron_heph.formats.manifest import Manifest, ShardInfo, manifest_path, read_manifest
from megatron_heph.formats.mask import mask_path
from megatron_heph.formats.shard import AGAIN, Shard, input_error, read_shard, with_suffix

_BYTES = 1 << 23        # of a file at a time


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of reading all of a source."""

    shards: int
    bytes: int
    faults: tuple[tuple[str, str], ...]        # name and text; of each shard with one, the first
    compared: str                              # what ids and checksums were compared with, for people


def verify_source(prefix: Path | str, on_progress: Callable[[int, int], None] = lambda done, total: None) -> Verified:
    """Reads every byte of a source and checks all that `verify_shard` does; goes on after a shard with a fault.

    `on_progress` is called with the bytes read so far and their total.  Raises InputError only where there is no
    source, or no manifest that can be read.
    """
    prefix = Path(prefix)
    manifest = read_manifest(manifest_path(prefix)) if manifest_path(prefix).is_file() else None
    infos: dict[Path, ShardInfo | None] = dict.fromkeys(find_pairs(prefix)) if manifest is None else {
        prefix.parent / info.name: info for info in manifest.shards
    }  # fmt: skip
    total, done, read = sum(map(_bytes_there, infos)), 0, 0
    faults = []
    for pair, info in infos.items():
        before = done

        def add(count: int) -> None:
            nonlocal done
            done += count
            on_progress(done, total)

        try:
            verify_shard(pair, info, manifest, add)
        except (InputError, OSError) as error:
            faults.append((pair.name, str(error if isinstance(error, InputError) else input_error(error))))
        read += done - before
        done = before + _bytes_there(pair)      # what a fault left unread is not to come
    compared = (
        f"ids are below {manifest.tokenizer.vocab_size:,}, and checksums are the manifest's"
        if manifest
        else "no manifest: nothing to compare checksums and vocabulary with"
    )
    return Verified(shards=len(infos), bytes=read, faults=tuple(faults), compared=compared)


def verify_shard(
    pair: Path, info: ShardInfo | None, manifest: Manifest | None, on_bytes: Callable[[int], None]
) -> None:
    """Reads every byte of a pair and its `.mask`, with bounded memory; InputError names the first fault.

    Checks the header and sizes, that sequences follow each other, documents ascend and spans of the mask are
    apart; against the manifest, where there is one, the counts, the vocabulary and the XXH3-128 of each file.
    `on_bytes` is called with the bytes read since the last call.
    """
    shard = read_shard(pair)
    if manifest is not None and info is not None:
        _compare(shard, shard_of(info, manifest, pair.parent))
    check_index(shard)
    masked = check_mask(shard) if shard.has_mask else 0
    if info is not None and masked != info.masked_tokens:
        raise InputError(
            f"{mask_path(pair)} covers {masked} tokens, and the manifest says {info.masked_tokens}: the mask belongs "
            f"to another shard. {AGAIN}"
        )
    vocab_size = manifest.tokenizer.vocab_size if manifest is not None else None
    for path, expected in _checksums(shard, info):
        digest, at = xxhash.xxh3_128(), 0
        for part in _parts(path):
            if path == shard.bin_path:
                check_ids(shard, part, at, vocab_size)
            digest.update(part)
            at += len(part)
            on_bytes(len(part))
        if expected is not None and digest.hexdigest() != expected:
            raise InputError(
                f"{path} has the XXH3-128 {digest.hexdigest()}, and the manifest says {expected}: its bytes changed "
                f"since it was written. {AGAIN}"
            )


def _bytes_there(pair: Path) -> int:
    paths = [with_suffix(pair, suffix) for suffix in (".bin", ".idx", ".mask")]
    return sum(path.stat().st_size for path in paths if path.is_file())


def _compare(found: Shard, expected: Shard) -> None:
    for name in ("dtype", "tokens", "documents", "sequences", "has_mask"):
        one, other = getattr(found, name), getattr(expected, name)
        if one != other:
            raise InputError(
                f"{found.prefix}: {name} is {one} in the files, and {other} in the manifest: the shard belongs to "
                f"another source. {AGAIN}"
            )


def _checksums(shard: Shard, info: ShardInfo | None) -> Iterator[tuple[Path, str | None]]:
    yield shard.bin_path, info.bin_xxh3 if info is not None else None
    yield shard.idx_path, info.idx_xxh3 if info is not None else None
    if shard.has_mask:
        yield mask_path(shard.prefix), info.mask_xxh3 if info is not None else None


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while part := stream.read(_BYTES):
            yield part
