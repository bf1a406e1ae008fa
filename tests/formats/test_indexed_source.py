"""Tokenized sources: what is read, and what every damaged file says."""

import json
import re
import struct

import numpy as np
import pytest
from support import tiny

from megatron_heph._native import IndexedWriter
from megatron_heph.errors import InputError, RefusedError
from megatron_heph.formats.check_pair import check_index
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.manifest import (
    InputPiece,
    Manifest,
    ShardInfo,
    TokenizerInfo,
    manifest_path,
    read_manifest,
)
from megatron_heph.formats.mask import MaskWriter, mask_path, read_mask, spans_of
from megatron_heph.formats.shard import read_shard
from megatron_heph.formats.tokenizer import check_same_tokenizer

INFO = TokenizerInfo(
    hash="a" * 64, name="tiny", vocab_size=1000, eod_id=0, eod_token="<e>", special_tokens="text"
)


def _pair(prefix, documents, vocab=1000):
    with IndexedWriter(str(prefix), vocab) as writer:
        flat = np.concatenate([np.array(d, np.int32) for d in documents])
        writer.append(flat, np.array([len(d) for d in documents]))
        writer.finalize()


def _info(name, tokens, documents, **more):
    return ShardInfo(
        name=name,
        inputs=(InputPiece(path=f"{name}.jsonl", begin=0, end=1, file_bytes=1, xxh3="0"),),
        documents=documents,
        tokens=tokens,
        masked_tokens=0,
        characters=9,
        utf8_bytes=9,
        empty=0,
        bin_bytes=2 * tokens,
        bin_xxh3="0",
        idx_xxh3="0",
        licenses={"MIT": documents},
        **more,
    )


def _manifest(*shards, dtype="uint16"):
    return Manifest(tokenizer=INFO, domain="code", source="s", field="text", dtype=dtype, shards=shards)


@pytest.fixture
def source(tmp_path):
    """Three shards, the second one empty of documents: tokens 0..9, then 10..14."""
    _pair(tmp_path / "s-00000", [range(0, 4), range(4, 10)])
    _pair(tmp_path / "s-00001", [[]])
    _pair(tmp_path / "s-00002", [range(10, 11), range(11, 15)])
    shards = _info("s-00000", 10, 2), _info("s-00001", 0, 1), _info("s-00002", 5, 2)
    _manifest(*shards).write(manifest_path(tmp_path / "s"))
    return tmp_path / "s"


def test_reads_any_range_across_shards(source):
    opened = TokenizedSource.open(source)
    assert opened.total_tokens == 15 and opened.manifest.licenses == {"MIT": 5}
    for start in range(16):
        for count in range(16 - start):
            tokens = opened.read(start, count)
            assert tokens.dtype == np.int64 and tokens.tolist() == list(range(start, start + count))
    with pytest.raises(IndexError, match=r"\[10, 16\)"):
        opened.read(10, 6)


def test_knows_which_document_holds_a_token(source):
    opened = TokenizedSource.open(source)
    assert opened.documents().tolist() == [[0, 4], [4, 6], [10, 1], [11, 4]]      # the empty one is left out
    assert opened.documents(4, 7).tolist() == [[4, 6], [10, 1]]
    assert opened.total_documents == 5
    places = [(0, 0, 0, 4), (0, 1, 4, 6), (1, 0, 10, 0), (2, 0, 10, 1), (2, 1, 11, 4)]
    assert [opened.document(i) for i in range(5)] == places
    held = [(0, 0)] * 4 + [(0, 1)] * 6 + [(2, 0)] + [(2, 1)] * 4
    assert [opened.document_at(i)[:2] for i in range(15)] == held
    assert opened.document_at(13) == (2, 1, 11, 4)
    with pytest.raises(IndexError, match="document 5"):
        opened.document(5)


def test_opens_a_pair_that_megatron_made(tmp_path):
    torch = pytest.importorskip("torch")
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    builder = IndexedDatasetBuilder(str(tmp_path / "m.bin"), dtype=np.int32)
    builder.add_document(torch.arange(70000, 70006), [2, 4])  # one document of two sequences
    builder.add_document(torch.arange(3), [3])
    builder.finalize(str(tmp_path / "m.idx"))
    opened = TokenizedSource.open(tmp_path / "m", vocab_size=128256)
    assert opened.manifest is None
    assert opened.read(0, 9).tolist() == [*range(70000, 70006), 0, 1, 2]
    assert opened.documents().tolist() == [[0, 6], [6, 3]] and opened.document_at(5) == (0, 0, 0, 6)
    with pytest.raises(InputError, match=r"holds int32.*49152 tokens is stored as uint16"):
        TokenizedSource.open(tmp_path / "m", vocab_size=49152)


def test_a_pattern_is_many_pairs_in_the_order_of_their_names(tmp_path):
    for name, begin in (("p_b_text_document", 4), ("p_a_text_document", 0), ("q_text_document", 9)):
        _pair(tmp_path / name, [range(begin, begin + 3), range(begin + 3, begin + 4)])
    opened = TokenizedSource.open(tmp_path / "p_*_text_document", vocab_size=1000)
    assert opened.manifest is None and opened.read(0, 8).tolist() == list(range(8))
    assert opened.document_at(5) == (1, 0, 4, 3)
    with pytest.raises(InputError, match=r"No \.idx fits the pattern .*z_\*"):
        TokenizedSource.open(tmp_path / "z_*")
    _pair(tmp_path / "p_c_text_document", [range(3)], vocab=70000)
    with pytest.raises(InputError, match=r"p_a_text_document\.idx holds uint16, and .*p_c_text.*\.idx holds int32"):
        TokenizedSource.open(tmp_path / "p_*_text_document")


def test_opening_opens_no_file_of_a_source_with_manifest(source):
    opened = TokenizedSource.open(source)
    raw = bytearray(source.with_name("s-00002.idx").read_bytes())
    raw[0] = 0
    source.with_name("s-00002.idx").write_bytes(raw)
    again = TokenizedSource.open(source)        # the sizes are right
    assert again.read(0, 10).tolist() == list(range(10)) and opened.reader.open_shards == 0
    with pytest.raises(InputError, match=r"s-00002\.idx is not an index: it begins with b'\\x00MIDIDX"):
        again.read(9, 2)


HEAD = struct.Struct("<9sQBQQ")


def _edit(path, **changes):
    raw = path.read_bytes()
    names = ("magic", "version", "code", "sequences", "entries")
    fields = dict(zip(names, HEAD.unpack(raw[: HEAD.size]), strict=True)) | changes
    path.write_bytes(HEAD.pack(*fields.values()) + raw[HEAD.size :])


def _cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def _poke(path, offset, kind, value):
    raw = bytearray(path.read_bytes())
    struct.pack_into(kind, raw, offset, value)
    path.write_bytes(raw)


# The pair has two sequences: 34 bytes of header, lengths at 34, pointers at 42, document indices at 58,
# and 82 bytes in all.
DAMAGE = {
    "no bin": (lambda b, i: b.unlink(), r"There is no .*a\.bin; its other half is there"),
    "no idx": (lambda b, i: i.unlink(), r"There is no .*a\.idx; its other half is there"),
    "short bin": (lambda b, i: _cut(b, 15), r"a\.bin has 15 bytes, and its a\.idx says 20"),
    "long bin": (lambda b, i: b.write_bytes(b.read_bytes() + b"xx"), r"has 22 bytes.*says 20"),
    "empty idx": (lambda b, i: _cut(i, 0), r"begins with b''"),
    "short header": (lambda b, i: _cut(i, 20), r"cut short: it has 20 bytes.*34"),
    "short idx": (lambda b, i: _cut(i, 75), r"cut short: it has 75 bytes, and 82"),
    "modes": (lambda b, i: i.write_bytes(i.read_bytes() + b"\0\0"), r"too long.*84 bytes, and 82"),
    "magic": (lambda b, i: _edit(i, magic=b"MMIDIDX\0\1"), r"begins with .*x01.*should begin with"),
    "version": (lambda b, i: _edit(i, version=2), r"version 2, and this program reads version 1"),
    "dtype": (lambda b, i: _edit(i, code=6), r"dtype code 6 \(float64\).*4 \(int32\), 8 \(uint16\)"),
    "other dtype": (lambda b, i: _edit(i, code=4), r"a\.bin has 20 bytes.*says 32"),
    "pointer": (lambda b, i: _poke(i, 50, "<q", 6), r"has 20 bytes.*says 18"),
    "lengths": (
        lambda b, i: (_poke(i, 34, "<i", 5), None),
        r"sequence 1 .*is at byte 8, and should be at 10",
    ),
    "first pointer": (lambda b, i: _poke(i, 42, "<q", 2), r"sequence 0 .*is at byte 2, and should be at 0"),
    "last document": (lambda b, i: _poke(i, 74, "<q", 1), r"run from 0 to 1, and should run from 0 to .* 2"),
    "documents": (lambda b, i: _poke(i, 66, "<q", 9), r"document 2 begins at sequence 2, before document 1"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_pair_names_both_values(tmp_path, name):
    _pair(tmp_path / "a", [range(4), range(6)])
    damage, message = DAMAGE[name]
    damage(tmp_path / "a.bin", tmp_path / "a.idx")
    with pytest.raises(InputError, match=message) as caught:
        check_index(read_shard(tmp_path / "a"))
    assert str(tmp_path) in str(caught.value) and re.search("again|other", str(caught.value))


def test_a_shard_of_another_dtype_names_both(source):
    _manifest(_info("s-00000", 10, 2), dtype="int32").write(manifest_path(source))
    with pytest.raises(InputError, match=r"s-00000\.bin has 20 bytes, and the manifest says 40 \(10 tokens of int32\)"):
        TokenizedSource.open(source)


def test_a_shard_of_another_source_names_both_counts(source):
    _manifest(_info("s-00000", 11, 2)).write(manifest_path(source))
    with pytest.raises(InputError, match=r"s-00000\.bin has 20 bytes, and the manifest says 22 \(11 tokens"):
        TokenizedSource.open(source)
    _manifest(_info("s-00000", 10, 3)).write(manifest_path(source))
    with pytest.raises(InputError, match=r"s-00000\.idx has 82 bytes, and the manifest says 102 \(3 documents"):
        TokenizedSource.open(source)


def test_a_missing_source_says_what_is_there(source):
    with pytest.raises(InputError, match=r"did you mean 's'\?"):
        TokenizedSource.open(source.with_name("ss"))
    manifest_path(source).unlink()
    with pytest.raises(InputError, match=r"shards but no s\.manifest\.json.*did not finish"):
        TokenizedSource.open(source)


def test_manifest_survives_the_disk_and_notices_edits(tmp_path):
    manifest = _manifest(_info("s-00000", 10, 2, sources={"x": 2}), _info("s-00001", 3, 1))
    path = tmp_path / "s.manifest.json"
    manifest.write(path)
    assert read_manifest(path) == manifest and manifest.tokens == 13
    assert [path.name for path in tmp_path.iterdir()] == ["s.manifest.json"]
    text = path.read_text()
    path.write_text(text.replace('"tokens": 10', '"tokens": 11'))
    with pytest.raises(InputError, match=r"contradicts itself.*'tokens': 13.*'tokens': 14"):
        read_manifest(path)
    path.write_text(text.replace('"format_version": 2', '"format_version": 9'))
    with pytest.raises(InputError, match=r"format_version 9, and this program reads 2"):
        read_manifest(path)
    row = json.loads(text)
    for shard in row["shards"]:     # keys with a default may be missing, as in what older versions wrote
        del shard["malformed"], shard["mask_xxh3"], shard["domains"]
    path.write_text(json.dumps(row))
    assert read_manifest(path) == manifest
    path.write_text(text.replace('"tokens": 3', '"tokens": "3"'))
    with pytest.raises(InputError, match=r"shards\.s-00001\.tokens is '3'; it needs a whole number"):
        read_manifest(path)
    path.write_text(text.replace('"domain"', '"domane"'))
    with pytest.raises(InputError, match=r"domane: did you mean 'domain'"):
        read_manifest(path)
    path.write_text(text[:50])
    with pytest.raises(InputError, match="not JSON"):
        read_manifest(path)


def test_mask_joins_spans_and_answers_for_any_range(tmp_path):
    rng = np.random.default_rng(1)
    hidden = rng.random(300) < 0.5
    with MaskWriter(tmp_path / "a.mask") as writer:
        for start in range(0, 300, 7):
            writer.append(spans_of(hidden[start : start + 7], start))
        assert writer.finalize() and writer.masked_tokens == hidden.sum()
    spans = read_mask(tmp_path / "a.mask", 300)
    assert np.array_equal(spans, spans_of(hidden))  # as if it had been one block
    tiny.write_pair(tmp_path / "a", [np.arange(300)])
    source = TokenizedSource.open(tmp_path / "a")
    for start, count in rng.integers(0, 150, (50, 2)):
        assert np.array_equal(source.read_loss_mask(int(start), int(count)), ~hidden[start : start + count])


def test_mask_without_spans_leaves_no_file(tmp_path):
    (tmp_path / "a.mask").write_bytes(b"old")
    with MaskWriter(tmp_path / "a.mask") as writer:
        writer.append(spans_of(np.zeros(5, bool)))
        assert not writer.finalize()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([[0, 5], [4, 1]], r"span 0 covers tokens 0 to 5.*end by 4"),
        ([[3, 0]], "span 0 covers tokens 3 to 3"),
        ([[0, 1], [8, 3]], r"span 1 covers tokens 8 to 11.*end by 10 \(where the shard ends"),
        ([], "has 0 bytes"),
    ],
)
def test_a_wrong_mask_names_both_values(tmp_path, spans, message):
    path = tmp_path / "a.mask"
    path.write_bytes(np.array(spans, "<u8").tobytes())
    with pytest.raises(InputError, match=message):
        read_mask(path, 10)


def test_mask_is_read_with_the_source_and_missed_where_it_was(source):
    with MaskWriter(mask_path(source.with_name("s-00002"))) as writer:
        writer.append(np.array([[1, 3]]))
        writer.finalize()
    shards = _info("s-00000", 10, 2), _info("s-00002", 5, 2, mask_xxh3="0")
    _manifest(*shards).write(manifest_path(source))
    assert TokenizedSource.open(source).read_loss_mask(8, 7).tolist() == [True] * 3 + [False] * 3 + [True]
    _manifest(*shards[:1], _info("s-00002", 5, 2)).write(manifest_path(source))
    with pytest.raises(InputError, match=r"There is a .*s-00002\.mask, and .* all tokens of this shard carry loss"):
        TokenizedSource.open(source)
    _manifest(*shards).write(manifest_path(source))
    mask_path(source.with_name("s-00002")).unlink()
    with pytest.raises(InputError, match=r"There is no .*s-00002\.mask"):
        TokenizedSource.open(source)


def test_another_tokenizer_is_refused_with_the_command_to_run(source):
    manifest = read_manifest(manifest_path(source))
    check_same_tokenizer(manifest, "a" * 64, prefix=source, base="bases/b")
    with pytest.raises(
        RefusedError, match=r"aaaaaaaa.*bbbbbbbb.*heph tokenize .* --tokenizer bases/b -o"
    ) as caught:
        check_same_tokenizer(manifest, "b" * 64, prefix=source, base="bases/b")
    assert caught.value.exit_code == 3
