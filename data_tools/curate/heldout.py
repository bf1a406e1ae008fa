"""The held-out split: whole providers, never single documents.

Documents of one provider share conventions, sentences and schemas, so a held-out document whose
siblings were trained on measures memory.  A provider's side follows from its name and the seed
alone: it does not change when the corpus grows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from data_tools.packages import STDLIB
from megatron_heph.formats.document import Document


def provider_of(document: Document) -> str:
    """The provider of an API, else the package.

    The standard library is many packages under one name: there it is `python/MODULE`.
    """
    if "provider" in document.api:
        return document.api["provider"]
    package = document.provenance.get("package", "")
    if package == STDLIB:
        top = document.provenance.get("path", "").partition("/")[0]
        return f"{STDLIB}/{top.removesuffix('.py')}"
    return package


def is_heldout(provider: str, seed: int, share: float, named: Collection[str]) -> bool:
    """Whether `provider` is held out: by name where `named` has any, else by a hash below `share`."""
    if named:
        return provider in named
    return keyed_fraction(seed, provider) < share


def keyed_fraction(seed: int, key: str) -> float:
    """A number in [0, 1) that depends on the seed and the key alone, evenly spread over keys."""
    digest = hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
