"""The Document contract: one JSON object a line, in `<domain>/<source>-NNNNN.jsonl.zst`."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from megatron_heph.errors import InputError
from megatron_heph.formats.compressed import COMPRESSED, Decompressed

DOMAINS = ("agent", "code", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A span of a document's text; spans with `train=False` carry no loss."""

    text: str
    train: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document of a corpus: its text (or its segments), where it comes from, and its licence."""

    id: str
    domain: str
    source: str
    license: str
    provenance: dict[str, str]          # package, version, path
    text: str = ""
    segments: tuple[Segment, ...] = ()
    api: dict[str, str] = field(default_factory=dict)   # provider, name

    @property
    def full_text(self) -> str:
        """The text a model reads: `text`, or the segments joined."""
        return self.text if not self.segments else "".join(segment.text for segment in self.segments)

    def to_json(self) -> str:
        """One line of JSON, without its newline; empty optional fields are left out."""
        row = asdict(self)
        optional = ("segments", "api") if not self.segments else ("text", "api")
        return json.dumps({k: v for k, v in row.items() if v or k not in optional}, ensure_ascii=False)


def parse_document(line: str | bytes, where: str) -> Document:
    """Reads one line of a corpus.

    Raises InputError that names `where` (file and line number) if the line is no Document.
    """
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        excerpt = (line if isinstance(line, str) else line.decode("utf-8", "replace"))[:60]
        raise InputError(
            f"{where}: the line is not JSON ({error}); it begins with {excerpt!r}. "
            f"A corpus line is one JSON object with id, text or segments, domain, source, license and provenance: "
            f"mend or remove the line."
        ) from error
    if problem := _problem(row):
        raise InputError(f"{where}: {problem}. Mend or remove the line.")
    segments = tuple(Segment(text=s["text"], train=s["train"]) for s in row.get("segments", ()))
    return Document(
        id=row["id"], domain=row["domain"], source=row["source"], license=row["license"],
        provenance=row["provenance"], text=row.get("text", ""), segments=segments, api=row.get("api", {}),
    )  # fmt: skip


_TYPES = {
    "id": str, "domain": str, "source": str, "license": str, "provenance": dict, "text": str, "segments": list,
    "api": dict,
}  # fmt: skip
_NEEDED = ("id", "domain", "source", "license", "provenance")


def _problem(row: Any) -> str | None:
    """What keeps a JSON value from being a Document; None for one that is."""
    if not isinstance(row, dict):
        return f"the line holds a JSON {type(row).__name__}, but a document is an object"
    missing = [key for key in _NEEDED if key not in row]
    missing += [] if "text" in row or "segments" in row else ["text or segments"]
    if missing:
        return f"the document lacks {', '.join(missing)}"
    for key, kind in _TYPES.items():
        if key in row and not isinstance(row[key], kind):
            return f"{key} is {row[key]!r:.60}, but it is a JSON {'object' if kind is dict else kind.__name__}"
    if row["domain"] not in DOMAINS:
        return f"the domain is {row['domain']!r:.60}, but it is one of {', '.join(DOMAINS)}"
    for number, segment in enumerate(row.get("segments", ())):
        text, train = (segment.get("text"), segment.get("train")) if isinstance(segment, dict) else (None, None)
        if not isinstance(text, str) or not isinstance(train, bool):
            return f"segment {number} is {segment!r:.60}, but it has a string `text` and a boolean `train`"
    return None


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields (line number from 1, line without newline) of a `.jsonl(.zst|.gz)` file; skips empty lines.

    Raises InputError for a file that is missing, damaged or cut short.
    """
    try:
        with path.open("rb") as raw:
            stream = io.BufferedReader(Decompressed(raw, path), 1 << 20) if path.suffix in COMPRESSED else raw
            yield from _numbered(stream)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def _numbered(stream: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(stream, 1):
        stripped = line.rstrip(b"\r\n")
        if stripped.strip():
            yield number, stripped


def read_documents(path: Path) -> Iterator[Document]:
    """Yields the Documents of a corpus file; InputError names the file and line of the first bad one."""
    for number, line in read_lines(path):
        yield parse_document(line, f"{path}:{number}")


def write_documents(path: Path, documents: Iterable[Document]) -> int:
    """Writes Documents as `.jsonl.zst`, under a temporary name until all is there; returns how many."""
    import zstandard

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    count = 0
    # A fixed level and one thread: the same documents give the same bytes.
    with partial.open("wb") as raw, zstandard.ZstdCompressor(level=9).stream_writer(raw) as stream:
        for document in documents:
            stream.write(document.to_json().encode() + b"\n")
            count += 1
    partial.replace(path)
    return count
