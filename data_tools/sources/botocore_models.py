"""AWS operations, from the service models that the package botocore ships (Apache-2.0).

One document an operation of each service's newest API version.  A few dozen services ship real
worked examples (`examples-1.json`); elsewhere a call is made from the schema and says so.
"""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from data_tools.curate.step import Dropped
from data_tools.packages import Package, find_package
from data_tools.render.code import boto3_call
from data_tools.render.fields import Field
from data_tools.render.operation import Bounds, Example, Operation, render
from data_tools.render.prose import one_line, plain
from data_tools.render.sample import sample_arguments
from data_tools.sources.base import Reader
from megatron_heph.errors import InputError, nearest
from megatron_heph.formats.document import Document

_TYPES = {
    "structure": "object", "map": "object", "list": "array", "string": "string", "character": "string",
    "blob": "string", "timestamp": "string", "integer": "integer", "long": "integer", "bigInteger": "integer",
    "float": "number", "double": "number", "bigDecimal": "number", "boolean": "boolean",
}  # fmt: skip
_FORMATS = {"blob": "base64", "timestamp": "date-time"}
_LOCATIONS = {"uri": "path", "querystring": "query", "header": "header", "headers": "header"}
_BOUNDS = {
    "string": ("minLength", "maxLength"), "list": ("minItems", "maxItems"), "blob": ("minLength", "maxLength"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class BotocoreModels(Reader):
    """`services`: their names in botocore, all where it is empty; the provider of `s3` is `aws/s3`."""

    package: str = "botocore"
    services: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    depth: int = 2  # levels of nested parameters that are shown

    def inputs(self) -> Sequence[Package]:
        """botocore alone."""
        return (find_package(self.package),)

    def units(self) -> Sequence[str]:
        """The services, sorted."""
        known = _model_paths(find_package(self.package))
        for service in (*self.services, *self.exclude):
            if service not in known:
                raise InputError(
                    f"reader.{self.name} names the service {service!r}, which {self.package} does not have; "
                    f"{nearest(service, known) if len(service) > 1 else ''}"
                )
        return sorted(set(self.services or known) - set(self.exclude))

    def read(self, unit: str) -> Iterator[Document | Dropped]:
        """One document an operation; deprecated and undocumented ones are dropped."""
        package = find_package(self.package)
        path = _model_paths(package)[unit]
        model = _read_json(package, path)
        if model is None:
            raise InputError(f"{self.package}: {path} is no service model that this reader knows.")
        examples = (_read_json(package, f"{path.rpartition('/')[0]}/examples-1.json") or {}).get("examples", {})
        for name, operation in sorted(model["operations"].items()):
            if operation.get("deprecated"):
                yield Dropped("deprecated operation")
            elif not operation.get("documentation"):
                yield Dropped("operation without documentation")
            else:
                made = _operation(unit, model, operation, examples.get(name, []), self.depth)
                yield Document(
                    id=f"{self.name}/{unit}/{name}",
                    domain=self.domain,
                    source=self.name,
                    license=package.license,
                    provenance={"package": package.name, "version": package.version, "path": path},
                    text=render(made, Bounds(depth=self.depth)),
                    api={"provider": f"aws/{unit}", "name": name},
                )


READER = BotocoreModels


def _model_paths(package: Package) -> dict[str, str]:
    """service -> path of its newest model; versions are dates, so the last in order is the newest."""
    paths = {}
    for path in package.files:
        parts = path.split("/")
        if path.startswith("botocore/data/") and len(parts) == 5 and parts[4] in ("service-2.json", "service-2.json.gz"):
            paths[parts[2]] = path
    return paths


def _read_json(package: Package, path: str) -> dict[str, Any] | None:
    """A JSON file of the package, plain or `.gz`; None if there is none."""
    for name in (path, f"{path}.gz"):
        if name in package.files:
            raw = package.files[name].read_bytes()
            try:
                table: dict[str, Any] = json.loads(gzip.decompress(raw) if name.endswith(".gz") else raw)
            except (OSError, ValueError) as error:
                raise InputError(f"{package.files[name]} cannot be read ({error}): install {package.name} anew.") from error
            return table
    return None


def _operation(
    service: str, model: dict[str, Any], operation: dict[str, Any], examples: list[dict[str, Any]], depth: int
) -> Operation:
    metadata, shapes, name = model["metadata"], model["shapes"], operation["name"]
    # One level below what is shown, so that worked calls fill in required members there too.
    fields = _members(shapes, operation.get("input"), depth + 1, ())
    http = operation.get("http", {})
    method = _python_name(name)
    purpose = plain(operation["documentation"])
    worked = [_real_example(service, method, example) for example in examples[:1]]
    return Operation(
        title=metadata.get("serviceFullName", service),
        name=name,
        function=f"{service}_{method}".replace("-", "_").replace(".", "_"),
        purpose=purpose,
        request=f"{http.get('method', 'POST')} {http.get('requestUri', '/')} (API version {metadata.get('apiVersion', '')})",
        parameters=fields,
        returns=_members(shapes, operation.get("output"), depth, ()),
        errors=[_error(shapes, error["shape"]) for error in operation.get("errors", ())],
        examples=worked or [_made_example(service, method, purpose, fields)],
    )


def _members(shapes: dict[str, Any], reference: dict[str, Any] | None, depth: int, above: tuple[str, ...]) -> tuple[Field, ...]:
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
    shapes: dict[str, Any], name: str, reference: dict[str, Any], required: bool, depth: int, above: tuple[str, ...]
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
