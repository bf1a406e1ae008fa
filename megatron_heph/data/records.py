"""What a checkpoint keeps of each source, so that a resumed run reads on in the same tokens, or says why it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from megatron_heph.data.sources import Sources, TrainingSource
from megatron_heph.errors import InputError
from megatron_heph.formats.identity import source_identity
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.recipe.tree import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """A source as a run reads it; also of sources that the run has dropped."""

    path: str
    domain: str
    window: Window
    tokens: int
    identity: str


def record(source: TrainingSource) -> SourceRecord:
    """What is to be kept of an open source."""
    return SourceRecord(
        path=source.node.path, domain=source.node.domain, window=source.node.window,
        tokens=source.total_tokens, identity=source_identity(source.tokens).hex(),
    )  # fmt: skip


def as_recorded(sources: Sources, records: Mapping[str, SourceRecord]) -> tuple[Sources, list[str]]:
    """The sources as the run has read them so far, and notes for people.

    A source that has grown at its end is read as far as it went when the run began: its blocks are in an order
    that hangs on their number.  Raises InputError for one that holds other tokens under an old name.
    """
    known, notes = dict(sources), []
    for name in sources.keys() & records.keys():
        source, kept = sources[name], records[name]
        if source.node.window != kept.window:
            raise InputError(
                f'data.sources.{name}.window is "{source.node.window}", but the run has read it as "{kept.window}", '
                f"and what is left of it cannot be told then: set it back, or begin it anew under another name."
            )
        if source_identity(source.tokens).hex() == kept.identity:
            continue
        shorter = _beginning(source.tokens, kept)
        if shorter is None:
            raise InputError(
                f"The source {name} ({source.tokens.prefix}) has {source.total_tokens:,} tokens in other shards than "
                f"the {kept.tokens:,} tokens that the run has read from ({kept.path}): set data.sources.{name}.path "
                f"back to those, or give the new ones a name of their own."
            )
        notes.append(
            f"the source {name} has grown from {kept.tokens:,} to {source.total_tokens:,} tokens; this run reads on in "
            f"the first {kept.tokens:,} (to read the others, tokenize them into a source of their own)"
        )
        known[name] = replace(source, tokens=shorter)
    return known, notes


def _beginning(source: TokenizedSource, kept: SourceRecord) -> TokenizedSource | None:
    """The first shards that are what the run has read; None if none are."""
    tokens = 0
    for count, shard in enumerate(source.shards, 1):
        tokens += shard.tokens
        if tokens == kept.tokens and source_identity(source, count).hex() == kept.identity:
            manifest = source.manifest and replace(source.manifest, shards=source.manifest.shards[:count])
            return TokenizedSource(source.prefix, source.shards[:count], manifest)
    return None


def reopen(records: Mapping[str, SourceRecord], names: set[str]) -> dict[str, TokenizedSource]:
    """Opens sources that only the record knows any more."""
    return {name: TokenizedSource.open(records[name].path) for name in sorted(names)}
