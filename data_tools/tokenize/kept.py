"""Which shards of an earlier run may stay."""

from __future__ import annotations

from pathlib import Path

import xxhash

from data_tools.tokenize.plan import Piece, ShardPlan
from data_tools.tokenize.reading import raw_bytes
from megatron_heph.errors import InputError
from megatron_heph.formats.manifest import ShardInfo
from megatron_heph.formats.shard import read_shard


def looks_finished(plan: ShardPlan, info: ShardInfo, folder: Path) -> bool:
    """Whether the files of a shard are whole, and were made of these pieces of these files, by their sizes."""
    pieces = [(piece.begin, piece.end, piece.file.bytes) for piece in plan.pieces]
    if pieces != [(piece.begin, piece.end, piece.file_bytes) for piece in info.inputs]:
        return False
    try:
        shard = read_shard(folder / plan.name)
    except InputError:
        return False
    return shard.tokens == info.tokens and shard.has_mask == bool(info.mask_xxh3)


def is_older(plan: ShardPlan, folder: Path) -> bool:
    """Whether no input has been written since the shard was: make's rule, so that a rerun reads no terabytes."""
    made = (folder / f"{plan.name}.idx").stat().st_mtime_ns
    return all(piece.file.path.stat().st_mtime_ns <= made for piece in plan.pieces)


def has_same_inputs(plan: ShardPlan, info: ShardInfo) -> bool:
    """Whether the bytes of the inputs are those that the shard was made of; reads them."""
    pairs = zip(plan.pieces, info.inputs, strict=True)
    return all(piece_checksum(piece) == recorded.xxh3 for piece, recorded in pairs)


def piece_checksum(piece: Piece) -> str:
    """XXH3-128 (hex) of the bytes that `read_piece` reads."""
    digest = xxhash.xxh3_128()
    for chunk in raw_bytes(piece):
        digest.update(chunk)
    return digest.hexdigest()
