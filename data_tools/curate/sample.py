"""Caps on a source: which documents stay when there are more than the recipe wants."""

from __future__ import annotations

from collections.abc import Sequence

from data_tools.curate.heldout import keyed_fraction, provider_of
from megatron_heph.formats.document import Document


def sample(
    documents: Sequence[Document],
    seed: int,
    *,
    max_documents: int | None = None,
    max_characters: int | None = None,
    max_provider_documents: int | None = None,
) -> list[Document]:
    """At most so many documents and characters, taken in turns from all providers; order is kept.

    A provider's documents come in an order that depends on the seed and their ids alone, so a smaller
    cap takes a subset of what a larger one takes from each provider.
    """
    by_provider: dict[str, list[int]] = {}
    for index, document in enumerate(documents):
        by_provider.setdefault(provider_of(document), []).append(index)
    for indices in by_provider.values():
        indices.sort(key=lambda index: (keyed_fraction(seed, documents[index].id), index))
        if max_provider_documents is not None:
            del indices[max_provider_documents:]
    turns = ((turn, index) for indices in by_provider.values() for turn, index in enumerate(indices))
    kept: list[int] = []
    characters = 0
    for _, index in sorted(turns, key=lambda pair: (pair[0], keyed_fraction(seed, documents[pair[1]].id))):
        if max_documents is not None and len(kept) >= max_documents:
            break
        length = len(documents[index].full_text)
        if max_characters is not None and characters + length > max_characters:
            continue
        kept.append(index)
        characters += length
    return [documents[index] for index in sorted(kept)]
