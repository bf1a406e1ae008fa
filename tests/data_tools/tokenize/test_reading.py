import gzip
import json

import numpy as np
import pytest
import zstandard
from tiny_tokenizers import document, write_lines

from data_tools.tokenize.inputs import Input, find_inputs
from data_tools.tokenize.plan import Piece
from data_tools.tokenize.reading import line_number, raw_bytes, read_piece
from megatron_heph.errors import InputError


def _file(path):
    return Input(path, path.name, path.stat().st_size)


def _piece(path, begin=0, end=None):
    file = _file(path)
    return Piece(file, begin, file.bytes if end is None else end)


def _texts(piece, **more):
    return [text for batch in read_piece(piece, "text", **more) for text in batch.texts.strings()]


def _lines(texts):
    return b"\n".join(json.dumps({"text": text}).encode() for text in texts)  # the last one without its end


TEXTS = [f"{n} " + "x" * (n * 37 % 900) for n in range(60)]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("block_bytes", [64, 4096, 1 << 20])
def test_every_document_is_read_once_whatever_the_block(tmp_path, suffix, block_bytes):
    raw, path = _lines(TEXTS), tmp_path / f"a.jsonl{suffix}"
    if suffix == ".zst":  # two frames, as appending writers make them
        path.write_bytes(zstandard.compress(raw[:1000]) + zstandard.compress(raw[1000:]))
    else:
        path.write_bytes(gzip.compress(raw[:9]) + gzip.compress(raw[9:]) if suffix else raw)
    seen = bytearray()
    assert _texts(_piece(path), on_bytes=seen.extend, block_bytes=block_bytes) == TEXTS
    assert bytes(seen) == path.read_bytes() == b"".join(raw_bytes(_piece(path)))


@pytest.mark.parametrize("ending", [b"", b"\n", b"\n\n", b"\r\n"])
def test_pieces_that_meet_at_any_byte_hold_every_line_once(tmp_path, ending):
    path = tmp_path / "a.jsonl"
    path.write_bytes(_lines(["a", "", "ü", "b" * 30]).replace(b"\n", b"\n\n", 1) + ending)
    size = path.stat().st_size
    for cut in range(size + 1):
        pieces = [_piece(path, 0, cut), _piece(path, cut, size)]
        assert [text for piece in pieces for text in _texts(piece)] == ["a", "", "ü", "b" * 30], cut
        assert b"".join(chunk for piece in pieces for chunk in raw_bytes(piece)) == path.read_bytes()


def test_a_byte_order_mark_belongs_to_no_line_and_only_at_the_beginning(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + _lines(["a", "b"]))
    assert _texts(_piece(path)) == ["a", "b"]
    path.write_bytes(_lines(["a"]) + b"\n\xef\xbb\xbf" + _lines(["b"]))
    batches = list(read_piece(_piece(path), "text"))
    assert [b.reason for batch in batches for b in batch.bad] and _texts(_piece(path)) == ["a"]


def test_malformed_lines_have_their_place_in_the_file(tmp_path):
    path = tmp_path / "a.jsonl"
    first = _lines(["a" * 200])
    path.write_bytes(first + b"\n\n{oops\n" + _lines(["b"]))
    for block_bytes in (16, 1 << 20):
        bad = [line for batch in read_piece(_piece(path), "text", block_bytes=block_bytes) for line in batch.bad]
        assert [(line.byte, line.bytes, line.excerpt) for line in bad] == [(len(first) + 2, 5, "{oops")]
    assert line_number(path, bad[0].byte) == 3
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert line_number(packed, bad[0].byte) == 3


def test_a_file_of_nothing_but_malformed_lines_is_read_to_its_end(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x\n" * 150_000 + _lines(["a"]))
    batches = list(read_piece(_piece(path), "text"))
    assert max(len(batch.bad) for batch in batches) < 70_000  # what is told of them stays small
    assert [line.byte for batch in batches for line in batch.bad] == list(range(0, 300_000, 2))
    assert _texts(_piece(path)) == ["a"]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_file_that_is_cut_short_is_an_error_and_not_a_shorter_corpus(tmp_path, suffix):
    raw = "".join(json.dumps(document(i)) + "\n" for i in range(2000)).encode()
    whole = gzip.compress(raw) if suffix == ".gz" else zstandard.compress(raw)
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=rf"a\.jsonl\{suffix} is cut short"):
        _texts(_piece(path))
    path.write_bytes(b"not compressed at all, whatever its name says")
    with pytest.raises(InputError, match=r"is damaged, or is not"):
        _texts(_piece(path))


def _write_parquet(path, rows, **more):
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path, **more)
    return path


@pytest.mark.parametrize("dictionary", [True, False])
def test_parquet_gives_what_lines_give(tmp_path, dictionary):
    rows = [document(i) | {"provenance": "x"} for i in range(50)]
    rows[7]["text"], rows[8]["text"], rows[9]["license"] = None, "", None
    path = _write_parquet(tmp_path / "a.parquet", rows, row_group_size=8, use_dictionary=dictionary)
    expected = [row["text"] or "" for row in rows]
    assert _texts(_piece(path)) == _texts(_piece(path), block_bytes=300) == expected
    batches = list(read_piece(_piece(path), "text"))
    assert sum(int(batch.characters.sum()) for batch in batches) == sum(map(len, expected))
    labels = []
    for batch in batches:
        names, codes = batch.licenses
        labels += [names[code] if code >= 0 else None for code in codes]
    assert labels == [row["license"] for row in rows]


def test_parquet_is_cut_between_row_groups(tmp_path):
    rows = [{"text": f"{i} " + "word " * i} for i in range(40)]
    path = _write_parquet(tmp_path / "a.parquet", rows, row_group_size=7)
    size = path.stat().st_size
    for cut in (0, 1, 5, 500, size // 2, size - 1, size):
        pieces = [_piece(path, 0, cut), _piece(path, cut, size)]
        assert [text for piece in pieces for text in _texts(piece)] == [row["text"] for row in rows]
        seen = bytearray()
        for piece in pieces:
            list(read_piece(piece, "text", seen.extend))
        assert bytes(seen) == b"".join(chunk for piece in pieces for chunk in raw_bytes(piece))


def test_parquet_that_cannot_be_used_says_so(tmp_path):
    path = _write_parquet(tmp_path / "a.parquet", [{"texts": "a", "n": 1}])
    with pytest.raises(InputError, match=r"no column 'text'.* texts, n\. .*did you mean 'texts'"):
        _texts(_piece(path))
    with pytest.raises(InputError, match=r"the column 'n' holds int64"):
        list(read_piece(_piece(path), "n"))
    path.write_bytes(b"PAR1 not at all")
    with pytest.raises(InputError, match=r"damaged, or is not Parquet"):
        _texts(_piece(path))


def test_inputs_that_cannot_be_used_say_so(tmp_path, monkeypatch):
    write_lines(tmp_path / "a.jsonl", [document(0)])
    (tmp_path / "heldout").mkdir()
    write_lines(tmp_path / "heldout" / "b.jsonl", [document(1)])
    (tmp_path / "notes.txt").write_text("x")
    assert [file.path.name for file in find_inputs([str(tmp_path)])] == ["a.jsonl"]  # heldout stays held out
    with pytest.raises(InputError, match=r"did you mean 'a\.jsonl'"):
        find_inputs([str(tmp_path / "aa.jsonl")])
    with pytest.raises(InputError, match="named twice"):
        find_inputs([str(tmp_path), str(tmp_path / "*.jsonl")])
    with pytest.raises(InputError, match=r"notes\.txt is no input"):
        find_inputs([str(tmp_path / "notes.txt")])
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match=r"holds no .jsonl"):
        find_inputs([str(tmp_path / "none")])
    with pytest.raises(InputError, match=r"would both be 'a\.jsonl' in the manifest"):
        (tmp_path / "none" / "a.jsonl").write_text("{}\n")
        find_inputs([str(tmp_path / "a.jsonl"), str(tmp_path / "none" / "a.jsonl")])
    assert np.all([file.bytes > 0 for file in find_inputs([str(tmp_path)])])
