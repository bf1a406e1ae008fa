"""docs/recipes.md has every key of the recipe with its type and default, and no other."""

from __future__ import annotations

import dataclasses
import re
import tomllib
import typing
from typing import Any

import pytest
from support.processes import ROOT

from megatron_heph.errors import InputError
from megatron_heph.formats.toml_tree import build
from megatron_heph.formats.toml_types import describe_type
from megatron_heph.recipe import tree

PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
SECTIONS = {
    "Top level": tree.Recipe,
    "[model]": tree.Model,
    "[data]": tree.Data,
    "[data.sources.NAME]": tree.Source,
    "[data.megatron]": tree.Megatron,
    "[parallel]": tree.Parallel,
    "[precision]": tree.Precision,
    "[optim]": tree.Optim,
    "[[stage]]": tree.Stage,
    "[stage.schedule]": tree.Schedule,
    "[checkpoint]": tree.Checkpoint,
    "[observe]": tree.Observe,
}


def rows_of_the_page() -> dict[str, dict[str, tuple[str, str, str]]]:
    """Section -> key -> (type, default, meaning)."""
    found: dict[str, dict[str, tuple[str, str, str]]] = {}
    for section in re.split(r"(?m)^## ", PAGE)[1:]:
        title, _, body = section.partition("\n")
        rows = re.findall(r"(?m)^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", body)
        found[title] = {key: (kind, default, meaning) for key, kind, default, meaning in rows}
    return found


def default_of(field: dataclasses.Field[Any]) -> str:
    if field.default is None:
        return "none"
    if field.default is not dataclasses.MISSING:
        value = field.default
        if isinstance(value, bool):
            return f"`{str(value).lower()}`"
        return f'`"{value}"`' if isinstance(value, str) else f"`{list(value) if isinstance(value, tuple) else value}`"
    if field.default_factory is not dataclasses.MISSING:
        return "empty" if field.default_factory is dict else "its own"
    return "needed"


def test_every_table_has_a_section() -> None:
    nodes = {node for node in vars(tree).values() if dataclasses.is_dataclass(node)}
    assert set(SECTIONS.values()) == nodes
    assert rows_of_the_page().keys() == SECTIONS.keys()


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_described(section: str) -> None:
    rows, node = rows_of_the_page()[section], SECTIONS[section]
    hints = typing.get_type_hints(node)
    assert list(rows) == [field.name for field in dataclasses.fields(node)]
    for field in dataclasses.fields(node):
        kind, default, meaning = rows[field.name]
        assert kind == describe_type(hints[field.name]), field.name
        assert default.partition(":")[0] == default_of(field), field.name
        assert meaning


def test_the_example_is_a_recipe() -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE, re.S)
    assert example is not None
    table = tomllib.loads(example[1])
    assert [stage.name for stage in build(tree.Recipe, table).stage] == ["broad", "seed"]
    with pytest.raises(InputError):
        build(tree.Recipe, {**table, "sed": 1})
