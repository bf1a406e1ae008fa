"""Operations of OpenAPI 3 and Swagger 2 specifications, JSON or YAML, from packages or files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_tools.curate.step import Dropped
from data_tools.packages import Package, find_package, local_package
from data_tools.render import json_schema
from data_tools.render.openapi_operation import operation_of
from data_tools.render.operation import Bounds, render
from data_tools.render.prose import one_line
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
            raise InputError(
                f"reader.{self.name}.specs names a provider twice: {', '.join(names)}. Give each its own."
            )
        return names

    def read(self, unit: str) -> Iterator[Document | Dropped]:
        """One document an operation; deprecated and undescribed ones are dropped."""
        spec = next(spec for spec in self.specs if spec.provider == unit)
        where = f"reader.{self.name}.specs.{unit}.path"
        package = _package(spec, where)
        root = load(package.file(spec.path, where) if spec.package else Path(spec.path))
        for path, method, operation in _operations(root):
            name = str(operation.get("operationId") or f"{method.upper()} {path}")
            if operation.get("deprecated"):
                yield Dropped("deprecated operation")
            elif not (operation.get("summary") or operation.get("description")):
                yield Dropped("operation without documentation")
            else:
                made = operation_of(unit, root, path, method, name, self.depth)
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
    if (
        not isinstance(root, dict)
        or not ("openapi" in root or "swagger" in root)
        or not isinstance(root.get("paths"), dict)
    ):
        keys = ", ".join(map(str, list(root)[:6])) if isinstance(root, dict) else type(root).__name__
        raise InputError(
            f"{path} is no OpenAPI 3 or Swagger 2 specification: it has {keys}, "
            f"and needs `openapi` or `swagger`, and `paths`."
        )
    return root


def _package(spec: Spec, where: str) -> Package:
    return find_package(spec.package) if spec.package else local_package(Path(spec.path), where, spec.license)


def _license(root: dict[str, Any]) -> str:
    stated = root.get("info", {}).get("license") or {}
    return (
        str(stated.get("identifier") or stated.get("name") or stated.get("url") or "")
        if isinstance(stated, dict)
        else ""
    )


def _operations(root: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, node in root["paths"].items():
        item, _ = json_schema.resolve(node, root)
        for method in _METHODS:
            if isinstance(item.get(method), dict):
                yield path, method, item[method]
