"""Counts files and packed orders from Python; the packing itself is in tests/csrc/test_native_pack.py."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest
from support import tiny

from megatron_heph.data.order import source_key
from megatron_heph.data.packing import PackedOrder, prepare_counts
from megatron_heph.data.segments import Place
from megatron_heph.errors import InputError
from megatron_heph.formats import pack_counts
from megatron_heph.formats.file_lock import locked_for
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.pack_counts import counts_path, open_counts, read_counts

BLOCK, LENGTH = 256, 64
START = Place()


@pytest.fixture
def source(tmp_path: Path) -> TokenizedSource:
    return _write(tmp_path / "data" / "api", 0)


def _write(prefix: Path, seed: int) -> TokenizedSource:
    rng = np.random.default_rng(seed)
    tiny.write_pair(prefix, [np.zeros(n) for n in rng.integers(1, 150, 120)])
    return TokenizedSource.open(prefix)


def _order(source: TokenizedSource, begin: Place = START, length: int = LENGTH) -> PackedOrder:
    return PackedOrder(source, BLOCK, source_key(7, "api"), begin, length)


def test_counts_are_made_once_and_then_read(source, monkeypatch):
    seen: list[tuple[int, int]] = []
    first = open_counts(source, BLOCK, LENGTH, report=lambda *row: seen.append(row))
    path = counts_path(source, BLOCK, LENGTH)
    assert path.name == "api.pack-256-64" and seen[-1] == (first.blocks, first.blocks)
    assert first.blocks == -(-source.total_tokens // BLOCK)
    assert sorted(p.name for p in path.parent.iterdir()) == ["api.bin", "api.idx", "api.pack-256-64"]
    monkeypatch.setattr(pack_counts, "count_windows", None)      # would fail
    again = open_counts(source, BLOCK, LENGTH)
    assert (again.filled, again.total) == (first.blocks, first.total)


def test_counts_in_several_slices_are_the_same(source, monkeypatch):
    whole = open_counts(source, BLOCK, LENGTH)
    raw = counts_path(source, BLOCK, LENGTH).read_bytes()
    counts_path(source, BLOCK, LENGTH).unlink()
    monkeypatch.setattr(pack_counts, "_TOKENS_AT_ONCE", 700)
    seen: list[int] = []
    open_counts(source, BLOCK, LENGTH, report=lambda done, _: seen.append(done))
    assert seen[:3] == [2, 4, 6] and seen[-1] == whole.blocks
    assert counts_path(source, BLOCK, LENGTH).read_bytes() == raw


def test_the_file_is_as_described(source):
    """Others may read it: the layout in the module's description."""
    counts = open_counts(source, BLOCK, LENGTH)
    raw = counts_path(source, BLOCK, LENGTH).read_bytes()
    assert raw[:8] == b"HEPHPACK" and np.frombuffer(raw, "<u4", 2, 8).tolist() == [1, 0]
    assert np.frombuffer(raw, "<u8", 5, 16).tolist() == [256, 64, source.total_tokens, 120, counts.blocks]
    assert np.frombuffer(raw, "<u4", offset=80).sum() == counts.total and len(raw) == 80 + 4 * counts.blocks


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:-5], r"has \d+ bytes, and \d+ are right"),
        (lambda raw: raw[:20], r"no file of window counts: .* has 20 bytes"),
        (lambda raw: b"", "no file of window counts"),
        (lambda raw: b"X" + raw[1:], "begins with b'XEPHPACK'"),
        (lambda raw: raw[:8] + b"\x09" + raw[9:], "its version is 9, and 1 is right"),
        (lambda raw: raw[:16] + b"\x01" + raw[17:], "its block is 257, and 256 is right"),
        (lambda raw: raw[:24] + b"\x41" + raw[25:], "its length is 65, and 64 is right"),
        (lambda raw: raw[:-4] + b"\x63" + raw[-3:], "damaged: the checksum"),
    ],
)
def test_a_file_that_does_not_fit_is_named_and_made_anew(source, damage, message):
    total = open_counts(source, BLOCK, LENGTH).total
    path = counts_path(source, BLOCK, LENGTH)
    raw = path.read_bytes()
    path.write_bytes(damage(raw))
    with pytest.raises(InputError, match=message):
        read_counts(path, source, BLOCK, LENGTH)
    lines: list[str] = []
    assert open_counts(source, BLOCK, LENGTH, warn=lines.append).total == total
    assert len(lines) == 1 and str(path) in lines[0] and lines[0].endswith("It is made anew.")
    assert path.read_bytes() == raw


def test_counts_of_a_source_that_was_tokenized_again_are_made_anew(source, tmp_path):
    open_counts(source, BLOCK, LENGTH)
    other = _write(tmp_path / "data" / "api", 1)
    lines: list[str] = []
    counts = open_counts(other, BLOCK, LENGTH, warn=lines.append)
    assert f"tokens is {source.total_tokens:,}, and {other.total_tokens:,} is right" in lines[0]
    assert counts.blocks == -(-other.total_tokens // BLOCK)


def test_the_same_sizes_of_other_documents_are_another_source(tmp_path):
    tiny.write_pair(tmp_path / "a", [np.zeros(10), np.zeros(20)])
    tiny.write_pair(tmp_path / "b", [np.zeros(20), np.zeros(10)])
    a, b = (TokenizedSource.open(tmp_path / name) for name in "ab")
    open_counts(a, BLOCK, LENGTH)
    with pytest.raises(InputError, match="identity"):
        read_counts(counts_path(a, BLOCK, LENGTH), b, BLOCK, LENGTH)


def test_a_folder_that_cannot_be_written(source, tmp_path, monkeypatch):
    monkeypatch.delenv("HEPH_CACHE", raising=False)
    path = counts_path(source, BLOCK, LENGTH)
    path.with_name(path.name + ".partial").mkdir()        # in the way also of root
    with pytest.raises(InputError, match=r"(?s)pack-256-64.*directory.*--pack 64 --block 256.*HEPH_CACHE"):
        open_counts(source, BLOCK, LENGTH)


def test_where_the_source_cannot_be_written_a_cache_is_used(source, tmp_path, monkeypatch):
    monkeypatch.setattr(pack_counts, "_can_write", lambda folder: folder != source.prefix.parent)   # root could
    monkeypatch.setenv("HEPH_CACHE", str(tmp_path / "cache"))
    total = open_counts(source, BLOCK, LENGTH).total
    (made,) = (tmp_path / "cache" / "pack").iterdir()
    assert made.name.startswith("api-") and made.name.endswith(".pack-256-64")
    monkeypatch.setattr(pack_counts, "count_windows", None)      # would fail
    assert open_counts(source, BLOCK, LENGTH).total == total and not counts_path(source, BLOCK, LENGTH).exists()
    assert open_counts(source, BLOCK, LENGTH, cache=tmp_path / "cache" / "pack").total == total


def test_a_cache_is_not_used_where_it_is_not_needed(source, tmp_path, monkeypatch):
    monkeypatch.setenv("HEPH_CACHE", str(tmp_path / "cache"))
    open_counts(source, BLOCK, LENGTH)
    assert counts_path(source, BLOCK, LENGTH).exists() and not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("block", "length"), [(0, 64), (256, 0), (256, 1 << 29), (1 << 41, 64)])
def test_sizes_that_cannot_be(source, block, length):
    with pytest.raises(InputError, match="a packed source has from 1 to"):
        open_counts(source, block, length)


def _open_in_process(prefix, start, results):
    source = TokenizedSource.open(prefix)
    lines = []
    start.wait()
    counts = open_counts(source, BLOCK, LENGTH, report=lambda *_: (lines.append("made"), time.sleep(0.3)))
    results.put((counts.total, len(lines)))


def test_of_many_processes_one_makes_the_counts(source):
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    processes = [
        context.Process(target=_open_in_process, args=(source.prefix, start, results)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    start.set()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert len({total for total, _ in found}) == 1
    assert sorted(made for _, made in found) == [0, 0, 0, 1]


def test_a_lock_that_was_taken_away_is_no_lock(tmp_path):
    path = tmp_path / "x"
    with locked_for(path) as held:
        assert held and (tmp_path / "x.lock").exists()
        (tmp_path / "x.lock").unlink()
        with locked_for(path) as other:       # another file: another lock
            assert other
    assert not list(tmp_path.iterdir())


def test_an_order_goes_on_where_the_last_one_ended(source):
    order = _order(source)
    rows = [order.native.pieces(k).tolist() for k in range(150)]
    later = _order(source, order.place(70))
    assert [later.native.pieces(k).tolist() for k in range(80)] == rows[70:]
    assert later.place(80) == order.place(150) and later.epochs(80) == order.epochs(150)
    shorter = _order(source, order.place(3), 16)
    assert shorter.place(2).used[:1] == order.place(3).used or not order.place(3).used


def test_the_samples_of_a_position_are_found(source):
    order = _order(source)
    readers: dict[int, set[int]] = {}
    for k in range(300):
        for _, _, _, start, count in order.native.pieces(k).tolist():
            for position in range(start, start + count):
                readers.setdefault(position, set()).add(k)
    assert max(map(len, readers.values())) >= 2           # a second epoch
    for position in range(0, source.total_tokens, 61):
        assert order.find(position, 1, 300) == readers.get(position, set())
    assert order.find(1000, 90, 200) == {k for p in range(1000, 1090) for k in readers.get(p, ()) if k < 200}


def test_the_first_samples_of_an_epoch_are_pinned(tmp_path):
    """What a run has read must be found again by a later version."""
    tiny.write_pair(tmp_path / "pin", [np.zeros(n) for n in (31, 100, 9, 64, 65, 1, 17, 40, 22, 300, 5)])
    order = PackedOrder(TokenizedSource.open(tmp_path / "pin"), 128, source_key(1, "pin"), Place(), 64)
    found = [[row[3:] for row in order.native.pieces(k).tolist()] for k in range(13)]
    assert found == [
        [[477, 64]],
        [[413, 64]],
        [[270, 16], [287, 39]],
        [[649, 4]],
        [[204, 64]],
        [[131, 8]],
        [[95, 35]],
        [[0, 30]],
        [[541, 64]],
        [[327, 21], [605, 43]],
        [[31, 64]],
        [[140, 63]],
        [[349, 64]],
    ]
    assert order.place(13) == Place(cursor=1, used=())
    begin = Place(3, ((64, 2), (16, 3)))                  # in the middle of a group, at another length
    later = PackedOrder(TokenizedSource.open(tmp_path / "pin"), 8, source_key(1, "pin"), begin, 32)
    starts = [int(later.native.pieces(k)[0, 3]) for k in range(12)]
    assert starts == [445, 397, 509, 349, 477, 204, 270, 236, 140, 172, 649, 0]


def test_a_source_without_anything_to_pack(tmp_path):
    tiny.write_pair(tmp_path / "ones", [np.zeros(1)] * 5)
    with pytest.raises(InputError, match=r"ones has 5 documents, and none of two tokens.*window = 'stream'"):
        _order(TokenizedSource.open(tmp_path / "ones"))


def test_a_place_of_another_source(source):
    with pytest.raises(InputError, match=r"after window 999 of a group .* the place is one of another source"):
        _order(source, Place(0, ((LENGTH, 999),)))


def test_preparing_makes_all_that_is_missing(source, tmp_path):
    other = _write(tmp_path / "data" / "more", 2)
    prepare_counts([source, other], BLOCK, [64, 32, 64])
    names = {path.name for path in source.prefix.parent.glob("*.pack-*")}
    assert names == {f"{name}.pack-256-{length}" for name in ("api", "more") for length in (32, 64)}
