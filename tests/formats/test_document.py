from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from megatron_heph.errors import InputError
from megatron_heph.formats.document import (
    Document,
    Segment,
    parse_document,
    read_documents,
    read_lines,
    write_documents,
)

PLAIN: dict[str, Any] = {
    "id": "a/1", "text": "héllo", "domain": "text", "source": "s", "license": "MIT",
    "provenance": {"package": "p", "version": "1", "path": "x"},
}  # fmt: skip
DIALOGUE = {key: value for key, value in PLAIN.items() if key != "text"} | {
    "domain": "agent", "segments": [{"text": "ask ", "train": False}, {"text": "answer", "train": True}],
    "api": {"provider": "aws", "name": "s3"},
}  # fmt: skip


def documents(count: int) -> list[Document]:
    return [
        Document(id=str(i), domain="code", source="s", license="MIT", provenance={}, text=f"{i * 7919 % 1000} " * 50)
        for i in range(count)
    ]


@pytest.mark.parametrize("row", [PLAIN, DIALOGUE])
def test_a_line_survives(row: dict[str, Any]) -> None:
    document = parse_document(json.dumps(row), "f:1")
    assert json.loads(document.to_json()) == row
    assert parse_document(document.to_json().encode(), "f:1") == document


def test_full_text() -> None:
    assert parse_document(json.dumps(PLAIN), "f:1").full_text == "héllo"
    document = parse_document(json.dumps(DIALOGUE), "f:1")
    assert document.full_text == "ask answer" and document.segments[0] == Segment(text="ask ", train=False)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "the line is not JSON"),
        ("[1]", "holds a JSON list"),
        ("7", "holds a JSON int"),
        ({**PLAIN, "id": None}, "id is None"),
        ({k: v for k, v in PLAIN.items() if k not in ("license", "provenance")}, "lacks license, provenance"),
        ({k: v for k, v in PLAIN.items() if k != "text"}, "lacks text or segments"),
        ({**PLAIN, "text": 5}, "text is 5, but it is a JSON str"),
        ({**PLAIN, "domain": "agnet"}, "the domain is 'agnet', but it is one of agent, code, text"),
        ({**PLAIN, "provenance": []}, "provenance is [], but it is a JSON object"),
        ({**DIALOGUE, "segments": [{"text": "x"}]}, "segment 0 is {'text': 'x'}"),
        ({**DIALOGUE, "segments": [{"text": "x", "train": True}, "y"]}, "segment 1 is 'y'"),
    ],
)
def test_lines_that_are_no_document(row: Any, message: str) -> None:
    line = row if isinstance(row, str) else json.dumps(row)
    with pytest.raises(InputError) as caught:
        parse_document(line, "corpus/x.jsonl:12")
    assert str(caught.value).startswith("corpus/x.jsonl:12: ") and message in str(caught.value)


def test_files_survive_and_are_the_same_bytes(tmp_path: Path) -> None:
    written = documents(3000)
    for name in ("a.jsonl.zst", "b.jsonl.zst"):
        assert write_documents(tmp_path / name, iter(written)) == 3000
    assert list(read_documents(tmp_path / "a.jsonl.zst")) == written
    assert (tmp_path / "a.jsonl.zst").read_bytes() == (tmp_path / "b.jsonl.zst").read_bytes()
    assert not list(tmp_path.glob("*.partial"))


def test_a_plain_file_and_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n" + json.dumps(PLAIN).encode() + b"\r\n  \n" + json.dumps(DIALOGUE).encode())
    assert [number for number, _ in read_lines(path)] == [2, 4]
    assert len(list(read_documents(path))) == 2


def test_frames_that_follow_each_other_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    frames = [zstandard.compress(f"{json.dumps(PLAIN)}\n".encode() * n) for n in (3, 4)]
    path.write_bytes(b"".join(frames))
    assert len(list(read_documents(path))) == 7


@pytest.mark.parametrize("share", [0.0001, 0.3, 0.9999])
def test_a_file_that_is_cut_short_is_never_a_smaller_corpus(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.jsonl.zst"
    write_documents(path, documents(5000))
    whole = path.read_bytes()
    path.write_bytes(whole[: max(1, int(len(whole) * share))])
    with pytest.raises(InputError, match=r"a\.jsonl\.zst is cut short"):
        list(read_documents(path))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.zst").write_bytes(b"not zstd at all")
    with pytest.raises(InputError, match="is damaged, or is not zst"):
        list(read_documents(tmp_path / "a.jsonl.zst"))
    with pytest.raises(InputError, match=r"b\.jsonl cannot be read: No such file"):
        list(read_documents(tmp_path / "b.jsonl"))


def test_a_writer_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def failing():
        yield from documents(1)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_documents(tmp_path / "a.jsonl.zst", failing())
    assert not (tmp_path / "a.jsonl.zst").exists()
