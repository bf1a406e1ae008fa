"""What in a package's archive is a document of the corpus, and of which part."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import PurePosixPath
from typing import Any

SMALLEST, LARGEST = 200, 1_000_000  # bytes of a document

_CODE = {
    "python": (".py", ".pyx", ".pxd", ".pyi"),
    "c": (".c", ".h", ".cc", ".cpp", ".hpp", ".cxx", ".hh", ".mm", ".m", ".cu", ".cs", ".f90"),
    "javascript": (".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx"),
    "java": (".java", ".kt"),
    "rust": (".rs",),
}
_PART_OF = {suffix: part for part, suffixes in _CODE.items() for suffix in suffixes}
_PROSE = (".rst", ".md", ".txt", ".adoc")
_TAGS = re.compile(r"<[^>]+>")
_BREAKS = re.compile(r"</?(?:p|li|ul|ol|br|h\d|note|important|dl|dd|dt)\b[^>]*>")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that may be chosen."""

    part: str
    path: str
    text: str


def documents(path: str, content: bytes) -> Iterator[Candidate]:
    """The documents that one file of a package holds: none, itself, or the entries of a description."""
    suffix = PurePosixPath(path).suffix.lower()
    if "/data/" in path and path.endswith(("service-2.json", "service-2.json.gz")):
        yield from _botocore(path, content)
    elif suffix == ".json" and ("discovery_cache/documents" in path or "api.github.com" in path):
        yield from _description(path, content)
    elif suffix in _PART_OF or suffix in _PROSE or suffix == ".po":
        text = _readable(content)
        if text is None:
            return
        if suffix == ".po":
            yield from _translation(path, text)
        elif suffix in _PART_OF and not _is_minified(text):
            yield Candidate(_PART_OF[suffix], path, text)
        elif suffix in _PROSE and _is_prose(text):
            yield Candidate("prose", path, text)


def _readable(content: bytes) -> str | None:
    try:
        return None if b"\0" in content else content.decode()
    except UnicodeDecodeError:
        return None


def _is_minified(text: str) -> bool:
    return len(text) > 200 * (text.count("\n") + 1) or max(map(len, text.splitlines()), default=0) > 20_000


def _is_prose(text: str) -> bool:
    """Leaves out tables of numbers, word lists and hex: what tests and data sets are made of."""
    letters = sum(map(str.isalpha, text[:20_000]))
    return letters > 0.6 * len(text[:20_000]) and text[:20_000].count(" ") > 0.08 * len(text[:20_000])


def _translation(path: str, text: str) -> Iterator[Candidate]:
    """The msgstr texts of a .po file, a line each, in pieces of at most LARGEST; obsolete ones are left out."""
    if re.search(r"(^|[/_-])en([_@-][A-Za-z]+)?([/.]|$)", path):
        return
    found: list[str] = []
    wanted = False
    for line in text.splitlines():
        keyword, _, rest = line.partition(" ")
        if keyword.startswith("msgstr"):
            wanted, line = True, rest
            found.append("")
        elif keyword.startswith(("msg", "#")) or not line:
            wanted = False
        if wanted and len(line) >= 2 and line[0] == line[-1] == '"':
            found[-1] += line[1:-1].replace('\\"', '"').replace("\\n", "\n").replace("\\t", "\t")
    strings = [string for string in found[1:] if string]  # the first is the file's header
    for start in range(0, len(strings), 2000):
        yield Candidate("multilingual", f"{path}#{start}", "\n".join(strings[start : start + 2000]))


def _description(path: str, content: bytes) -> Iterator[Candidate]:
    """An OpenAPI or discovery document: each path, resource and schema on its own, as JSON text."""
    if PurePosixPath(path).name.startswith("ghes") or "deref" in path:
        return
    root: dict[str, Any] = json.loads(content)
    for group in ("paths", "resources", "schemas"):
        for name, entry in root.get(group, {}).items():
            yield Candidate("json", f"{path}#{name}", json.dumps({name: entry}, indent=2, ensure_ascii=False))


def _botocore(path: str, content: bytes) -> Iterator[Candidate]:
    """A service description of botocore: every operation with the documentation of what goes in and comes out."""
    model = json.loads(gzip.decompress(content) if path.endswith(".gz") else content)
    title = model["metadata"].get("serviceFullName", "")
    for name, operation in model["operations"].items():
        lines = [f"{title}: {name}", "", *_plain(operation.get("documentation", ""))]
        for heading, side in (("Request", "input"), ("Response", "output")):
            if side in operation:
                lines += ["", heading, *_members(model["shapes"], operation[side]["shape"], 1, ())]
        yield Candidate("api", f"{path}#{name}", "\n".join(lines) + "\n")


def _members(shapes: dict[str, Any], name: str, depth: int, above: tuple[str, ...]) -> list[str]:
    """The members below a shape, indented; four levels deep, and never through itself."""
    shape = shapes[name]
    if shape["type"] in ("list", "map"):
        inner = shape["member"] if shape["type"] == "list" else shape["value"]
        return _members(shapes, inner["shape"], depth, above)
    if depth > 4 or name in above:
        return []
    lines = []
    for member, reference in shape.get("members", {}).items():
        inner = shapes[reference["shape"]]
        needed = ", required" if member in shape.get("required", ()) else ""
        said = " ".join(_plain(reference.get("documentation") or inner.get("documentation", "")))
        choices = f" One of {', '.join(inner['enum'])}." if "enum" in inner else ""
        lines.append(f"{'  ' * depth}{member} ({inner['type']}{needed}) {said}{choices}".rstrip())
        lines += _members(shapes, reference["shape"], depth + 1, (*above, name))
    return lines


def _plain(html: str) -> list[str]:
    text = unescape(_TAGS.sub("", _BREAKS.sub("\n", html)))
    return [line.strip() for line in text.splitlines() if line.strip()]
