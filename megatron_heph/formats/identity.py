"""Whether two sources hold the same tokens, without reading them."""

from __future__ import annotations

import os
from pathlib import Path

import xxhash

from megatron_heph.formats.indexed import TokenizedSource

_PLACES = 64                            # of a source without checksums that are looked at, at least
_BYTES = 4096                           # at each


def source_identity(source: TokenizedSource, shards: int | None = None) -> bytes:
    """16 bytes that are others for other tokens or documents; names and folders have no part in them.

    From the checksums in the manifest; of pairs without one from their sizes and a sample of their bytes.  With
    `shards`, of that many first ones.
    """
    hash_ = xxhash.xxh3_128()
    sums = [info.bin_xxh3 + info.idx_xxh3 for info in source.manifest.shards] if source.manifest else None
    first = source.shards[:shards]
    for number, shard in enumerate(first):
        checksum = sums[number] if sums else ""
        hash_.update(f"{shard.dtype.name} {shard.tokens} {shard.documents} {checksum}\n".encode())
        if not sums:
            places = max(2, _PLACES // len(first))
            hash_.update(_sample(shard.idx_path, places) + _sample(shard.bin_path, places))
    return hash_.digest()


def _sample(path: Path, places: int) -> bytes:
    with path.open("rb") as stream:
        last = max(os.fstat(stream.fileno()).st_size - _BYTES, 0)
        return b"".join(os.pread(stream.fileno(), _BYTES, at * last // (places - 1)) for at in range(places))
