"""The files of a corpus: `<source>-NNNNN.jsonl.zst`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_tools.manifest import describe_file
from megatron_heph.formats.document import Document, write_documents


def write_shards(
    folder: Path, place: Path, source: str, documents: Sequence[Document], shard_characters: int
) -> Iterator[dict[str, Any]]:
    """Writes shards in `place`, each closed at the first document past `shard_characters`.

    Yields the manifest's row of each.
    """
    shard: list[Document] = []
    characters = number = 0
    for index, document in enumerate(documents):
        shard.append(document)
        characters += len(document.full_text)
        if characters >= shard_characters or index == len(documents) - 1:
            path = place / f"{source}-{number:05d}.jsonl.zst"
            yield describe_file(folder, path, write_documents(path, shard))
            shard, characters, number = [], 0, number + 1
