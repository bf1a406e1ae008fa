"""Values that fit a schema, for the worked call of an operation whose documentation has none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from data_tools.render.fields import Field

# By the end of a name, in lower case; the first that fits is taken.
_STRINGS = (
    ("arn", "arn:aws:{subject}:us-east-1:123456789012:example"),
    ("email", "user@example.com"), ("url", "https://example.com"), ("uri", "https://example.com"),
    ("token", "token-1"), ("name", "example-{subject}"), ("id", "{subject}-1234"), ("path", "example.txt"),
    ("region", "us-east-1"), ("description", "An example."), ("cidr", "10.0.0.0/16"), ("key", "example-key"),
    ("version", "1"), ("type", "default"), ("date", "2026-01-01"), ("time", "2026-01-01T00:00:00Z"),
)  # fmt: skip
_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z", "date": "2026-01-01", "uuid": "123e4567-e89b-12d3-a456-426614174000",
    "base64": "ZXhhbXBsZQ==", "byte": "ZXhhbXBsZQ==", "email": "user@example.com", "uri": "https://example.com",
}  # fmt: skip


def sample_arguments(fields: Sequence[Field], subject: str) -> dict[str, Any]:
    """Arguments for a call: all required fields, or the first two where none is required.

    `subject` (a provider's short name) goes into made identifiers.
    """
    chosen = [field for field in fields if field.required] or list(fields[:2])
    return {field.name: sample_value(field, subject) for field in chosen}


def sample_value(field: Field, subject: str) -> Any:
    """A value of the field's type, within its enum and bounds where they are stated."""
    if field.example is not None:
        return field.example
    if "default" in field.constraints:
        return field.constraints["default"]
    if field.enum:
        return field.enum[0]
    if field.type == "array":
        return [sample_value(field.item, subject)] if field.item is not None else []
    if field.type == "object":
        if field.item is not None:
            return {"example": sample_value(field.item, subject)}
        return sample_arguments(field.children, subject)
    if field.type in ("integer", "number"):
        return _number(field)
    return True if field.type == "boolean" else _string(field, subject)


def _number(field: Field) -> int | float:
    low, high = field.constraints.get("minimum"), field.constraints.get("maximum")
    value = max(low, 10) if low is not None else 10
    value = min(value, high) if high is not None else value
    return int(value) if field.type == "integer" else float(value)


def _string(field: Field, subject: str) -> str:
    value = _FORMATS.get(field.format, "")
    if not value:
        name = field.name.lower().removesuffix("s")
        ending = next((text for suffix, text in _STRINGS if name.endswith(suffix)), "example")
        stem = re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?:name|id|identifier|arn)$", "", name)).strip("-")
        value = ending.format(subject=subject if field.name.lower().endswith("arn") else stem or subject)
    low, high = field.constraints.get("minLength", 0), field.constraints.get("maxLength")
    value = value + "x" * (low - len(value)) if low <= 64 else value
    return value[:high] if high else value
