"""The recipe of a corpus: which readers read what, which licences are allowed, what is held out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_tools.sources.base import Reader, build_reader
from megatron_heph.errors import InputError
from megatron_heph.formats.toml_tree import apply_overrides, build, read_toml, to_table


@dataclass(frozen=True, kw_only=True)
class Heldout:
    """`share` of all providers is held out, whole; the caps are per source."""

    share: float = 0.05
    max_documents: int | None = None
    max_characters: int | None = None


@dataclass(frozen=True, kw_only=True)
class Licences:
    """`allow`: SPDX names; a document under any other licence is dropped."""

    allow: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Forge:
    """A whole recipe; `readers` are the `[[reader]]` tables, each typed by its kind."""

    name: str
    output: Path
    licences: Licences
    seed: int = 0
    shard_characters: int = 256_000_000
    heldout: Heldout = field(default_factory=Heldout)
    readers: tuple[Reader, ...] = ()

    def table(self) -> dict[str, Any]:
        """The recipe as the manifest keeps it: all of it but the place of the corpus."""
        table: dict[str, Any] = to_table(self)
        del table["output"]
        return table


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Forge:
    """Reads `path`, applies `key.key=value` overrides (`reader.NAME.key=value`), checks and builds.

    Raises InputError that names the key.
    """
    table = read_toml(path)
    apply_overrides(table, overrides)
    return build_recipe(table)


def build_recipe(table: dict[str, Any]) -> Forge:
    """Builds a recipe from its table; raises InputError that names the key."""
    header = {key: value for key, value in table.items() if key != "reader"}
    tables = table.get("reader")
    if not isinstance(tables, list) or not tables:
        raise InputError("The recipe has no [[reader]]: add at least one, with kind, name and domain.")
    if "readers" in header:
        raise InputError("Unknown key readers: did you mean 'reader'?")
    readers = [build_reader(row, f"reader.{row.get('name', index)}") for index, row in enumerate(tables)]
    recipe = dataclasses.replace(build(Forge, header), readers=tuple(readers))
    _check(recipe)
    return recipe


def _check(recipe: Forge) -> None:
    if not 0 <= recipe.heldout.share < 1:
        raise InputError(
            f"heldout.share is {recipe.heldout.share}; it is a share of all providers, from 0 to below 1."
        )
    names = [reader.name for reader in recipe.readers]
    for name in names:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", name):
            raise InputError(
                f"reader.{name}.name is {name!r}; a source names files: a-z, 0-9, `_`, `.` and `-` alone."
            )
        if names.count(name) > 1:
            raise InputError(f"Two readers have the name {name!r}; give each [[reader]] a name of its own.")
