"""A corpus's `manifest.json`: what is in it, from what, and what was left out and why.

It holds no time and no path of a machine: the same inputs give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_tools.curate.heldout import provider_of
from data_tools.packages import Package
from megatron_heph.errors import InputError
from megatron_heph.formats.document import Document

MANIFEST = "manifest.json"
FORMAT = 1


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a corpus folder; InputError if the folder is no finished corpus."""
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{folder} is no finished corpus: it has no {MANIFEST}. `heph forge RECIPE` makes one."
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}): forge the corpus anew with --force.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else manifest
        raise InputError(
            f"{path} is a manifest of format {found!r}, and this version reads {FORMAT}: forge it anew."
        )
    return manifest


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Writes the manifest; its presence says that the corpus is finished."""
    text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def fingerprint(recipe: dict[str, Any], packages: Sequence[Package]) -> str:
    """SHA-256 over all that determines a corpus: the recipe, the packages read, and the forge's code."""
    parts = [recipe, [package.describe() for package in packages], _code_sha256()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _code_sha256() -> str:
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for folder in ("curate", "render", "sources", "."):
        for path in sorted((root / folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def describe_documents(documents: Sequence[Document]) -> dict[str, Any]:
    """Documents and characters, in all and by provider, and the licences."""
    providers: dict[str, Counter[str]] = {}
    for document in documents:
        row = providers.setdefault(provider_of(document), Counter())
        row.update(documents=1, characters=len(document.full_text))
    return {
        "documents": len(documents),
        "characters": sum(row["characters"] for row in providers.values()),
        "providers": {name: dict(row) for name, row in providers.items()},
        "licenses": dict(Counter(document.license for document in documents)),
    }


def describe_file(folder: Path, path: Path, documents: int) -> dict[str, Any]:
    """A shard's row: path in the corpus, documents, bytes and SHA-256."""
    raw = path.read_bytes()
    return {
        "path": path.relative_to(folder).as_posix(), "documents": documents,
        "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest(),
    }  # fmt: skip
