"""Exact duplicates: the same text up to case and white space."""

from __future__ import annotations

import hashlib

from data_tools.curate.step import Dropped
from megatron_heph.formats.document import Document


class ExactDuplicates:
    """Drops a document whose normalised text came before, in any source of the corpus.

    16 bytes of BLAKE2b a document are held in memory.
    """

    name = "dedup"

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def __call__(self, document: Document) -> Document | Dropped:
        """Drops with the reason `exact duplicate`; the first one stays."""
        normalised = " ".join(document.full_text.lower().split())
        digest = hashlib.blake2b(normalised.encode(), digest_size=16).digest()
        if digest in self._seen:
            return Dropped("exact duplicate")
        self._seen.add(digest)
        return document
