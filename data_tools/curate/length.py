"""Documents outside a source's length bounds."""

from __future__ import annotations

from data_tools.curate.step import Dropped
from megatron_heph.formats.document import Document


class LengthBounds:
    """Drops documents of fewer than `shortest` or more than `longest` characters."""

    name = "length"

    def __init__(self, shortest: int, longest: int) -> None:
        self.shortest, self.longest = shortest, longest

    def __call__(self, document: Document) -> Document | Dropped:
        """Drops with the reason that names the bound."""
        characters = len(document.full_text)
        if characters < self.shortest:
            return Dropped(f"under {self.shortest} characters")
        if characters > self.longest:
            return Dropped(f"over {self.longest} characters")
        return document
