"""From a TOML file and dotted overrides to a typed, frozen tree of dataclasses.

Unknown keys are errors that name the nearest key; wrong types name the key, the value and the type.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NewType, TypeVar, get_args, get_origin

from megatron_heph.errors import InputError, nearest

Tokens = NewType("Tokens", int)
"""A number of tokens; a recipe may write it as 50000, "50k", "1.5M" or "103B"."""

_MULTIPLES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_TREE = TypeVar("_TREE")


def parse_tokens(value: object, where: str) -> Tokens:
    """Reads a number of tokens: 50000, "50k", "1.5M", "103B"; raises InputError otherwise."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Tokens(value)
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*([kKmMbBtT]?)", value)):
        number = float(match[1].replace("_", "")) * _MULTIPLES[match[2].lower()]
        if number == int(number):
            return Tokens(int(number))
    raise InputError(f"{where} is {value!r}: a number of tokens is written as 50000, \"50k\", \"1.5M\" or \"103B\".")


def read_toml(path: Path) -> dict[str, Any]:
    """Reads a TOML file; InputError names the file and the line."""
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path()
        names = [p.name for p in folder.glob("*.toml")]
        near = nearest(path.name, names) if names else f"the folder {folder} holds no .toml file."
        raise InputError(f"There is no recipe at {path}: {near}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}.") from error


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
            node = _child(node, key, ".".join(parents[: depth + 1]))
        if not isinstance(node, dict):
            raise InputError(f"The override {override!r} names a key inside {'.'.join(parents)}, which is a value.")
        node[last] = value


def _child(node: Any, key: str, path: str) -> Any:
    if isinstance(node, list):
        names = [str(item.get("name")) for item in node if isinstance(item, dict)]
        if key not in names:
            raise InputError(f"The override names {path}, but no element has that name; {nearest(key, names)}")
        return node[names.index(key)]
    if not isinstance(node, dict):
        raise InputError(f"The override names a key inside {path}, which is a value.")
    return node.setdefault(key, {})


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
            raise InputError(f"{where} is {value!r}, but it is a table of keys.")
        return build(typing.cast(type, kind), value, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin is tuple:
        return _convert_tuple(arguments, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise InputError(f"{where} is {value!r}, but it is a table of keys.")
        return {key: _convert(arguments[1], item, _dotted(where, key)) for key, item in value.items()}
    if origin is typing.Literal:
        if value not in arguments:
            options = ", ".join(repr(a) for a in arguments)
            near = nearest(str(value), map(str, arguments))
            raise InputError(f"{where} is {value!r}; it is one of {options}: {near}")
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
    raise InputError(" Or: ".join(problems))


def _convert_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise InputError(f"{where} is {value!r}, but it is a list.")
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
        return value
    raise InputError(f"{where} is {value!r} ({type(value).__name__}); it needs {kind.__name__}.")


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
