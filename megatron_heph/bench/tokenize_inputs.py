"""The inputs of the tokenizing benchmark: the corpus, beginnings of it, and many times it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from megatron_heph.bench.tokenize_rows import Sizes
from megatron_heph.bench.tokenize_tools import Settings

_TEN_DOCUMENTS = 10
_PREFIX, _HUNDRED = 20_000_000, 100_000_000  # bytes, to the end of a line before


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where they are, and what they hold."""

    folder: Path
    corpus: Path
    documents: int
    sha256: str
    sizes: Sizes
    repeated: int      # files

    def path(self, name: str) -> Path:
        """An input by its name in a job."""
        return self.corpus if name == "full" else self.folder / {"repeated": "repeated"}.get(name, f"{name}.jsonl")

    def describe(self) -> dict[str, str]:
        """For the card."""
        sizes = self.sizes
        return {
            "corpus": f"{self.corpus.name}: {sizes.full:,} bytes, {sizes.full_text:,} of them text, "
            f"{self.documents:,} documents, SHA-256 {self.sha256}",
            "prefix": f"its first {sizes.prefix:,} bytes",
            "ten": f"its first {_TEN_DOCUMENTS} documents: what a start costs",
            "hundred": f"its first {self.path('hundred').stat().st_size:,} bytes",
            "repeated": f"{self.repeated} files of the corpus, {self.repeated * sizes.full:,} bytes",
        }


def make_inputs(settings: Settings) -> Inputs:
    """Writes the inputs under `settings.work`, and counts the corpus."""
    folder = settings.work / "in"
    folder.mkdir(parents=True, exist_ok=True)
    digest, text, documents, size = hashlib.sha256(), 0, 0, 0
    limits = {"prefix": _PREFIX, "hundred": _HUNDRED}
    opened = {name: (folder / f"{name}.jsonl").open("wb") for name in (*limits, "ten")}
    with settings.corpus.open("rb") as lines:
        for line in lines:
            digest.update(line)
            size += len(line)
            for name, limit in limits.items():
                if size <= limit:
                    opened[name].write(line)
            if documents < _TEN_DOCUMENTS:
                opened["ten"].write(line)
            text += len(json.loads(line)["text"].encode())
            documents += 1
    for stream in opened.values():
        stream.close()
    repeated = _repeat(settings, folder / "repeated", size) if not settings.rows or "memory" in settings.rows else 0
    prefix = (folder / "prefix.jsonl").stat().st_size
    return Inputs(folder, settings.corpus, documents, digest.hexdigest(), Sizes(prefix, size, text), repeated)


def _repeat(settings: Settings, folder: Path, size: int) -> int:
    """A folder that holds the corpus under many names; links where the file system can."""
    folder.mkdir(exist_ok=True)
    count = max(1, round(settings.repeat_bytes / size))
    for index in range(count):
        path = folder / f"{index:04d}.jsonl"
        path.unlink(missing_ok=True)
        try:
            os.link(settings.corpus.resolve(), path)
        except OSError:
            shutil.copyfile(settings.corpus, path)
    return count
