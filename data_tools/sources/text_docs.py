"""Prose about software: documentation files, docstrings, and modules that are one table of texts."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_tools.curate.step import Dropped
from data_tools.packages import Package, find_package, local_package
from data_tools.sources.base import Reader
from data_tools.sources.python_code import matches, parse
from megatron_heph.formats.document import Document

_SUFFIXES = (".rst", ".md", ".txt")
# Legal texts and lists of names are not prose about software; a licence is recorded, not learned.
_NO_PROSE = (
    "license",
    "licence",
    "copying",
    "notice",
    "authors",
    "requirements",
    "top_level",
    "entry_points",
)


@dataclass(frozen=True, kw_only=True)
class TextDocs(Reader):
    """`packages` and `folders` are read; a folder's licence must be stated, as nothing in it does.

    `files`: .rst, .md and .txt.  `docstrings`: one text a module, from the docstrings of the module, its
    public classes and functions.  `tables`: paths of modules whose one dict maps titles to texts, such
    as `pydoc_data/topics.py` of the standard library.
    """

    packages: tuple[str, ...] = ()  # packages, as name or name==version
    folders: tuple[Path, ...] = ()
    folder_license: str = ""
    files: bool = True
    docstrings: bool = False
    tables: tuple[str, ...] = ()
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()

    def inputs(self) -> Sequence[Package]:
        """Packages, then folders."""
        return tuple(map(self._package, self.units()))

    def units(self) -> Sequence[str]:
        """Packages, then folders."""
        return (*self.packages, *map(str, self.folders))

    def read(self, unit: str) -> Iterator[Document | Dropped]:
        """Documents of one package or folder, in the order of its paths."""
        package = self._package(unit)
        for path, file in package.files.items():
            if not matches(path, self.include, self.exclude):
                continue
            for title, text in self._texts(path, file):
                if isinstance(text, Dropped):
                    yield text
                    continue
                yield Document(
                    id=f"{self.name}/{package.name}/{path}{title and '#' + title}",
                    domain=self.domain,
                    source=self.name,
                    license=package.license,
                    provenance={"package": package.name, "version": package.version, "path": path},
                    text=text,
                )

    def _package(self, unit: str) -> Package:
        if unit in self.packages:
            return find_package(unit)
        return local_package(Path(unit), f"reader.{self.name}.folders", self.folder_license)

    def _texts(self, path: str, file: Path) -> Iterator[tuple[str, str | Dropped]]:
        """(title, text) of what one file holds; the title is "" where the file is one text."""
        if self.files and path.lower().endswith(_SUFFIXES):
            yield "", _prose_file(path, file)
        elif path in self.tables:
            yield from _table(file)
        elif self.docstrings and path.endswith(".py"):
            parsed = parse(path, file)
            if isinstance(parsed, Dropped):
                yield "", parsed
            else:
                yield from _docstrings(path, parsed[1], self.longest)


READER = TextDocs


def _prose_file(path: str, file: Path) -> str | Dropped:
    if any(word in path.lower() for word in _NO_PROSE):
        return Dropped("legal text or list")
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return Dropped("not UTF-8 text")


def _table(file: Path) -> Iterator[tuple[str, str]]:
    """The texts of the module's dict literal, each under its title."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if (
                    isinstance(key, ast.Constant)
                    and isinstance(value, ast.Constant)
                    and isinstance(value.value, str)
                ):
                    yield str(key.value), value.value.strip() + "\n"


def _docstrings(path: str, tree: ast.Module, longest: int) -> Iterator[tuple[str, str]]:
    """The docstrings of a module in the order of the source, as texts of at most `longest` characters.

    A docstring of one line repeats a name; only those of several lines count as prose.
    """
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    parts = [ast.get_docstring(tree) or ""]
    for name, signature, text in _documented(tree, ""):
        parts.append(f"## {name}\n\n    {signature}\n\n{text}")
    group: list[str] = []
    number = 0
    for part in filter(None, parts):
        if group and sum(map(len, group)) + len(part) > longest - 200:
            yield str(number), _page(module, group)
            group, number = [], number + 1
        group.append(part)
    if group:
        yield str(number), _page(module, group)


def _page(module: str, parts: list[str]) -> str:
    return "\n\n".join([f"# {module}", *parts]) + "\n"


def _documented(node: ast.AST, prefix: str) -> Iterator[tuple[str, str, str]]:
    """(dotted name, signature, docstring) of public classes and functions, depth first."""
    for child in getattr(node, "body", ()):
        if not isinstance(
            child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        ) or child.name.startswith("_"):
            continue
        name = f"{prefix}{child.name}"
        text = ast.get_docstring(child) or ""
        if text.count("\n") >= 3:
            arguments = "" if isinstance(child, ast.ClassDef) else f"({ast.unparse(child.args)})"
            yield name, f"{'class ' if not arguments else ''}{child.name}{arguments}", text
        if isinstance(child, ast.ClassDef):
            yield from _documented(child, f"{name}.")
