"""Fields as the JSON Schema of a function that a model may call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from data_tools.render.fields import Field
from data_tools.render.prose import first_sentence

_ENUM_SHOWN = 12
_PURPOSE = 120  # characters


def function_schema(
    name: str, purpose: str, fields: Sequence[Field], *, depth: int, description: int
) -> dict[str, Any]:
    """`{name, description, parameters}`, as tool-calling interfaces take it.

    Fields are described in at most `description` characters each, and not at all where that is 0.
    """
    return {
        "name": name,
        "description": first_sentence(purpose, _PURPOSE),
        "parameters": object_schema(sorted(fields, key=lambda f: not f.required), depth, description),
    }


def object_schema(fields: Sequence[Field], depth: int, description: int) -> dict[str, Any]:
    """The schema of an object with these members; `required` is left out where nothing is."""
    schema: dict[str, Any] = {"type": "object"}
    if fields and depth > 0:
        schema["properties"] = {field.name: field_schema(field, depth - 1, description) for field in fields}
        if required := [field.name for field in fields if field.required]:
            schema["required"] = required
    return schema


def field_schema(field: Field, depth: int, description: int) -> dict[str, Any]:
    """The schema of one field; objects deeper than `depth` stay without members."""
    schema: dict[str, Any] = {} if field.type == "any" else {"type": field.type}
    if field.type == "array" and field.item is not None:
        schema["items"] = field_schema(field.item, depth, 0)
    elif field.item is not None:
        schema["additionalProperties"] = field_schema(field.item, depth, 0)
    elif field.children:
        schema = object_schema(field.children, depth, description // 2 if depth else 0)
    if field.enum:
        schema["enum"] = list(field.enum[:_ENUM_SHOWN])
    if description and field.description:
        schema["description"] = first_sentence(field.description, description)
    return schema
