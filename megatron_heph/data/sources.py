"""Opens the sources of a recipe, and refuses those that the model cannot read."""

from __future__ import annotations

import numpy as np

from megatron_heph.errors import InputError
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.tokenizer import check_same_tokenizer
from megatron_heph.recipe.resolved import Resolved
from megatron_heph.recipe.tree import Stage

_FIRST = 1 << 16                        # tokens


def open_training(resolved: Resolved) -> dict[str, TokenizedSource]:
    """The training sources by name, in the order of their names, checked against the model.

    Raises InputError for a source that is missing, broken or too short, RefusedError (exit code 3) for
    one that another tokenizer made.
    """
    sources = {
        name: _open(resolved, node.path, f"data.sources.{name}.path")
        for name, node in sorted(resolved.recipe.data.sources.items())  # the order in the file means nothing
    }
    for name, source in sources.items():
        if source.total_tokens <= resolved.block:
            raise InputError(
                f"The source {name} ({source.prefix}) has {source.total_tokens:,} tokens, but one block of the order "
                f"has {resolved.block:,} and needs one more: tokenize more text into it, or shorten stage.*.sequence."
            )
    return sources


def open_heldout(resolved: Resolved) -> dict[str, TokenizedSource]:
    """The held-out sets by domain, checked in the same way; each fills at least one window of the first stage."""
    sets = {
        domain: _open(resolved, path, f"data.heldout.{domain}") for domain, path in resolved.recipe.data.heldout.items()
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


def _open(resolved: Resolved, path: str, key: str) -> TokenizedSource:
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


def source_weights(resolved: Resolved, stage: Stage, sources: dict[str, TokenizedSource]) -> np.ndarray:
    """The weight of each source in a stage, adding up to 1: its domain's weight, shared within the domain by tokens."""
    nodes = resolved.recipe.data.sources
    weights = []
    for name, source in sources.items():
        domain = nodes[name].domain
        together = sum(sources[other].total_tokens for other in sources if nodes[other].domain == domain)
        weights.append(stage.mixture.get(domain, 0.0) * source.total_tokens / together)
    return np.asarray(weights) / sum(weights)
