"""From a botocore service model to an Operation: shapes become Fields, with recursion and depth cut."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from data_tools.render.code import boto3_call
from data_tools.render.fields import Field
from data_tools.render.operation import Example, Operation
from data_tools.render.prose import one_line, plain
from data_tools.render.sample import sample_arguments

_TYPES = {
    "structure": "object", "map": "object", "list": "array", "string": "string", "character": "string",
    "blob": "string", "timestamp": "string", "integer": "integer", "long": "integer", "bigInteger": "integer",
    "float": "number", "double": "number", "bigDecimal": "number", "boolean": "boolean",
}  # fmt: skip
_FORMATS = {"blob": "base64", "timestamp": "date-time"}
_LOCATIONS = {"uri": "path", "querystring": "query", "header": "header", "headers": "header"}
_BOUNDS = {
    "string": ("minLength", "maxLength"),
    "blob": ("minLength", "maxLength"),
    "list": ("minItems", "maxItems"),
}


def operation_of(
    service: str, model: dict[str, Any], operation: dict[str, Any], examples: list[dict[str, Any]], depth: int
) -> Operation:
    """The Operation of one entry of `model["operations"]`.

    `service` is its folder in botocore; `depth` levels of nested members are shown; the first of
    `examples` (of `examples-1.json`) is the worked call, which is made from the schema where there is none.
    """
    metadata, shapes, name = model["metadata"], model["shapes"], operation["name"]
    # One level below what is shown, so that worked calls fill in required members there too.
    fields = _members(shapes, operation.get("input"), depth + 1, ())
    http, version = operation.get("http", {}), metadata.get("apiVersion", "")
    method = _python_name(name)
    purpose = plain(operation["documentation"])
    worked = [_real_example(service, method, example) for example in examples[:1]]
    return Operation(
        title=metadata.get("serviceFullName", service),
        name=name,
        function=f"{service}_{method}".replace("-", "_").replace(".", "_"),
        purpose=purpose,
        request=f"{http.get('method', 'POST')} {http.get('requestUri', '/')} (API version {version})",
        parameters=fields,
        returns=_members(shapes, operation.get("output"), depth, ()),
        errors=[_error(shapes, error["shape"]) for error in operation.get("errors", ())],
        examples=worked or [_made_example(service, method, purpose, fields)],
    )


def _members(
    shapes: dict[str, Any], reference: dict[str, Any] | None, depth: int, above: tuple[str, ...]
) -> tuple[Field, ...]:
    """The members of the structure that `reference` names; none below `depth` levels or inside itself."""
    name = reference["shape"] if reference else ""
    if depth == 0 or name in above:
        return ()
    shape = shapes.get(name, {})
    required = shape.get("required", ())
    return tuple(
        _field(shapes, member, target, member in required, depth - 1, (*above, name))
        for member, target in shape.get("members", {}).items()
        if not target.get("deprecated")
    )


def _field(
    shapes: dict[str, Any],
    name: str,
    reference: dict[str, Any],
    required: bool,
    depth: int,
    above: tuple[str, ...],
) -> Field:
    shape = shapes[reference["shape"]]
    kind, item = shape["type"], None
    # Lists and maps of themselves exist (nested filters): they are cut like structures.
    if (inner := shape.get("member") or shape.get("value")) and reference["shape"] not in above:
        item = _field(shapes, "", inner, False, depth, (*above, reference["shape"]))
    low, high = _BOUNDS.get(kind, ("minimum", "maximum"))
    constraints = {key: shape[bound] for key, bound in ((low, "min"), (high, "max")) if bound in shape}
    return Field(
        name=name,
        type=_TYPES[kind],
        description=one_line(plain(reference.get("documentation") or shape.get("documentation") or "")),
        required=required,
        location=_LOCATIONS.get(reference.get("location", ""), ""),
        format=_FORMATS.get(kind, ""),
        enum=tuple(shape.get("enum", ())),
        constraints=constraints,
        children=_members(shapes, reference, depth, above) if kind == "structure" else (),
        item=item,
    )


def _error(shapes: dict[str, Any], name: str) -> tuple[str, str]:
    return name, one_line(plain(shapes.get(name, {}).get("documentation", "")))


def _real_example(service: str, method: str, example: dict[str, Any]) -> Example:
    title = one_line(plain(example.get("description") or example.get("title") or "A worked call."))
    arguments = example.get("input") or {}
    return Example(
        title=title, arguments=arguments, code=boto3_call(service, method, arguments), language="python",
        made=False, response=example.get("output"),
    )  # fmt: skip


def _made_example(service: str, method: str, purpose: str, fields: Sequence[Field]) -> Example:
    arguments = sample_arguments(fields, service)
    return Example(
        title="A call with the required parameters" if any(f.required for f in fields) else "A call",
        arguments=arguments, code=boto3_call(service, method, arguments), language="python", made=True,
    )  # fmt: skip


@functools.cache
def _python_name(operation: str) -> str:
    from botocore import xform_name

    return str(xform_name(operation))
