"""Which pairs make up a tokenized source, and whether the files that there are fit it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from megatron_heph.errors import InputError, nearest
from megatron_heph.formats.manifest import Manifest, ShardInfo, manifest_path, read_manifest
from megatron_heph.formats.mask import mask_path
from megatron_heph.formats.shard import Shard, read_shard, with_suffix


def find_shards(prefix: Path) -> tuple[Manifest | None, tuple[Shard, ...]]:
    """The manifest of a source and the shards that it names, or the headers of the plain pairs of a prefix or pattern.

    Raises InputError for a manifest or header that is wrong, for pairs of several dtypes, and if there is nothing.
    """
    path = manifest_path(prefix)
    if path.is_file():
        manifest = read_manifest(path)
        if not manifest.shards:
            raise InputError(f"{path} names no shard: run `heph tokenize` again.")
        return manifest, tuple(shard_of(info, manifest, prefix.parent) for info in manifest.shards)
    shards = tuple(read_shard(pair) for pair in find_pairs(prefix))
    for shard in shards:
        if shard.dtype != shards[0].dtype:
            raise InputError(
                f"{shards[0].idx_path} holds {shards[0].dtype.name}, and {shard.idx_path} holds {shard.dtype.name}: "
                f"they were made with different tokenizers. Give a pattern for pairs of one tokenizer."
            )
    return None, shards


def shard_of(info: ShardInfo, manifest: Manifest, folder: Path) -> Shard:
    """A shard as a manifest describes it: every document is one sequence."""
    return Shard(
        prefix=folder / info.name,
        dtype=np.dtype(manifest.dtype),
        tokens=info.tokens,
        sequences=info.documents,
        documents=info.documents,
        has_mask=bool(info.mask_xxh3),
    )


def find_pairs(prefix: Path) -> list[Path]:
    """The prefixes of the plain pairs that a prefix or a pattern names, sorted; InputError if there is none."""
    if any(with_suffix(prefix, suffix).is_file() for suffix in (".bin", ".idx")):
        return [prefix]
    if any(letter in str(prefix) for letter in "*?["):
        anchor = Path(prefix.anchor)
        found = anchor.glob(f"{prefix.relative_to(anchor)}.idx")
        pairs = sorted(path.with_name(path.name.removesuffix(".idx")) for path in found)
        if pairs:
            return pairs
        raise InputError(f"No .idx fits the pattern {prefix} (without .bin or .idx): name pairs that there are.")
    raise InputError(_missing(prefix))


def check_sizes(prefix: Path, shards: tuple[Shard, ...], manifest: Manifest) -> None:
    """Compares the files of a source with its manifest by their sizes; raises InputError with both values."""
    for shard in shards:
        _check_size(shard.bin_path, shard.bin_bytes, f"{shard.tokens} tokens of {manifest.dtype}")
        _check_size(shard.idx_path, shard.idx_bytes, f"{shard.documents} documents")
        mask = mask_path(shard.prefix)
        if mask.is_file() == shard.has_mask:
            continue
        if shard.has_mask:
            raise InputError(
                f"There is no {mask}, and {manifest_path(prefix).name} says that tokens of this shard carry no loss: "
                f"copy it beside {shard.bin_path.name}, or run `heph tokenize` again."
            )
        raise InputError(
            f"There is a {mask}, and {manifest_path(prefix).name} says that all tokens of this shard carry loss: it "
            f"belongs to another source. Remove it, or copy the whole source again."
        )


def _check_size(path: Path, expected: int, holds: str) -> None:
    try:
        found = path.stat().st_size
    except OSError as error:
        raise InputError(
            f"There is no {path}, and the manifest names it ({error.strerror}): copy it again, or run `heph tokenize` "
            f"again."
        ) from error
    if found != expected:
        raise InputError(
            f"{path} has {found} bytes, and the manifest says {expected} ({holds}): it was cut short, or belongs to "
            f"another source. Copy it again, or run `heph tokenize` again."
        )


def _missing(prefix: Path) -> str:
    if any(prefix.parent.glob(f"{prefix.name}-[0-9]*.bin*")):
        return (
            f"{prefix} has shards but no {manifest_path(prefix).name}: its tokenization did not finish, or "
            f"the manifest was not copied. Run the same `heph tokenize` again (finished shards are kept), "
            f"or copy the manifest."
        )
    names: set[str] = set()
    if prefix.parent.is_dir():
        for suffix in (".manifest.json", ".idx"):
            names |= {path.name.removesuffix(suffix) for path in prefix.parent.glob(f"*{suffix}")}
    hint = nearest(prefix.name, names)
    return f"There is no tokenized source at {prefix} (a prefix, without .bin or .idx); {hint}"
