"""The same call in the languages that people write: boto3's Python, and curl."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from data_tools.render.fields import Field
from data_tools.render.sample import sample_value

_WIDTH = 90  # characters, beyond which a value takes several lines


def python_literal(value: Any, indent: int = 0) -> str:
    """A JSON value as Python source with double quotes; long ones one element a line."""
    flat = _flat(value)
    if len(flat) + indent <= _WIDTH or not isinstance(value, (dict, list)) or not value:
        return flat
    pad = " " * (indent + 4)
    if isinstance(value, dict):
        rows = [f"{pad}{_flat(key)}: {python_literal(item, indent + 4)},\n" for key, item in value.items()]
        return "{\n" + "".join(rows) + " " * indent + "}"
    return (
        "[\n" + "".join(f"{pad}{python_literal(item, indent + 4)},\n" for item in value) + " " * indent + "]"
    )


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flat(key)}: {_flat(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flat, value)) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def boto3_call(service: str, method: str, arguments: Mapping[str, Any]) -> str:
    """The call as a script for AWS's Python SDK."""
    lines = ["import boto3", "", f'client = boto3.client("{service}")']
    if not arguments:
        return "\n".join([*lines, f"response = client.{method}()"])
    rows = [f"    {name}={python_literal(value, 4)}," for name, value in arguments.items()]
    return "\n".join([*lines, f"response = client.{method}(", *rows, ")"])


def curl(server: str, method: str, path: str, fields: Sequence[Field], arguments: Mapping[str, Any]) -> str:
    """The call as a curl command: each argument goes where its field's location says."""
    by_name = {field.name: field for field in fields}
    for name in re.findall(r"\{([^}]+)\}", path):
        value = arguments.get(name, sample_value(by_name[name], name) if name in by_name else name)
        path = path.replace("{" + name + "}", quote(_word(value), safe=""))
    placed: dict[str, dict[str, Any]] = {"query": {}, "header": {}, "body": {}}
    for name, value in arguments.items():
        placed.setdefault(by_name[name].location, {})[name] = value
    query = {
        name: list(map(_word, value)) if isinstance(value, list) else _word(value)
        for name, value in placed["query"].items()
    }
    url = server + path + (f"?{urlencode(query, doseq=True)}" if query else "")
    lines = [f"curl -X {method.upper()} {shlex.quote(url)}"]
    lines += [f"-H {shlex.quote(f'{name}: {_word(value)}')}" for name, value in placed["header"].items()]
    if placed["body"]:
        whole = placed["body"]["body"] if list(placed["body"]) == ["body"] else placed["body"]
        lines.append("-H 'Content-Type: application/json'")
        lines.append(f"-d {shlex.quote(json.dumps(whole, ensure_ascii=False, default=str))}")
    return " \\\n  ".join(lines)


def _word(value: Any) -> str:
    """A value as URLs and headers carry it: true, not True."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
