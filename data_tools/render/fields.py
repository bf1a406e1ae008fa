"""The neutral form of a parameter, whatever kind of specification it was read from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A parameter, a member of a body or of a response.

    `type` is a JSON type (string, integer, number, boolean, array, object) or `any`.  `item` is the
    element of an array or the value of a map; `children` are the members of an object.  A tree of
    Fields is finite: whoever builds it bounds its depth and cuts recursion.
    """

    name: str
    type: str
    description: str = ""
    required: bool = False
    location: str = ""  # path, query, header, body; "" where the protocol has none
    format: str = ""
    enum: tuple[Any, ...] = ()
    constraints: dict[str, Any] = field(
        default_factory=dict
    )  # JSON Schema's words: minLength, maximum, pattern...
    example: Any = None
    children: tuple[Field, ...] = ()
    item: Field | None = None

    @property
    def type_words(self) -> str:
        """The type as documentation says it: `array of string`, `map of object`."""
        if self.item is not None:
            return f"{'array' if self.type == 'array' else 'map'} of {self.item.type_words}"
        return self.type

    @property
    def members(self) -> tuple[Field, ...]:
        """The members of the object, or of the object inside an array or map."""
        return self.item.members if self.item is not None else self.children
