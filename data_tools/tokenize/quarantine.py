"""`<shard>.quarantine.jsonl`: the lines that are no document, where they are and why; the inputs keep them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from data_tools.tokenize.columns import BadLine
from data_tools.tokenize.inputs import Input
from data_tools.tokenize.reading import line_number
from megatron_heph.errors import InputError


def quarantine_path(shard: Path) -> Path:
    """`data/api-00003` -> `data/api-00003.quarantine.jsonl`."""
    return shard.with_name(shard.name + ".quarantine.jsonl")


class Quarantine:
    """Collects the malformed lines of a shard; over `limit` of them the shard fails."""

    def __init__(self, shard: Path, limit: int) -> None:
        self.count = 0
        self._path, self._limit = quarantine_path(shard), limit
        self._partial = self._path.with_name(self._path.name + ".partial")
        self._partial.unlink(missing_ok=True)

    def add(self, file: Input, lines: Sequence[BadLine]) -> None:
        """Writes the lines down; InputError that names the first one too many."""
        room = self._limit - self.count
        self.count += len(lines)
        if len(lines) > room:
            self._partial.unlink(missing_ok=True)
            raise InputError(too_many(file, lines[room], self._limit))
        if lines:
            with self._partial.open("a", encoding="utf-8") as stream:
                stream.writelines(_row(file, line) for line in lines)

    def finalize(self) -> None:
        """Gives the file its name; leaves none if there was no malformed line."""
        if self.count:
            self._partial.replace(self._path)
        else:
            self._path.unlink(missing_ok=True)


def too_many(file: Input, line: BadLine, limit: int) -> str:
    """What a person is told of the line that is one too many."""
    where = f"{file.path}:{line_number(file.path, line.byte)}"
    hint = " --field names the key of the text." if line.reason.startswith("no text") else ""
    over = f" It is malformed line {limit + 1} of the shard, and --max-bad-lines is {limit}." if limit else ""
    return (
        f"{where}: {line.reason}; the line begins with {line.excerpt[:60]!r} at byte {line.byte}.{hint}{over} Mend or "
        f"remove the line, or set aside up to N such lines with --max-bad-lines N; finished shards are kept."
    )


def _row(file: Input, line: BadLine) -> str:
    row = {
        "file": file.name, "byte": line.byte, "bytes": line.bytes, "reason": line.reason, "excerpt": line.excerpt,
    }  # fmt: skip
    return json.dumps(row, ensure_ascii=False) + "\n"
