"""JSON Schema as OpenAPI 3 and Swagger 2 use it -> Fields; `$ref`s are followed, cycles and depth cut."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from data_tools.render.fields import Field
from data_tools.render.prose import one_line, plain

_CONSTRAINTS = ("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum", "default")
_TYPES = frozenset({"string", "integer", "number", "boolean", "array", "object"})
_MAX_CHAIN = 16  # a $ref to a $ref to ...


def resolve(node: Any, root: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The table that `node` is or points to, and the last `$ref` followed ("" if none).

    A reference outside the file, or to nothing, gives an empty table: what cannot be seen is shown as
    `any`, not guessed.
    """
    last = ""
    for _ in range(_MAX_CHAIN):
        if not isinstance(node, dict):
            return {}, last
        reference = node.get("$ref")
        if not isinstance(reference, str):
            return node, last
        last, node = reference, _lookup(reference, root)
    return {}, last


def _lookup(reference: str, root: dict[str, Any]) -> Any:
    if not reference.startswith("#/"):
        return None
    node: Any = root
    for part in reference[2:].split("/"):
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict):
            node = node.get(key)
        elif isinstance(node, list) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        else:
            return None
    return node


def field(
    name: str, schema: Any, root: dict[str, Any], *, depth: int, required: bool = False, location: str = "",
    description: str = "", above: tuple[str, ...] = (),
) -> Field:  # fmt: skip
    """The Field of a schema; `description` overrides the schema's own.

    Below `depth` levels, and where a schema contains itself, an object has no members.
    """
    own = (
        schema.get("description") if isinstance(schema, dict) else None
    )  # beside a $ref, as OpenAPI 3.1 allows
    table, reference = resolve(schema, root)
    inside_itself = bool(reference) and reference in above
    above = (*above, reference) if reference else above
    table = _merged(table, root, above)
    kind = _type(table)
    children: tuple[Field, ...] = ()
    item = None
    if not inside_itself:
        if kind == "array":
            item = field("", table.get("items", {}), root, depth=depth, above=above)
        elif isinstance(table.get("additionalProperties"), dict) and not table.get("properties"):
            item = field("", table["additionalProperties"], root, depth=depth, above=above)
        elif depth > 0:
            children = members(table, root, depth=depth - 1, above=above)
    return Field(
        name=name,
        type=kind,
        description=one_line(
            plain(str(description or own or table.get("description") or table.get("title") or ""))
        ),
        required=required,
        location=location,
        format=str(table.get("format", "")) if kind == "string" else "",
        enum=tuple(value for value in table.get("enum") or () if value is not None),
        constraints={
            key: table[key] for key in _CONSTRAINTS if isinstance(table.get(key), (str, int, float))
        },
        example=table.get("example"),
        children=children,
        item=item,
    )


def members(
    table: dict[str, Any], root: dict[str, Any], *, depth: int, above: tuple[str, ...]
) -> tuple[Field, ...]:
    """The Fields of an object schema's properties; `readOnly` ones stay, they are part of responses."""
    properties = table.get("properties")
    needed = table.get("required")
    needed = needed if isinstance(needed, list) else []  # draft 3 wrote `required: true` inside the property
    return tuple(
        field(str(name), schema, root, depth=depth, required=name in needed, above=above)
        for name, schema in (properties.items() if isinstance(properties, dict) else ())
    )


def _merged(table: dict[str, Any], root: dict[str, Any], above: tuple[str, ...]) -> dict[str, Any]:
    """`allOf` folded into one table; of `oneOf` and `anyOf` the first that is not null stands for all."""
    parts = [part for part in table.get("allOf") or () if isinstance(part, dict)]
    choices = [part for part in table.get("oneOf") or table.get("anyOf") or () if isinstance(part, dict)]
    parts += [part for part in choices if part.get("type") != "null"][:1]
    merged = dict(table)
    for part in parts:
        inner, reference = resolve(part, root)
        if reference and reference in above:
            continue
        inner = _merged(inner, root, (*above, reference) if reference else above)
        for key, value in inner.items():
            if key == "properties" and isinstance(value, dict):
                merged[key] = {**value, **(merged.get(key) or {})}
            elif key == "required" and isinstance(value, list):
                merged[key] = [*value, *(merged.get(key) or [])]
            else:
                merged.setdefault(key, value)
    return merged


def _type(table: dict[str, Any]) -> str:
    stated = table.get("type")
    if isinstance(stated, list):  # OpenAPI 3.1: ["string", "null"]
        stated = next((kind for kind in stated if kind != "null"), None)
    if stated in _TYPES:
        return str(stated)
    if "properties" in table or "additionalProperties" in table:
        return "object"
    if "items" in table:
        return "array"
    return "string" if stated == "file" or "enum" in table else "any"
