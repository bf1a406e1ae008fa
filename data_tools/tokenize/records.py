"""From a line to what the tokenizer needs of it, and from segments to the tokens without loss."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from megatron_heph.errors import InputError, nearest


@dataclass(frozen=True, slots=True)
class Record:
    """One document as the tokenizer sees it."""

    text: str
    utf8_bytes: int
    segments: tuple[tuple[int, bool], ...]     # (characters, train); empty where all of the text carries loss
    license: str
    domain: str
    source: str


def parse_record(line: memoryview, field: str, where: str) -> Record:
    """Reads a Document line, or any JSON object with a string under the key `field`.

    Raises InputError that names `where` (file and line) if the line is neither.
    """
    try:
        row: Any = json.loads(str(line, "utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{where}: the line is not JSON in UTF-8 ({error}); it begins with {bytes(line[:60])!r}. Mend "
            f"or remove the line; finished shards are kept."
        ) from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: the line holds a JSON {type(row).__name__}, and a document is an object.")
    segments = _segments(row.get("segments"), where)
    text = "".join(part for part, _ in segments) if segments else row.get(field)
    if not isinstance(text, str):
        keys = ", ".join(sorted(row)[:12]) or "none"
        found = f"it holds a {type(text).__name__}" if field in row else f"the keys are {keys}"
        raise InputError(
            f"{where}: there is no text under the key {field!r}: {found}. Use --field; {nearest(field, row)}"
        )
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where}: the text holds half of a surrogate pair at character {error.start} "
            f"({text[error.start]!r}), which no tokenizer reads. Mend the line (U+FFFD is the sign for what "
            f"was lost), or remove it."
        ) from error
    hides = not all(train for _, train in segments)
    spans = tuple((len(part), train) for part, train in segments) if hides else ()
    license, domain, source = (str(row.get(key, "")) for key in ("license", "domain", "source"))
    return Record(text, size, spans, license, domain, source)


def _segments(rows: Any, where: str) -> list[tuple[str, bool]]:
    if not rows:
        return []
    try:
        segments = [(row["text"], row["train"]) for row in rows]
    except (TypeError, KeyError) as error:
        raise InputError(
            f"{where}: segments is a list of {{text, train}}, but one of them lacks {error}."
        ) from error
    for text, train in segments:
        if not isinstance(text, str) or not isinstance(train, bool):
            raise InputError(
                f"{where}: a segment has text {text!r:.40} and train {train!r}; they are a string and a bool."
            )
    return segments


def tokens_without_loss(
    segments: tuple[tuple[int, bool], ...], offsets: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Which tokens of a document carry no loss: bool [tokens + 1]; the last is its end-of-document.

    `offsets` (int64 [tokens, 2]) are the characters of the joined text that each token covers.  A token
    across a boundary carries loss only if all of its characters do; the end of the document follows the
    last segment.
    """
    sizes = np.array([length for length, _ in segments if length], np.int64)
    train = np.array([train for length, train in segments if length], np.bool_)
    edges = np.concatenate(([0], np.cumsum(sizes)))
    # hidden[i]: characters without loss before edge i; in between it is linear, and exact in float64
    hidden = np.concatenate(([0], np.cumsum(sizes * ~train)))
    # A token may cover no character (a byte of one, or a space that the tokenizer adds): it goes with
    # the character that follows.
    begins = np.minimum(offsets[:, 0], edges[-1] - 1)
    ends = np.maximum(offsets[:, 1], begins + 1)
    without = np.interp(ends, edges, hidden) > np.interp(begins, edges, hidden)
    return np.append(without, not train[-1])
