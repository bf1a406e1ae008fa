"""What every reader of a source is: typed options, the packages it reads, and Documents by unit of work.

A kind of source is one module of this package; it defines `READER`, a frozen dataclass derived from
`Reader` whose fields are the recipe keys of that kind.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from data_tools.curate.step import Dropped
from data_tools.packages import Package
from megatron_heph.errors import InputError, nearest
from megatron_heph.formats.document import Document
from megatron_heph.formats.toml_tree import build


@dataclass(frozen=True, kw_only=True)
class Reader(ABC):
    """The recipe keys that all kinds share.

    The caps count documents and characters that remain after curation, of the training part alone;
    what they leave out is taken evenly from all providers.
    """

    kind: str
    name: str  # of the source: files and manifest speak of it
    domain: Literal["agent", "code", "text"]
    heldout: tuple[str, ...] = ()  # held-out providers by name; without it `heldout.share` decides
    max_documents: int | None = None
    max_characters: int | None = None
    max_provider_documents: int | None = None
    shortest: int = 200  # characters of a document
    longest: int = 20_000

    @abstractmethod
    def inputs(self) -> Sequence[Package]:
        """All packages that are read; they are hashed into the manifest."""

    @abstractmethod
    def units(self) -> Sequence[str]:
        """The independent units of work (services, specifications, packages), in a fixed order."""

    @abstractmethod
    def read(self, unit: str) -> Iterator[Document | Dropped]:
        """Yields a unit's Documents in a fixed order, and why others were passed over."""


def kinds() -> list[str]:
    """The kinds of source there are: the modules beside this one."""
    folder = importlib.import_module("data_tools.sources").__path__
    return sorted(module.name for module in pkgutil.iter_modules(folder) if module.name != "base")


def build_reader(table: dict[str, Any], where: str) -> Reader:
    """The reader that a `[[reader]]` table describes; InputError names unknown kinds and keys."""
    kind = table.get("kind")
    if kind not in kinds():
        raise InputError(f"{where}.kind is {kind!r}, which no reader has; {nearest(str(kind), kinds())}")
    reader: type[Reader] = importlib.import_module(f"data_tools.sources.{kind}").READER
    return build(reader, table, where)
