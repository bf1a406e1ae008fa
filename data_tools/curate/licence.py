"""Licences: free-form statements to SPDX, and an allow-list over SPDX expressions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from data_tools.curate.step import Dropped
from megatron_heph.errors import InputError
from megatron_heph.formats.document import Document

# What package metadata and specifications write where they do not write SPDX.  The keys are lower
# case with `license`, `licence`, `the`, punctuation and `v` before a digit taken out.
# A "BSD License" that numbers no clauses stays distinguishable: LicenseRef-BSD.
_NAMES = {
    "apache": "Apache-2.0", "apache 2": "Apache-2.0", "apache 2.0": "Apache-2.0",
    "apache software": "Apache-2.0", "apache version 2.0": "Apache-2.0",
    "apache software 2.0": "Apache-2.0", "asl 2.0": "Apache-2.0",
    "mit": "MIT", "expat": "MIT", "isc": "ISC", "isc iscl": "ISC", "zlib": "Zlib", "unlicense": "Unlicense",
    "bsd": "LicenseRef-BSD",
    "new bsd": "BSD-3-Clause", "modified bsd": "BSD-3-Clause", "revised bsd": "BSD-3-Clause",
    "bsd 3 clause": "BSD-3-Clause", "3 clause bsd": "BSD-3-Clause", "bsd 2 clause": "BSD-2-Clause",
    "2 clause bsd": "BSD-2-Clause", "simplified bsd": "BSD-2-Clause",
    "psf": "PSF-2.0", "python software foundation": "PSF-2.0", "python": "PSF-2.0",
    "mozilla public 2.0": "MPL-2.0", "mozilla public 2.0 mpl 2.0": "MPL-2.0", "mpl 2.0": "MPL-2.0",
    "cc0 1.0 universal": "CC0-1.0", "cc0": "CC0-1.0",
    "gnu general public 3 gpl3": "GPL-3.0-only", "gpl3": "GPL-3.0-only",
}  # fmt: skip
_URLS = {
    r"apache\.org/licenses/license-2\.0": "Apache-2.0",
    r"opensource\.org/licenses?/mit": "MIT",
    r"opensource\.org/licenses?/bsd-3-clause": "BSD-3-Clause",
    r"creativecommons\.org/publicdomain/zero/1\.0": "CC0-1.0",
}


def spdx(statement: str) -> str:
    """The SPDX expression that a statement means, or "" if it is not recognised."""
    if not statement.strip():
        return ""
    try:
        return canonicalize_license_expression(statement)
    except InvalidLicenseExpression:
        pass
    for pattern, name in _URLS.items():
        if re.search(pattern, statement.lower()):
            return name
    words = re.sub(r"[^a-z0-9.]+", " ", statement.lower())
    words = re.sub(r"\b(license|licence|the|see)\b", " ", words)
    words = re.sub(r"\bv(?=\d)|(?<=[a-z])v(?=\d)", "", words)
    return _NAMES.get(" ".join(words.split()), "")


def from_text(text: str) -> str:
    """The SPDX name of a licence's full text, for the few that most packages use; "" for others."""
    words = " ".join(text.lower().split())
    if "redistribution and use in source and binary forms" in words:
        return "BSD-3-Clause" if "neither the name" in words else "BSD-2-Clause"
    if "permission is hereby granted, free of charge" in words:
        return "MIT"
    return "Apache-2.0" if "apache license version 2.0" in words[:200] else ""


def allowed(expression: str, allow: frozenset[str]) -> bool:
    """Whether an SPDX expression lets us take the text: AND needs both sides, OR one of them.

    `X WITH exception` is as good as X: an exception only grants more.
    """
    tokens = re.findall(r"[()]|[^\s()]+", expression)
    value, rest = _any_of(tokens, allow)
    assert not rest, f"{expression!r} is not a canonical SPDX expression"
    return value


def _any_of(tokens: list[str], allow: frozenset[str]) -> tuple[bool, list[str]]:
    value, rest = _all_of(tokens, allow)
    while rest and rest[0] == "OR":
        right, rest = _all_of(rest[1:], allow)
        value = value or right
    return value, rest


def _all_of(tokens: list[str], allow: frozenset[str]) -> tuple[bool, list[str]]:
    value, rest = _one(tokens, allow)
    while rest and rest[0] == "AND":
        right, rest = _one(rest[1:], allow)
        value = value and right
    return value, rest


def _one(tokens: list[str], allow: frozenset[str]) -> tuple[bool, list[str]]:
    if tokens[0] == "(":
        value, rest = _any_of(tokens[1:], allow)
        return value, rest[1:]
    rest = tokens[3:] if tokens[1:2] == ["WITH"] else tokens[1:]
    return tokens[0] in allow, rest


class AllowedLicence:
    """Keeps documents whose licence is recognised and allowed, and writes it down as SPDX."""

    name = "licence"

    def __init__(self, allow: Sequence[str]) -> None:
        if not allow:
            raise InputError(
                "licences.allow is empty, so no document could stay: list SPDX names such as 'MIT'."
            )
        unknown = [entry for entry in allow if not spdx(entry) or " " in spdx(entry)]
        if unknown:
            raise InputError(
                f"licences.allow has {unknown[0]!r}, which is no SPDX licence; write a short name such as "
                f"'Apache-2.0', 'BSD-3-Clause', 'MIT' or 'PSF-2.0'."
            )
        self.allow = frozenset(map(spdx, allow))

    def __call__(self, document: Document) -> Document | Dropped:
        """Drops with the reason `unknown` or `not allowed: EXPRESSION`."""
        expression = spdx(document.license)
        if not expression:
            return Dropped(f"unknown: {document.license[:60] or 'none stated'}")
        if not allowed(expression, self.allow):
            return Dropped(f"not allowed: {expression}")
        return dataclasses.replace(document, license=expression)
