"""From a TOML file and dotted overrides to a typed, frozen tree of dataclasses.

Unknown keys are errors that name the nearest key; wrong types name the key, the value and the type.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from megatron_heph.errors import InputError, nearest
from megatron_heph.formats.toml_types import Tokens, describe_type, parse_tokens

__all__ = ["Tokens", "apply_overrides", "build", "parse_tokens", "read_toml", "to_table"]

_TREE = TypeVar("_TREE")


def read_toml(path: Path) -> dict[str, Any]:
    """Reads a TOML file; InputError names the nearest file if there is none, and the line if it is not TOML."""
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path()
        names = [p.name for p in folder.glob("*.toml")]
        near = nearest(path.name, names) if names else f"the folder {folder} holds no .toml file."
        raise InputError(f"There is no recipe at {path}: {near}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}. Mend that place.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def apply_overrides(table: dict[str, Any], overrides: Sequence[str]) -> None:
    """Changes `table` by dotted overrides such as `optim.lr=1e-4` or `stage.broad.tokens=10k`.

    An element of an array of tables is addressed by its `name`.  A value is read as TOML, and as a
    plain string where it is not TOML.
    """
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path:
            raise InputError(f"The override {override!r} is not of the form key.key=value.")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        *parents, last = path.split(".")
        node: Any = table
        for depth, key in enumerate(parents):
            node = _child(node, key, ".".join(parents[: depth + 1]), override)
        if not isinstance(node, dict):
            raise InputError(_no_place_for_a_key(override, ".".join(parents), node))
        node[last] = value


def _child(node: Any, key: str, path: str, override: str) -> Any:
    if isinstance(node, list):
        elements = {str(item["name"]): item for item in node if isinstance(item, dict) and "name" in item}
        if key not in elements:
            near = nearest(key, elements)
            raise InputError(f"The override {override!r} names {path}, but no element has that name: {near}")
        return elements[key]
    if not isinstance(node, dict):
        raise InputError(_no_place_for_a_key(override, path.rpartition(".")[0], node))
    return node.setdefault(key, {})


def _no_place_for_a_key(override: str, path: str, node: Any) -> str:
    if isinstance(node, list):
        names = [str(item["name"]) for item in node if isinstance(item, dict) and "name" in item]
        known = f"one of its elements ({', '.join(names)})" if names else "an element"
        return f"The override {override!r} sets a key of the list {path}: name {known}, as in {path}.NAME.KEY=VALUE."
    return f"The override {override!r} sets a key inside {path}, but that is the value {node!r}: set {path} itself."


def build(cls: type[_TREE], table: dict[str, Any], where: str = "") -> _TREE:
    """Makes the dataclass `cls` from a table; `where` is the dotted path for messages.

    Raises InputError for unknown, missing and wrongly typed keys.
    """
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, cls))}
    for key in table:
        if key not in fields:
            raise InputError(f"Unknown key {_dotted(where, key)}: {nearest(key, fields)}")
    values = {}
    for name, field in fields.items():
        if name in table:
            values[name] = _convert(hints[name], table[name], _dotted(where, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InputError(f"The key {_dotted(where, name)} is missing; it has no default.")
    return cls(**values)


def _dotted(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _convert(kind: Any, value: Any, where: str) -> Any:
    if kind is Tokens:
        return parse_tokens(value, where)
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise InputError(_not_a_table(value, where))
        return build(typing.cast(type, kind), value, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin is tuple:
        return _convert_tuple(arguments, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise InputError(_not_a_table(value, where))
        return {key: _convert(arguments[1], item, _dotted(where, key)) for key, item in value.items()}
    if origin is typing.Literal:
        if value not in arguments:
            raise InputError(f"{where} is {value!r}; it needs {describe_type(kind)}: {nearest(str(value), arguments)}")
        return value
    return _convert_scalar(kind, value, where)


def _convert_union(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    problems = []
    for kind in arguments:
        if kind is not type(None):
            try:
                return _convert(kind, value, where)
            except InputError as error:
                problems.append(str(error))
    if len(problems) == 1:
        raise InputError(problems[0])
    raise InputError(f"{where} is {value!r}; it needs {describe_type(typing.Union[arguments])}.")  # noqa: UP007


def _convert_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise InputError(f"{where} is {value!r}; it needs a list, as in [1, 2].")
    repeated = len(arguments) == 2 and arguments[1] is Ellipsis
    kinds = [arguments[0]] * len(value) if repeated else list(arguments)
    if len(kinds) != len(value):
        raise InputError(f"{where} has {len(value)} elements; it needs {len(kinds)}.")
    places = [_element(where, item, index) for index, item in enumerate(value)]
    return tuple(_convert(*triple) for triple in zip(kinds, value, places, strict=True))


def _element(where: str, item: Any, index: int) -> str:
    return _dotted(where, str(item.get("name", index)) if isinstance(item, dict) else str(index))


def _convert_scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if isinstance(value, kind) and not (kind in (int, float) and isinstance(value, bool)):
        if kind is float and not math.isfinite(value):
            raise InputError(f"{where} is {value}; it needs a finite number.")
        return value
    raise InputError(f"{where} is {value!r}; it needs {describe_type(kind)}.")


def _not_a_table(value: Any, where: str) -> str:
    return f"{where} is {value!r}; it needs a table of keys, as in [{where}]."


def to_table(tree: Any) -> Any:
    """The plain table of a tree, ready for a TOML writer; keys that are None are left out."""
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        pairs = ((field.name, getattr(tree, field.name)) for field in dataclasses.fields(tree))
        return {name: to_table(value) for name, value in pairs if value is not None}
    if isinstance(tree, dict):
        return {key: to_table(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [to_table(value) for value in tree]
    return str(tree) if isinstance(tree, Path) else tree
