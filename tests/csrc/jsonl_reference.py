"""What `read_json_lines` should give, after json.loads; lines that are nearly documents; and batches as objects."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from megatron_heph._native import JsonBatch, read_json_lines

DOCUMENTS = [
    rb'{"text": "a\nb\t\"c\" \/ \\ \u00e9 \ud83d\ude00", "license":"MIT", "source":"s\u0041"}',
    b'{"id":"1","text":"' + "漢字 é 😀 plain ".encode() * 4 + b'","domain":"text","n":-12.5e+3,"l":[1,[],{"k":null}]}',
    rb'{"segments":[{"text":"x","train":true},{"text":"\u00e9!","train":false,"more":[0]}],"source":"a b"}',
    rb'{"te\u0078t":"escaped key","provenance":{"text":"inner","path":[true,false,NaN,-Infinity]},"segments":[]}',
    b' { "text" : "" , "license" : null , "x" : 0.5E-7 } ',
    rb'{"text":"first","text":"last","segments":null,"domain":12,"u":"\ud800 in another key"}',
]
PIECES = [
    *(bytes([byte]) for byte in b'"\\{}[]:,0123456789-+.eE tfnNIu/\t\r\x00\x1f\x7f'),
    *(rb"\n \u0000 \u00E9 \ud83d \ude00 \ud83d\ude00 \uD83D\u00 \x".split()),
    *(b'true false null NaN Infinity -Infinity "text" "train" "segments" "text":"z" 1e999 -0.0'.split()),
    *(b'"segments":0 "segments":{} "segments":"s" "segments":[1] "segments":[{"text":"q","train":true}]'.split()),
    *("é 漢 😀 \ufeff \u2028 \U0010ffff".encode().split()),
    *(b"\x80 \xff \xc0\x80 \xc1\xbf \xe0\x9f\xbf \xed\xa0\x80 \xf0\x8f\xbf\xbf \xf4\x90\x80\x80".split()),
    *(b"\xe6\xbc \xf0\x9f\x98 \xc3".split()),
]


@dataclass(frozen=True)
class Reference:
    """The document of one line."""

    text: str
    labels: tuple[str | None, str | None, str | None]
    segments: tuple[tuple[int, bool], ...]      # (stop byte, train), where a segment carries no loss


def read_line(line: bytes, field: str = "text") -> Reference | None:
    """The document of a line, or None if it is none."""
    try:
        row: Any = json.loads(str(line, "utf-8"))
        segments = [(part["text"], part["train"]) for part in row["segments"]] if row.get("segments") else []
        text = "".join(part for part, _ in segments) if segments else row[field]
        if not all(type(train) is bool for _, train in segments) or not isinstance(text, str):
            return None
        if row.get("segments") and not isinstance(row["segments"], list):
            return None
        text.encode()
        labels = tuple(_label(row.get(key)) for key in ("license", "domain", "source"))
    except (ValueError, LookupError, TypeError, AttributeError):    # UnicodeError is a ValueError
        return None
    ends = accumulate(len(part.encode()) for part, _ in segments)
    hides = not all(train for _, train in segments)
    spans = tuple(zip(ends, (train for _, train in segments), strict=True)) if hides else ()
    return Reference(text, labels, spans)


def _label(value: Any) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    value.encode()
    return value


def mutate(line: bytes, rng: random.Random) -> bytes:
    """A line with up to four small changes."""
    out = bytearray(line)
    for _ in range(rng.randint(0, 4)):
        at, kind = rng.randrange(len(out) + 1), rng.random()
        if kind < 0.5:
            out[at:at] = rng.choice(PIECES)
        elif kind < 0.75:
            del out[at : at + rng.randint(1, 6)]
        elif kind < 0.85:
            out[at : at + 1] = bytes([rng.randrange(256)])
        else:
            source = rng.randrange(len(out) + 1)
            out[at:at] = out[source : source + rng.randint(1, 30)]
    return bytes(out).replace(b"\n", b"")


def texts_of(batch: JsonBatch) -> list[str]:
    """The texts of all documents."""
    return [batch.texts[a:b].tobytes().decode() for a, b in pairwise(batch.offsets.tolist())]


def labels_of(column: tuple[list[str], np.ndarray]) -> list[str | None]:
    """The label of each document."""
    names, codes = column
    assert codes.dtype == np.int32 and len(set(names)) == len(names)
    return [names[code] if code >= 0 else None for code in codes.tolist()]


def documents_of(batch: JsonBatch) -> list[Reference]:
    """All documents."""
    segments: list[list[tuple[int, bool]]] = [[] for _ in batch.positions]
    columns = (batch.segment_documents.tolist(), batch.segment_ends.tolist(), batch.segment_train.tolist())
    for document, end, train in zip(*columns, strict=True):
        segments[document].append((end, train))
    labels = zip(labels_of(batch.licenses), labels_of(batch.domains), labels_of(batch.sources), strict=True)
    rows = zip(texts_of(batch), labels, segments, strict=True)
    return [Reference(text, label, tuple(spans)) for text, label, spans in rows]


def reason_of(line: bytes, **more: Any) -> str:
    """Why a line, read alone, is no document."""
    batch = read_json_lines(line, last=True, **more)
    assert (batch.consumed, batch.lines, len(batch.positions)) == (len(line), 1, 0)
    ((position, length, reason),) = batch.bad
    assert (position, length) == (0, len(line))
    return reason


def text_of(line: bytes, **more: Any) -> str:
    """The text of a line, read alone."""
    batch = read_json_lines(line, last=True, **more)
    assert not batch.bad
    (text,) = texts_of(batch)
    assert batch.characters.tolist() == [len(text)]
    return text
