"""Fields as a bulleted list, nested by indentation and bounded in length."""

from __future__ import annotations

from collections.abc import Sequence

from data_tools.render.fields import Field
from data_tools.render.prose import one_line, shorten

_ENUM_SHOWN = 12


def field_lines(fields: Sequence[Field], *, depth: int, budget: int, description: int) -> list[str]:
    """One line a field, members of objects indented below, to `depth` levels and `budget` lines.

    Required fields come first.  Descriptions are cut to `description` characters, and to half of that
    at each level below.  Where the budget ends, a line says how many fields of that level are left out.
    """
    lines: list[str] = []
    _append(lines, sorted(fields, key=lambda f: not f.required), 0, depth, budget, description)
    return lines


def _append(
    lines: list[str], fields: Sequence[Field], level: int, depth: int, budget: int, description: int
) -> None:
    for position, field in enumerate(fields):
        if len(lines) >= budget:
            lines.append(f"{'  ' * level}- and {len(fields) - position} more")
            return
        text = shorten(one_line(field.description), max(60, description >> level))
        lines.append(
            f"{'  ' * level}- {field.name} ({', '.join(_notes(field))})" + (f": {text}" if text else "")
        )
        if field.members and level + 1 < depth:
            _append(lines, field.members, level + 1, depth, budget, description)


def _notes(field: Field) -> list[str]:
    notes = [field.type_words]
    if field.required:
        notes.append("required")
    if field.location in ("path", "query", "header"):
        notes.append(f"in {field.location}")
    if field.format:
        notes.append(field.format)
    if span := _span(field.constraints):
        notes.append(span)
    if "default" in field.constraints:
        notes.append(f"default {field.constraints['default']}")
    if field.enum:
        shown = " | ".join(map(str, field.enum[:_ENUM_SHOWN]))
        more = len(field.enum) - _ENUM_SHOWN
        notes.append(f"one of {shown}" + (f" and {more} more" if more > 0 else ""))
    return notes


def _span(constraints: dict[str, object]) -> str:
    for low_key, high_key, unit in (
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
        ("minimum", "maximum", ""),
    ):
        low, high = constraints.get(low_key), constraints.get(high_key)
        if low is not None and high is not None:
            return f"{low} to {high}{unit}"
        if low is not None or high is not None:
            return f"at least {low}{unit}" if high is None else f"at most {high}{unit}"
    return ""
