"""AWS operations, from the service models that the package botocore ships (Apache-2.0).

One document an operation of each service's newest API version.  A few dozen services ship real
worked examples (`examples-1.json`); elsewhere a call is made from the schema and says so.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from data_tools.curate.step import Dropped
from data_tools.packages import Package, find_package
from data_tools.render.botocore_operation import operation_of
from data_tools.render.operation import Bounds, render
from data_tools.sources.base import Reader
from megatron_heph.errors import InputError, nearest
from megatron_heph.formats.document import Document


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
        examples = (_read_json(package, f"{path.rpartition('/')[0]}/examples-1.json") or {}).get(
            "examples", {}
        )
        for name, operation in sorted(model["operations"].items()):
            if operation.get("deprecated"):
                yield Dropped("deprecated operation")
            elif not operation.get("documentation"):
                yield Dropped("operation without documentation")
            else:
                made = operation_of(unit, model, operation, examples.get(name, []), self.depth)
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
        if (
            path.startswith("botocore/data/")
            and len(parts) == 5
            and parts[4] in ("service-2.json", "service-2.json.gz")
        ):
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
                raise InputError(
                    f"{package.files[name]} cannot be read ({error}): install {package.name} anew."
                ) from error
            return table
    return None
