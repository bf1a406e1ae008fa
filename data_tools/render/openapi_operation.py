"""From an operation of an OpenAPI 3 or Swagger 2 specification to an Operation."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from data_tools.render import json_schema
from data_tools.render.code import curl
from data_tools.render.fields import Field
from data_tools.render.operation import Example, Operation
from data_tools.render.prose import one_line, plain
from data_tools.render.sample import sample_arguments


def operation_of(
    provider: str, root: dict[str, Any], path: str, method: str, name: str, depth: int
) -> Operation:
    """The Operation of `root["paths"][path][method]`; `depth` levels of nested members are shown."""
    item, _ = json_schema.resolve(root["paths"][path], root)
    operation = item[method]
    fields = _parameters(root, item, operation, depth + 1)
    summary, description = (plain(str(operation.get(key) or "")) for key in ("summary", "description"))
    purpose = "\n".join(dict.fromkeys(part for part in (summary, description) if part))
    arguments = sample_arguments(fields, provider)
    function = re.sub(r"[^a-z0-9]+", "_", f"{provider}_{_snake(name)}".lower()).strip("_")
    returns, errors = _responses(root, operation, depth)
    return Operation(
        title=str(root.get("info", {}).get("title") or provider),
        name=name,
        function=function,
        purpose=purpose,
        request=f"{method.upper()} {path}",
        parameters=fields,
        returns=returns,
        errors=errors,
        examples=[
            Example(
                title="A call with the required parameters" if any(f.required for f in fields) else "A call",
                arguments=arguments,
                code=curl(_server(root), method, path, fields, arguments),
                language="bash",
                made=True,
            )
        ],
    )


def _parameters(
    root: dict[str, Any], item: dict[str, Any], operation: dict[str, Any], depth: int
) -> list[Field]:
    """Parameters of the path and of the operation (which override them), then the members of the body."""
    listed: dict[tuple[str, str], dict[str, Any]] = {}
    for node in [*(item.get("parameters") or ()), *(operation.get("parameters") or ())]:
        table, _ = json_schema.resolve(node, root)
        if "name" in table:
            listed[str(table.get("in")), str(table["name"])] = table
    fields: list[Field] = []
    for (location, name), table in listed.items():
        if location != "body":
            schema = table.get("schema", {key: value for key, value in table.items() if key != "required"})
            place = "body" if location == "formData" else location
            fields.append(json_schema.field(
                name, schema, root, depth=depth, required=bool(table.get("required")), location=place,
                description=str(table.get("description") or ""),
            ))  # fmt: skip
    taken = {field.name for field in fields}
    body, _ = json_schema.resolve(operation.get("requestBody"), root)  # OpenAPI 3; Swagger 2 lists it above
    schema = (_media(body.get("content")) or {}).get("schema")
    for (location, _), table in listed.items():
        if location == "body":
            body, schema = table, table.get("schema")
    if schema is not None:
        fields += _body(schema, root, depth, bool(body.get("required")), taken)
    return fields


def _body(schema: Any, root: dict[str, Any], depth: int, required: bool, taken: set[str]) -> list[Field]:
    """The body's members as fields of their own; one field where it is no object, or a name is `taken`."""
    whole = json_schema.field("body", schema or {}, root, depth=depth + 1, required=required, location="body")
    if whole.children and not taken.intersection(child.name for child in whole.children):
        return [dataclasses.replace(child, location="body") for child in whole.children]
    return [whole]


def _media(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict) or not content:
        return {}
    chosen = content.get("application/json") or next(iter(content.values()))
    return chosen if isinstance(chosen, dict) else {}


def _responses(
    root: dict[str, Any], operation: dict[str, Any], depth: int
) -> tuple[tuple[Field, ...], list[tuple[str, str]]]:
    """The members of the first successful response, and the other statuses with their descriptions."""
    returns: tuple[Field, ...] | None = None
    errors = []
    responses = operation.get("responses")
    for status, node in sorted(
        (responses if isinstance(responses, dict) else {}).items(), key=lambda pair: str(pair[0])
    ):
        response, _ = json_schema.resolve(node, root)
        description = one_line(plain(str(response.get("description") or "")))
        if not str(status).startswith("2"):
            errors.append((str(status), description))
        elif returns is None:
            schema = response.get("schema") or _media(response.get("content")).get("schema") or {}
            whole = json_schema.field(str(status), schema, root, depth=depth, description=description)
            returns = whole.children or (whole,)
    return returns or (), errors


def _server(root: dict[str, Any]) -> str:
    servers = root.get("servers")
    if isinstance(servers, list) and servers and str(servers[0].get("url", "")).startswith("http"):
        return str(servers[0]["url"]).rstrip("/")
    scheme = (root.get("schemes") or ["https"])[0]
    return f"{scheme}://{root.get('host') or 'example.com'}{str(root.get('basePath') or '').rstrip('/')}"


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
