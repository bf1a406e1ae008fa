"""Packages as inputs of a corpus: installed ones, pinned wheels, the standard library, local folders.

A package is named as in a requirement: `numpy` is the installed one, `numpy==2.1.0` is that very
version: the installed one if it is, else its wheel, fetched once into the cache by pip and never
installed.  `python` is the standard library of the running interpreter.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from data_tools import wheels
from data_tools.curate.licence import from_text
from megatron_heph.errors import InputError, nearest

STDLIB = "python"
# Not documentation and not code that people read: caches, tests, build settings of one machine.
_STDLIB_LEFT_OUT = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idle_test",
    "__pycache__",
    "lib-dynload",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """The files of one version of a package, and what its metadata says of it.

    `license` stands as the metadata states it (not yet SPDX); `sha256` covers the names and contents
    of `files` and is the same for an installed package and for its wheel; `archive_sha256` is the
    wheel's own where it was fetched.
    """

    name: str
    version: str
    license: str
    files: Mapping[str, Path]  # by path inside the package, in sorted order
    sha256: str
    archive_sha256: str = ""

    def describe(self) -> dict[str, str]:
        """The manifest's row for this package."""
        row = {"name": self.name, "version": self.version, "license": self.license, "sha256": self.sha256}
        return row | ({"archive_sha256": self.archive_sha256} if self.archive_sha256 else {})

    def file(self, path: str, where: str) -> Path:
        """The file at `path`; InputError names `where` and the nearest path if there is none."""
        if path not in self.files:
            raise InputError(
                f"{where} names {path!r}, which {self.name} {self.version} does not have; "
                f"{_near(path, self.files)}"
            )
        return self.files[path]


@functools.cache
def find_package(requirement: str) -> Package:
    """The package that `requirement` names: `name`, `name==version` or `python`.

    Raises InputError if it is not installed and names no version, or if pip cannot fetch the version.
    """
    if requirement == STDLIB:
        return _standard_library()
    name, version = _parse(requirement)
    try:
        installed = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        installed = None
    if installed and version in ("", installed.version):
        return _from_distribution(installed)
    if not version:
        known = [d.metadata["Name"] for d in importlib.metadata.distributions() if d.metadata["Name"]]
        raise InputError(
            f"The package {name!r} is not installed{_hint(name, known)}. "
            f"Install it, or write {name}==VERSION in the recipe to have that version's wheel fetched."
        )
    return _from_distribution(*wheels.cached(name, version))


def local_package(path: Path, where: str, license: str = "") -> Package:
    """A folder or a single file outside any package, as a Package of that name without a version."""
    if path.is_file():
        files = {path.name: path}
    elif path.is_dir():
        files = {p.relative_to(path).as_posix(): p for p in sorted(path.rglob("*")) if p.is_file()}
    else:
        raise InputError(
            f"{where} names {path}, but there is no such file or folder (seen from {Path.cwd()})."
        )
    return Package(name=path.stem, version="", license=license, files=files, sha256=_content_sha256(files))


def _parse(requirement: str) -> tuple[str, str]:
    try:
        parsed = Requirement(requirement)
    except InvalidRequirement as error:
        raise InputError(f"{requirement!r} names no package: write it as name or name==version.") from error
    pins = list(parsed.specifier)
    if len(pins) > 1 or any(pin.operator != "==" or "*" in pin.version for pin in pins):
        raise InputError(
            f"{requirement!r} leaves the version open: write name (the installed one) or name==version."
        )
    return parsed.name, pins[0].version if pins else ""


def _hint(name: str, known: list[str]) -> str:
    """A close name; the list of all packages would be no help."""
    near = nearest(name, known)
    return f"; {near.rstrip('?')}" if near.startswith("did you mean") else ""


def _near(path: str, files: Mapping[str, Path]) -> str:
    alike = [known for known in files if Path(known).suffix == Path(path).suffix]
    near = nearest(path, alike)
    return near if near.startswith("did you mean") else f"it has {len(alike)} files of that suffix."


def _from_distribution(distribution: importlib.metadata.Distribution, archive_sha256: str = "") -> Package:
    name = canonicalize_name(distribution.metadata["Name"])
    if distribution.files is None:
        raise InputError(
            f"The installed package {name} has no list of its files (RECORD): install it with pip."
        )
    # The first part of a path tells what an installer adds or moves: metadata, scripts, data.
    listed = [
        f for f in distribution.files
        if not f.parts[0].endswith((".dist-info", ".data", "..")) and f.suffix != ".pyc"
    ]  # fmt: skip
    digest = hashlib.sha256()
    for file in sorted(listed, key=str):
        digest.update(f"{file.as_posix()} {file.hash.value if file.hash else ''}\n".encode())
    return Package(
        name=name,
        version=distribution.version,
        license=_stated_license(distribution),
        files={file.as_posix(): Path(str(file.locate())) for file in sorted(listed, key=str)},
        sha256=digest.hexdigest(),
        archive_sha256=archive_sha256,
    )


def _stated_license(distribution: importlib.metadata.Distribution) -> str:
    """The most exact statement there is: an SPDX expression, a name, a classifier, or the licence's text.

    "BSD" alone leaves the clauses open, so there the text decides.
    """
    metadata = distribution.metadata.json  # keys in snake case, absent ones left out
    if expression := metadata.get("license_expression"):
        return str(expression)
    name = str(metadata.get("license") or "").strip()
    classifiers = [
        c.rpartition(" :: ")[2] for c in metadata.get("classifier", ()) if c.startswith("License :: ")
    ]
    if not name or "\n" in name or len(name) > 80:  # longer ones are the licence's whole text
        name = classifiers[0] if len(classifiers) == 1 else ""
    if name.removesuffix(" License") not in ("", "BSD"):
        return name
    for file in distribution.files or ():
        if file.stem.lower() in ("license", "licence", "copying") and file.parts[0].endswith(".dist-info"):
            return from_text(file.read_text(encoding="utf-8")) or name
    return name


def _standard_library() -> Package:
    root = Path(sysconfig.get_path("stdlib"))
    files = {
        path.relative_to(root).as_posix(): path
        for path in sorted(root.rglob("*.py"))
        if not any(
            part in _STDLIB_LEFT_OUT or part.startswith("config-") for part in path.relative_to(root).parts
        )
        and not path.is_symlink()
    }
    return Package(
        name=STDLIB,
        version=platform.python_version(),
        license="PSF-2.0",
        files=files,
        sha256=_content_sha256(files),
    )


def _content_sha256(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, path in files.items():
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
