"""Secrets that found their way into documentation are masked, not learned."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter

from data_tools.curate.step import Dropped
from megatron_heph.formats.document import Document

# Each match is replaced as a whole.  Vendors' own placeholders (…EXAMPLE) are no secrets and stay.
_PATTERNS = {
    "aws access key": (
        re.compile(r"\b(?:AKIA|ASIA)(?![A-Z0-9]*EXAMPLE)[A-Z0-9]{16}\b"),
        "AKIAIOSFODNN7EXAMPLE",
    ),
    "private key": (
        re.compile(
            r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----[A-Za-z0-9+/=\s\\]{40,}?-----END \1PRIVATE KEY-----"
        ),
        "[private key]",
    ),
    "github token": (re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b"), "[github token]"),
    "slack token": (re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{20,}"), "[slack token]"),
}


class MaskSecrets:
    """Replaces what looks like a live credential; `masked` counts them by kind."""

    name = "secrets"

    def __init__(self) -> None:
        self.masked: Counter[str] = Counter()

    def __call__(self, document: Document) -> Document | Dropped:
        """Never drops."""
        if document.segments:
            segments = tuple(dataclasses.replace(s, text=self._mask(s.text)) for s in document.segments)
            return dataclasses.replace(document, segments=segments)
        return dataclasses.replace(document, text=self._mask(document.text))

    def _mask(self, text: str) -> str:
        for kind, (pattern, replacement) in _PATTERNS.items():
            text, found = pattern.subn(replacement, text)
            if found:
                self.masked[kind] += found
        return text
