"""`heph inspect data --verify`: every fault that a source's files can have is found and named."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import xxhash

from megatron_heph._native import IndexedWriter
from megatron_heph.cli.main import main
from megatron_heph.formats.manifest import InputPiece, Manifest, ShardInfo, TokenizerInfo, manifest_path, read_manifest
from megatron_heph.formats.mask import MaskWriter, mask_path
from megatron_heph.formats.verify import verify_source


def _checksum(path):
    return xxhash.xxh3_128(path.read_bytes()).hexdigest()


def _shard(folder, name, documents, masked):
    prefix = folder / name
    with IndexedWriter(str(prefix), 1000) as writer:
        writer.append(np.concatenate(documents).astype(np.int32), np.array([len(d) for d in documents]))
        writer.finalize()
    with MaskWriter(mask_path(prefix)) as mask:
        mask.append(np.array(masked).reshape(-1, 2))
        has_mask = mask.finalize()
    tokens = sum(map(len, documents))
    return ShardInfo(
        name=name, inputs=(InputPiece(path="a", begin=0, end=1, file_bytes=1, xxh3="0"),), documents=len(documents),
        tokens=tokens, masked_tokens=sum(length for _, length in masked), characters=1, utf8_bytes=1, empty=0,
        bin_bytes=2 * tokens, bin_xxh3=_checksum(folder / f"{name}.bin"), idx_xxh3=_checksum(folder / f"{name}.idx"),
        mask_xxh3=_checksum(mask_path(prefix)) if has_mask else "",
    )  # fmt: skip


@pytest.fixture
def source(tmp_path):
    shards = (
        _shard(tmp_path, "s-00000", [range(8), range(8, 20)], [(3, 2), (9, 1)]),
        _shard(tmp_path, "s-00001", [range(5)], []),
    )
    info = TokenizerInfo(hash="a", name="t", vocab_size=20, eod_id=0, eod_token="", special_tokens="text")
    manifest = Manifest(tokenizer=info, domain="", source="s", field="text", dtype="uint16", shards=shards)
    manifest.write(manifest_path(tmp_path / "s"))
    return tmp_path / "s"


def _poke(path, offset, value, dtype="<i8"):
    raw = bytearray(path.read_bytes())
    part = np.array([value], dtype).tobytes()
    raw[offset : offset + len(part)] = part
    path.write_bytes(raw)


def test_a_whole_source_is_said_to_be_whole(source, capsys):
    seen = []
    report = verify_source(source, lambda done, total: seen.append((done, total)))
    assert not report.faults and report.shards == 2
    assert seen[-1] == (report.bytes, report.bytes) == (50 + 82 + 32 + 62, seen[0][1])
    assert main(["inspect", "data", str(source), "--verify"]) == 0
    assert "2 of 2 shards are whole, 226 bytes read; ids are below 20" in capsys.readouterr().out


# s-00000.idx: lengths at 34, pointers at 42, document indices at 58
FAULTS = {
    "pointer": (lambda s: _poke(s("idx"), 50, 14), r"has 40 bytes, and its s-00000\.idx says 38"),
    "length": (lambda s: _poke(s("idx"), 34, 7, "<i4"), r"sequence 1 .* is at byte 16, and should be at 14"),
    "document": (lambda s: _poke(s("idx"), 66, 3), r"document 2 begins at sequence 2, before document 1"),
    "id": (lambda s: _poke(s("bin"), 6, 20, "<u2"), r"the id 20 at token 3, and ids are 0 to 19"),
    "other id": (lambda s: _poke(s("bin"), 6, 5, "<u2"), r"bin has the XXH3-128 .*manifest says"),
    "overlap": (lambda s: _poke(s("mask"), 16, 4), r"span 1 covers tokens 4 to 5.*between 5 and 20"),
    "beyond": (lambda s: _poke(s("mask"), 24, 12), r"span 1 covers tokens 9 to 21.*between 5 and 20"),
    "masked": (lambda s: _poke(s("mask"), 24, 2), r"covers 4 tokens, and the manifest says 3"),
    "short mask": (lambda s: s("mask").write_bytes(b"1234"), r"mask has 4 bytes"),
    "no mask": (lambda s: s("mask").unlink(), r"has_mask is False in the files, and True"),
    "short": (lambda s: s("bin").write_bytes(b"12"), r"bin has 2 bytes.*says 40"),
    "gone": (lambda s: s("idx").unlink(), r"There is no .*s-00000\.idx"),
    "other": (lambda s: _shard(s("bin").parent, "s-00000", [range(4)], [(0, 1)]), r"tokens is 4 in the files, and 20"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named_and_the_other_shards_are_read(source, name, capsys):
    damage, message = FAULTS[name]
    damage(lambda suffix: source.with_name(f"s-00000.{suffix}"))
    assert main(["inspect", "data", str(source), "--verify", "--json"]) == 2
    row = json.loads(capsys.readouterr().out)
    assert row["shards"] == 2 and [fault["shard"] for fault in row["faults"]] == ["s-00000"]
    assert re.search(message, row["faults"][0]["fault"]), row


def test_a_pair_without_manifest_is_compared_with_itself(source, capsys):
    manifest_path(source).unlink()
    pattern = source.with_name("s-*")
    assert main(["inspect", "data", str(pattern), "--verify"]) == 0
    assert "no manifest" in capsys.readouterr().out
    _poke(source.with_name("s-00001.idx"), 34, 4, "<i4")
    assert main(["inspect", "data", str(pattern), "--verify"]) == 2
    said = capsys.readouterr().out
    assert "s-00001: " in said and "has 10 bytes, and its s-00001.idx says 8" in said and "1 of 2 shards" in said


def test_memory_is_bounded_by_parts(source, monkeypatch):
    """The same, in parts of two numbers and four bytes."""
    monkeypatch.setattr("megatron_heph.formats.check_pair._ENTRIES", 2)
    monkeypatch.setattr("megatron_heph.formats.verify._BYTES", 4)
    many = _shard(source.parent, "s-00001", [range(i % 4) for i in range(9)], [(0, 1), (2, 3), (6, 1)])
    manifest = read_manifest(manifest_path(source))
    replace(manifest, shards=(manifest.shards[0], many)).write(manifest_path(source))
    assert not verify_source(source).faults
    _poke(mask_path(source.with_name("s-00001")), 32, 4)       # the third span, into the second one
    assert "span 2 covers tokens 4 to 5" in verify_source(source).faults[0][1]
    _poke(source.with_name("s-00001.idx"), 34 + 9 * 12 + 8 * 4, 9)
    assert "document 5 begins at sequence 5, before document 4 at sequence 9" in verify_source(source).faults[0][1]
