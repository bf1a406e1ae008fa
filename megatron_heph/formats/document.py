"""The Document contract: one JSON object a line, in `<domain>/<source>-NNNNN.jsonl.zst`."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from megatron_heph.errors import InputError

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
            f"A corpus line is one JSON object with id, text, domain, source, license and provenance: "
            f"mend or remove the line."
        ) from error
    missing = [key for key in ("id", "domain", "source", "license") if not isinstance(row, dict) or key not in row]
    if missing or not ("text" in row or "segments" in row):
        missing += [] if isinstance(row, dict) and ("text" in row or "segments" in row) else ["text or segments"]
        raise InputError(f"{where}: the document lacks {', '.join(missing)}. Add the keys, or remove the line.")
    segments = tuple(Segment(text=s["text"], train=bool(s["train"])) for s in row.get("segments", ()))
    return Document(
        id=row["id"], domain=row["domain"], source=row["source"], license=row["license"],
        provenance=row.get("provenance", {}), text=row.get("text", ""), segments=segments, api=row.get("api", {}),
    )  # fmt: skip


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields (line number from 1, line without newline) of a `.jsonl` or `.jsonl.zst` file; skips empty lines."""
    with path.open("rb") as raw:
        if path.suffix == ".zst":
            import zstandard

            try:
                with zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as stream:
                    yield from _numbered(io.BufferedReader(stream))
            except zstandard.ZstdError as error:
                raise InputError(f"{path}: the file is not zstd or is cut short ({error}); write it anew.") from error
        else:
            yield from _numbered(raw)


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
