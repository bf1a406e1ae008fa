"""Operations of OpenAPI 3 and Swagger 2 specifications, JSON or YAML, from packages or files."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.curate.step import Dropped
from data_tools.packages import Package, find_package, local_package
from data_tools.render import json_schema
from data_tools.render.code import curl
from data_tools.render.fields import Field
from data_tools.render.operation import Bounds, Example, Operation, render
from data_tools.render.prose import one_line, plain
from data_tools.render.sample import sample_arguments
from data_tools.sources.base import Reader
from megatron_heph.errors import InputError
from megatron_heph.formats.document import Document

_METHODS = ("get", "put", "post", "delete", "patch", "head", "options")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One specification: `path` inside `package`, or on disk where no package is named.

    `license` is for a file on disk whose `info.license` says nothing.
    """

    provider: str
    path: str
    package: str = ""
    license: str = ""


@dataclass(frozen=True, kw_only=True)
class OpenApi(Reader):
    """`specs`: the specifications; the provider of each is held out or trained on as a whole."""

    specs: tuple[Spec, ...]
    depth: int = 2  # levels of nested parameters that are shown

    def inputs(self) -> Sequence[Package]:
        """The packages and files that the specifications come from."""
        return tuple(_package(spec, f"reader.{self.name}.specs.{spec.provider}.path") for spec in self.specs)

    def units(self) -> Sequence[str]:
        """The providers, in the recipe's order."""
        names = [spec.provider for spec in self.specs]
        if len(set(names)) < len(names):
            raise InputError(f"reader.{self.name}.specs names a provider twice: {', '.join(names)}. Give each its own.")
        return names

    def read(self, unit: str) -> Iterator[Document | Dropped]:
        """One document an operation; deprecated and undescribed ones are dropped."""
        spec = next(spec for spec in self.specs if spec.provider == unit)
        where = f"reader.{self.name}.specs.{unit}.path"
        package = _package(spec, where)
        root = load(package.file(spec.path, where) if spec.package else Path(spec.path))
        for path, method, item, operation in _operations(root):
            name = str(operation.get("operationId") or f"{method.upper()} {path}")
            if operation.get("deprecated"):
                yield Dropped("deprecated operation")
            elif not (operation.get("summary") or operation.get("description")):
                yield Dropped("operation without documentation")
            else:
                made = _operation(unit, root, path, method, item, operation, name, self.depth)
                yield Document(
                    id=f"{self.name}/{unit}/{name}",
                    domain=self.domain,
                    source=self.name,
                    license=_license(root) or spec.license or package.license,
                    provenance={"package": package.name, "version": package.version, "path": spec.path},
                    text=render(made, Bounds(depth=self.depth)),
                    api={"provider": unit, "name": name},
                )


READER = OpenApi


def load(path: Path) -> dict[str, Any]:
    """Reads a specification; InputError names the file and what is wrong with it."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        root = json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path} is no readable specification: {one_line(str(error))}") from error
    if not isinstance(root, dict) or not ("openapi" in root or "swagger" in root) or not isinstance(root.get("paths"), dict):
        keys = ", ".join(map(str, list(root)[:6])) if isinstance(root, dict) else type(root).__name__
        raise InputError(
            f"{path} is no OpenAPI 3 or Swagger 2 specification: it has {keys}, and needs `openapi` or `swagger`, and `paths`."
        )
    return root


def _package(spec: Spec, where: str) -> Package:
    return find_package(spec.package) if spec.package else local_package(Path(spec.path), where, spec.license)


def _license(root: dict[str, Any]) -> str:
    stated = root.get("info", {}).get("license") or {}
    return str(stated.get("identifier") or stated.get("name") or stated.get("url") or "") if isinstance(stated, dict) else ""


def _operations(root: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    for path, node in root["paths"].items():
        item, _ = json_schema.resolve(node, root)
        for method in _METHODS:
            if isinstance(item.get(method), dict):
                yield str(path), method, item, item[method]


def _operation(
    provider: str, root: dict[str, Any], path: str, method: str, item: dict[str, Any], operation: dict[str, Any],
    name: str, depth: int,
) -> Operation:  # fmt: skip
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
        examples=[Example(
            title="A call with the required parameters" if any(f.required for f in fields) else "A call",
            arguments=arguments, code=curl(_server(root), method, path, fields, arguments), language="bash", made=True,
        )],
    )  # fmt: skip


def _parameters(root: dict[str, Any], item: dict[str, Any], operation: dict[str, Any], depth: int) -> list[Field]:
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


def _body(
    schema: Any, root: dict[str, Any], depth: int, required: bool, taken: set[str]
) -> list[Field]:
    """The body's members as fields of their own; one field, where it is no object or names clash with `taken`."""
    whole = json_schema.field("body", schema or {}, root, depth=depth + 1, required=required, location="body")
    if whole.children and not taken.intersection(child.name for child in whole.children):
        return [dataclasses.replace(child, location="body") for child in whole.children]
    return [whole]


def _media(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict) or not content:
        return {}
    chosen = content.get("application/json") or next(iter(content.values()))
    return chosen if isinstance(chosen, dict) else {}


def _responses(root: dict[str, Any], operation: dict[str, Any], depth: int) -> tuple[tuple[Field, ...], list[tuple[str, str]]]:
    """The members of the first successful response, and the other statuses with their descriptions."""
    returns: tuple[Field, ...] | None = None
    errors = []
    responses = operation.get("responses")
    for status, node in sorted((responses if isinstance(responses, dict) else {}).items(), key=lambda pair: str(pair[0])):
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
