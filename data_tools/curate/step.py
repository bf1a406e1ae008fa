"""What a curation step is: a document goes in; it, a changed one, or the reason for its absence comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from megatron_heph.formats.document import Document


@dataclass(frozen=True, slots=True)
class Dropped:
    """A document was left out, and why; the reason is counted, so it names a class and not an instance."""

    reason: str


class Step(Protocol):
    """One step of curation; `name` is its key in the manifest."""

    name: str

    def __call__(self, document: Document) -> Document | Dropped:
        """The document to keep, or why there is none."""
        ...


class Ledger:
    """Counts what each step dropped: (step, reason) -> documents."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def drop(self, step: str, reason: str, documents: int = 1) -> None:
        """Enters `documents` that `step` left out."""
        if documents:
            self.counts[step, reason] += documents

    def table(self) -> dict[str, dict[str, int]]:
        """The manifest's form: {step: {reason: documents}}, sorted."""
        rows: dict[str, dict[str, int]] = {}
        for (step, reason), documents in sorted(self.counts.items()):
            rows.setdefault(step, {})[reason] = documents
        return rows


def curate(items: Iterator[Document | Dropped], steps: list[Step], ledger: Ledger) -> Iterator[Document]:
    """Passes each document through the steps in order; what falls out is entered in the ledger."""
    for item in items:
        kept: Document | Dropped = item
        last = "read"
        for step in steps:
            if isinstance(kept, Dropped):
                break
            last = step.name
            kept = step(kept)
        if isinstance(kept, Dropped):
            ledger.drop(last, kept.reason)
        else:
            yield kept
