"""A tokenized source: shards in order, read as one stream of tokens."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from megatron_heph.errors import InputError, nearest
from megatron_heph.formats.manifest import Manifest, ShardInfo, manifest_path, read_manifest
from megatron_heph.formats.mask import Spans, carries_loss, mask_path, read_mask
from megatron_heph.formats.shard import IndexedShard, token_dtype

__all__ = ["IndexedShard", "TokenizedSource", "token_dtype"]


class TokenizedSource:
    """Shards `<prefix>-NNNNN.bin/.idx` in order with `<prefix>.manifest.json`, or one plain Megatron pair.

    Attributes:
        prefix: what it was opened by.
        shards: the IndexedShards in the order of the manifest.
        manifest: None for a Megatron pair without one.
        total_tokens: tokens in all shards.
    """

    def __init__(self, prefix: Path, shards: tuple[IndexedShard, ...], manifest: Manifest | None) -> None:
        self.prefix, self.shards, self.manifest = prefix, shards, manifest
        # edges[i] is the position of shard i's first token in the stream; the last edge is its length
        self._edges = [0, *np.cumsum([len(shard.tokens) for shard in shards]).tolist()]
        self.total_tokens: int = self._edges[-1]

    @classmethod
    def open(cls, prefix: Path | str, *, vocab_size: int | None = None, deep: bool = True) -> TokenizedSource:
        """Opens and checks a source.

        `vocab_size`, where it is known, is checked against the dtype of a pair without manifest; `deep` is
        passed to IndexedShard.  Raises InputError if something is missing or does not fit together.
        """
        prefix = Path(prefix)
        if manifest_path(prefix).is_file():
            manifest = read_manifest(manifest_path(prefix))
            if not manifest.shards:
                raise InputError(f"{manifest_path(prefix)} names no shard: run `heph tokenize` again.")
            shards = tuple(_open_shard(prefix.parent, info, manifest, deep) for info in manifest.shards)
            return cls(prefix, shards, manifest)
        if not any(prefix.with_name(prefix.name + suffix).is_file() for suffix in (".bin", ".idx")):
            raise InputError(_missing(prefix))
        shard = IndexedShard(prefix, deep=deep)
        if vocab_size is not None and shard.dtype != token_dtype(vocab_size):
            raise InputError(
                f"{shard.idx_path} holds {shard.dtype.name}, and a vocabulary of {vocab_size} tokens is "
                f"stored as {token_dtype(vocab_size).name}: it was made with another tokenizer. Run `heph "
                f"tokenize` with this model's."
            )
        return cls(prefix, (shard,), None)

    def read(self, start: int, count: int) -> npt.NDArray[np.int64]:
        """The tokens [start, start + count) of the stream, across shards: int64 [count].

        Raises IndexError if the range is not inside the stream.
        """
        tokens = np.empty(count, np.int64)
        for index, begin, stop, at in self._pieces(start, count):
            tokens[at : at + stop - begin] = self.shards[index].tokens[begin:stop]
        return tokens

    def read_loss_mask(self, start: int, count: int) -> npt.NDArray[np.bool_]:
        """Which of the tokens [start, start + count) carry loss: bool [count]; without `.mask`, all do."""
        loss = np.ones(count, np.bool_)
        for index, begin, stop, at in self._pieces(start, count):
            spans = self.masks[index]
            if spans is not None:
                loss[at : at + stop - begin] = carries_loss(spans, begin, stop - begin)
        return loss

    def document_at(self, position: int) -> tuple[int, int]:
        """The (shard, document of that shard) that holds a position of the stream."""
        index, begin, _, _ = self._pieces(position, 1)[0]
        return index, self.shards[index].document_at(begin)

    @cached_property
    def document_starts(self) -> npt.NDArray[np.int64]:
        """The positions in the stream where documents begin: int64 [documents], 8 bytes each in memory."""
        edges = self._edges[:-1]
        pairs = zip(self.shards, edges, strict=True)
        return np.concatenate([shard.document_starts() + edge for shard, edge in pairs])

    @cached_property
    def masks(self) -> tuple[Spans | None, ...]:
        """Per shard the spans without loss, uint64 [spans, 2]; None where the shard has no `.mask`."""
        paths = [mask_path(shard.prefix) for shard in self.shards]
        return tuple(
            read_mask(path, len(shard.tokens)) if path.is_file() else None
            for path, shard in zip(paths, self.shards, strict=True)
        )

    def _pieces(self, start: int, count: int) -> list[tuple[int, int, int, int]]:
        """(shard, first token, stop token, place in the result) of each shard that the range touches."""
        if start < 0 or count < 0 or start + count > self.total_tokens:
            raise IndexError(
                f"tokens [{start}, {start + count}) of {self.prefix}, which has {self.total_tokens}"
            )
        pieces, done = [], 0
        index = bisect_right(self._edges, start) - 1
        while done < count:
            begin = start + done - self._edges[index]
            stop = min(begin + count - done, self._edges[index + 1] - self._edges[index])
            if stop > begin:
                pieces.append((index, begin, stop, done))
            done, index = done + stop - begin, index + 1
        return pieces


def _open_shard(folder: Path, info: ShardInfo, manifest: Manifest, deep: bool) -> IndexedShard:
    shard = IndexedShard(folder / info.name, deep=deep)
    if shard.dtype != np.dtype(manifest.dtype):
        raise InputError(
            f"{shard.idx_path} holds {shard.dtype.name}, and the manifest says {manifest.dtype} (a "
            f"vocabulary of {manifest.tokenizer.vocab_size} tokens): the shard belongs to another source. "
            f"Run `heph tokenize` again."
        )
    found, expected = (len(shard.tokens), len(shard)), (info.tokens, info.documents)
    if found != expected:
        raise InputError(
            f"{shard.idx_path} has {found[0]} tokens in {found[1]} documents, and the manifest says "
            f"{expected[0]} in {expected[1]}: the shard belongs to another source. Copy it again, or run "
            f"`heph tokenize` again."
        )
    if info.mask_xxh3 and not mask_path(shard.prefix).is_file():
        raise InputError(
            f"There is no {mask_path(shard.prefix)}, and the manifest says that {info.masked_tokens} tokens "
            f"of this shard carry no loss: copy it beside {shard.bin_path.name}, or run `heph tokenize` "
            f"again."
        )
    return shard


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
