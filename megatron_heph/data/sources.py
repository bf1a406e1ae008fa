"""Opens the sources of a recipe, and refuses those that the model cannot read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from megatron_heph.errors import InputError
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.tokenizer import check_same_tokenizer
from megatron_heph.recipe.resolved import Resolved
from megatron_heph.recipe.tree import Source

_FIRST = 1 << 16                        # tokens


@dataclass(frozen=True, slots=True)
class TrainingSource:
    """A source of the mixture: its tokens, and how the recipe reads them."""

    name: str
    tokens: TokenizedSource
    node: Source

    @property
    def total_tokens(self) -> int:
        """Tokens of the source."""
        return self.tokens.total_tokens


Sources = dict[str, TrainingSource]


def open_training(resolved: Resolved) -> Sources:
    """The training sources by name, in the order of their names, checked against the model.

    Raises InputError for a source that is missing, broken or empty, RefusedError (exit code 3) for one that
    another tokenizer made.
    """
    sources = {
        name: TrainingSource(name, open_source(resolved, node.path, f"data.sources.{name}.path"), node)
        for name, node in sorted(resolved.recipe.data.sources.items())  # the order in the file means nothing
    }
    for name, source in sources.items():
        if source.total_tokens < 2:
            raise InputError(
                f"The source {name} ({source.tokens.prefix}) has {source.total_tokens:,} tokens, and a token to read "
                f"and one to predict are the least: tokenize text into it, or remove data.sources.{name}."
            )
    return sources


def open_heldout(resolved: Resolved) -> dict[str, TokenizedSource]:
    """The held-out sets by domain, checked in the same way; each fills at least one window of the first stage."""
    sets = {
        domain: open_source(resolved, path, f"data.heldout.{domain}")
        for domain, path in resolved.recipe.data.heldout.items()
    }
    first, limit = resolved.recipe.stage[0], resolved.recipe.observe.heldout_tokens
    for domain, source in sets.items():
        check_window(domain, source, first.sequence, limit)
    return sets


def check_window(domain: str, source: TokenizedSource, sequence: int, limit: int) -> None:
    """Raises InputError for a held-out set without one window of `sequence` tokens among its first `limit`."""
    if source.total_tokens <= sequence:
        raise InputError(
            f"The held-out set of {domain} ({source.prefix}) has {source.total_tokens:,} tokens, but one window has "
            f"{sequence:,} and needs one more: hold out more text, remove data.heldout.{domain}, or shorten the "
            f"window (in a recipe the first stage's sequence)."
        )
    if limit < sequence:
        raise InputError(
            f"The held-out measurement is limited to {limit:,} tokens (in a recipe observe.heldout_tokens), less than "
            f"one window of {sequence:,}: set it to {sequence:,} or more."
        )


def open_source(resolved: Resolved, path: str, key: str) -> TokenizedSource:
    """Opens a tokenized source that the recipe's `key` names, for the recipe's model."""
    try:
        source = TokenizedSource.open(path, vocab_size=resolved.shape.vocab)
    except InputError as error:
        raise InputError(f"{error} (The recipe's {key} names it.)") from error
    manifest, base = source.manifest, resolved.base
    if manifest is None:
        _check_first_ids(source, resolved.shape.vocab, key)
        return source
    if base is not None:
        check_same_tokenizer(manifest, base.tokenizer_sha256, prefix=path, base=base.folder)
    elif manifest.tokenizer.vocab_size > resolved.shape.vocab:
        raise InputError(
            f"The source {path} has ids up to {manifest.tokenizer.vocab_size - 1}, but the model's vocabulary is "
            f"{resolved.shape.vocab}: set model.vocab to at least {manifest.tokenizer.vocab_size}, or change {key}."
        )
    return source


def _check_first_ids(source: TokenizedSource, vocab: int, key: str) -> None:
    """A plain pair does not say which tokenizer made it, but ids that the model lacks show soon.

    The loader looks at all that is read.
    """
    largest = int(source.read(0, min(source.total_tokens, _FIRST)).max(initial=0))
    if largest >= vocab:
        raise InputError(
            f"The source {source.prefix} holds the id {largest}, but the model's vocabulary is {vocab} (ids up to "
            f"{vocab - 1}): another tokenizer made it. Tokenize its text with this model's, or change {key}."
        )


def shares(domains: Mapping[str, float], sources: Mapping[str, TrainingSource]) -> dict[str, float]:
    """The share of each source in the samples, adding up to 1; sources without one are left out.

    A domain's weight is shared out among its sources in `sources`: by their weights where they have some, else by
    their tokens.  A domain without a source there leaves its weight to the others.
    """
    parts = {
        name: float(source.total_tokens if source.node.weight is None else source.node.weight)
        for name, source in sources.items()
    }
    together: dict[str, float] = {}
    for name, source in sources.items():
        together[source.node.domain] = together.get(source.node.domain, 0.0) + parts[name]
    weights = {
        name: domains.get(source.node.domain, 0.0) * parts[name] / together[source.node.domain]
        for name, source in sources.items()
        if together[source.node.domain] > 0
    }
    whole = sum(weights.values())
    return {name: weight / whole for name, weight in weights.items() if weight > 0}
