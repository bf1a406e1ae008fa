"""One API operation as a document: the same sections in the same order, whatever it was read from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data_tools.render.fields import Field
from data_tools.render.lines import field_lines
from data_tools.render.prose import first_sentence, shorten
from data_tools.render.schema import function_schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A worked call; `made` tells one made from the schema from one that the documentation ships."""

    title: str
    arguments: dict[str, Any]
    code: str  # the same call in `language`
    language: str  # python, bash
    made: bool
    response: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a document says of one operation."""

    title: str  # of the API, for people
    name: str  # of the operation, as its documentation writes it
    function: str  # the name that a call by JSON uses
    purpose: str
    request: str  # METHOD path
    parameters: Sequence[Field]
    returns: Sequence[Field]
    errors: Sequence[tuple[str, str]]  # name or status, description
    examples: Sequence[Example]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much of an operation is shown; characters, lines and levels."""

    purpose: int = 900
    description: int = 220
    parameter_lines: int = 28
    return_lines: int = 14
    depth: int = 2
    errors: int = 6
    example: int = 1500


def render(operation: Operation, bounds: Bounds) -> str:
    """The document's text.

    Sections: purpose, Request, Parameters, Returns, Errors, Function (its JSON schema), Example (the call
    as JSON, then as code, then what came back).
    """
    parts = [f"# {operation.title}: {operation.name}", shorten(operation.purpose, bounds.purpose)]
    parts += ["## Request", operation.request]
    parts += ["## Parameters", _listing(operation.parameters, bounds.parameter_lines, bounds)]
    parts += ["## Returns", _listing(operation.returns, bounds.return_lines, bounds)]
    if operation.errors:
        shown = (f"- {name}: {first_sentence(text, 120)}".rstrip(": ") for name, text in operation.errors)
        parts += ["## Errors", "\n".join(list(shown)[: bounds.errors])]
    schema = function_schema(
        operation.function, operation.purpose, operation.parameters, depth=2, description=60
    )
    if len(_json(schema)) > bounds.example:  # many parameters: names and types alone still make a legal call
        schema = function_schema(
            operation.function, operation.purpose, operation.parameters, depth=1, description=0
        )
    parts += ["## Function", f"```json\n{_json(schema)}\n```"]
    for example in operation.examples:
        parts += _example(operation.function, example, bounds.example)
    return "\n\n".join(parts) + "\n"


def _listing(fields: Sequence[Field], budget: int, bounds: Bounds) -> str:
    lines = field_lines(fields, depth=bounds.depth, budget=budget, description=bounds.description)
    return "\n".join(lines) or "None."


def _example(function: str, example: Example, limit: int) -> list[str]:
    note = f"{example.title} (values made from the schema)" if example.made else example.title
    call = _json({"name": function, "arguments": example.arguments})
    parts = ["## Example", note, f"```json\n{call}\n```", f"```{example.language}\n{example.code}\n```"]
    if example.response:
        response = _json(example.response)
        if len(response) <= limit:  # half a JSON value teaches nothing
            parts += ["Response:", f"```json\n{response}\n```"]
    return parts


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
