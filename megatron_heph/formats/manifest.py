"""`<prefix>.manifest.json`: what a tokenized source is made of, and how.

The manifest is written last, when every shard is complete; a source whose manifest is there is whole.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from megatron_heph.errors import InputError
from megatron_heph.formats.plain_rows import build_plain
from megatron_heph.formats.toml_tree import build

FORMAT_VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerInfo:
    """What decided the ids of a source."""

    hash: str                 # megatron_heph.formats.tokenizer.tokenizer_hash
    name: str                 # the name of the folder or file, for people
    vocab_size: int           # largest id + 1, added tokens included
    eod_id: int | None        # ends every document; None where nothing does
    eod_token: str            # "" where nothing ends a document
    special_tokens: str       # "text": a literal special token is ordinary text; "parse": it is the token


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPiece:
    """A range of an input file, as it lies on the disk (compressed, where it is).

    It holds the lines (of Parquet, the row groups) that begin in [begin, end); a compressed file is never cut.
    """

    path: str                 # relative, or the name alone: never a path of one machine
    begin: int                # in bytes
    end: int
    file_bytes: int           # size of the whole file
    xxh3: str                 # XXH3-128 (hex) of the bytes that were read, over the end to that of the last line


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardInfo:
    """One `.bin/.idx` pair (and its `.mask`), and the inputs it holds, in order.

    Malformed lines that the user allowed are in `<name>.quarantine.jsonl`.  Checksums are XXH3-128, in hex.
    """

    name: str                 # file name without suffix, beside the manifest
    inputs: tuple[InputPiece, ...]
    documents: int
    tokens: int               # with the end-of-document tokens
    masked_tokens: int        # tokens without loss; 0 where there is no .mask
    characters: int
    utf8_bytes: int
    empty: int                # documents without text or tokens, left out
    malformed: int = 0        # lines that are no document, left out
    bin_bytes: int
    bin_xxh3: str
    idx_xxh3: str
    mask_xxh3: str = ""       # empty where there is no .mask
    licenses: dict[str, int] = field(default_factory=dict)    # documents per licence
    domains: dict[str, int] = field(default_factory=dict)     # documents per domain, where the lines say it
    sources: dict[str, int] = field(default_factory=dict)     # documents per source, where the lines say it


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A tokenized source: tokenizer, policy, shards in order; totals are sums over the shards."""

    tokenizer: TokenizerInfo
    domain: str               # "" where neither the documents nor the command said it
    source: str
    field: str                # the key of the text in lines that are not Documents
    dtype: str                # "uint16" or "int32"
    shards: tuple[ShardInfo, ...]
    engine: str = ""          # library and version that made the ids, checked against the tokenizer's own
    format_version: int = FORMAT_VERSION

    @property
    def inputs(self) -> tuple[InputPiece, ...]:
        """All inputs in order."""
        return tuple(file for shard in self.shards for file in shard.inputs)

    @property
    def documents(self) -> int:
        """Documents in all shards."""
        return sum(shard.documents for shard in self.shards)

    @property
    def tokens(self) -> int:
        """Tokens in all shards."""
        return sum(shard.tokens for shard in self.shards)

    @property
    def masked_tokens(self) -> int:
        """Tokens without loss in all shards."""
        return sum(shard.masked_tokens for shard in self.shards)

    @property
    def empty(self) -> int:
        """Documents left out, as they had no text or no tokens."""
        return sum(shard.empty for shard in self.shards)

    @property
    def malformed(self) -> int:
        """Lines left out, as they are no document."""
        return sum(shard.malformed for shard in self.shards)

    @property
    def characters(self) -> int:
        """Unicode code points of text in all shards."""
        return sum(shard.characters for shard in self.shards)

    @property
    def utf8_bytes(self) -> int:
        """UTF-8 bytes of text in all shards: the unit of bits per byte."""
        return sum(shard.utf8_bytes for shard in self.shards)

    @property
    def licenses(self) -> dict[str, int]:
        """Documents per licence in all shards, sorted by name."""
        return total(shard.licenses for shard in self.shards)

    def totals(self) -> dict[str, Any]:
        """The sums that the file repeats for people and other programs."""
        names = (
            "documents", "tokens", "masked_tokens", "empty", "malformed", "characters", "utf8_bytes", "licenses",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def to_json(self) -> str:
        """The text of the manifest file."""
        row = asdict(self)
        shards = row.pop("shards")
        version = row.pop("format_version")
        ordered = {"format_version": version, **row, "totals": self.totals(), "shards": shards}
        return json.dumps(ordered, indent=2, ensure_ascii=False) + "\n"

    def write(self, path: Path) -> None:
        """Writes the manifest, under a temporary name until all of it is on the disk."""
        write_durably(path, self.to_json().encode())


def total(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    """The sum of counts by name, sorted by name."""
    summed: Counter[str] = Counter()
    for count in counts:
        summed.update(count)
    return dict(sorted(summed.items()))


def manifest_path(prefix: Path) -> Path:
    """`data/api` -> `data/api.manifest.json`."""
    return prefix.with_name(prefix.name + ".manifest.json")


def read_manifest(path: Path) -> Manifest:
    """Reads a manifest; InputError names the file and the key that is wrong."""
    row = _read_object(path)
    version, totals = row.get("format_version"), row.pop("totals", None)
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path} has format_version {version!r}, and this program reads {FORMAT_VERSION}: tokenize again with "
            f"this version, under another -o, or remove {path.name.split('.')[0]}* there first."
        )
    try:
        manifest = build_plain(Manifest, row) or build(Manifest, row)     # the second one names what is wrong
    except InputError as error:
        raise InputError(f"{path} is not a manifest of `heph tokenize`: {error}") from error
    if totals != manifest.totals():
        raise InputError(
            f"{path} contradicts itself: its totals are {totals}, its shards sum to {manifest.totals()}. It "
            f"was changed by hand or cut short: copy it again, or run `heph tokenize` again."
        )
    return manifest


def _read_object(path: Path) -> dict[str, Any]:
    try:
        row = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(
            f"{path} is not JSON ({error}): copy it again, or run `heph tokenize` again."
        ) from error
    if not isinstance(row, dict):
        raise InputError(f"{path} holds a JSON {type(row).__name__}, but a manifest is an object.")
    return row


def write_durably(path: Path, content: bytes) -> None:
    """Writes a small file so that a crash leaves the old one or the new one, never half of it."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
