"""Packing in csrc/data against its definition in Python; `csrc/fuzz/fuzz_pack.cpp` has the wide net."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from support import tiny

from megatron_heph._native import PackOrder, TokenReader, WindowCounts, count_windows, pack

KEY = (11, 22)


def _reader(folder: Path, *shards: list[int]) -> TokenReader:
    """Pairs whose documents have these lengths."""
    specs = []
    for i, lengths in enumerate(shards):
        tiny.write_pair(folder / f"s{i}", [np.zeros(n) for n in lengths] or [np.zeros(0)])
        specs.append((str(folder / f"s{i}"), 8, sum(lengths), len(lengths or [0]), len(lengths or [0]) + 1, False))
    return TokenReader(specs)


def _counts(reader: TokenReader, block: int, length: int) -> WindowCounts:
    blocks = -(-reader.total_tokens // block)
    counts = WindowCounts(blocks)
    counts.append(count_windows(reader, block, length, 0, blocks))
    return counts


def _order(reader, block, length, begin=(0, ()), key=KEY):
    return PackOrder(reader, _counts(reader, block, length), block, key, begin, length)


def _plain(items, length):
    """The windows by the definition: longest first, into the tightest window, of equal ones the last that changed."""
    pieces = [(s + i, min(length, n - i)) for s, n in items for i in range(0, n, length)]
    windows = []
    for clock, (start, size) in enumerate(sorted(pieces, key=lambda piece: -piece[1])):
        fits = [w for w in windows if w["room"] >= size]
        best = min(fits, key=lambda w: (w["room"], -w["stamp"]), default=None)
        if best is None:
            windows.append(best := {"room": length, "pieces": []})
        best["room"], best["stamp"] = best["room"] - size, clock
        best["pieces"].append((start, size))
    return sorted(sorted(w["pieces"]) for w in windows)


def _unfold(pieces, begins):
    return [[tuple(row) for row in pieces[a:b].tolist()] for a, b in pairwise(begins)]


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 100, 4096, 4097, 300_000])
def test_windows_are_those_of_the_definition(length):
    rng = np.random.default_rng(length)
    sizes = np.minimum(rng.lognormal(np.log(length) - 1, 1.2, 150).astype(np.int64), 30 * length)
    items = np.stack([np.cumsum(sizes + 1) - sizes - 1, sizes], axis=1)
    windows = _unfold(*pack(items, length, 5))
    assert all(sum(n for _, n in window) <= length for window in windows)
    assert sorted(windows) == _plain(items[sizes > 0].tolist(), length)


def test_these_windows_in_this_order():
    """A pin: what a run reads may not change with the version, nor with the machine."""
    items = np.array([[0, 5], [6, 3], [10, 12], [23, 2], [26, 8], [35, 1], [37, 4]])
    pieces, begins = pack(items, 8, 1)
    assert _unfold(pieces, begins) == [[(10, 8)], [(18, 4), (37, 4)], [(26, 8)], [(23, 2), (35, 1)], [(0, 5), (6, 3)]]
    assert pack(items, 8, 2)[0].tolist() != pieces.tolist()
    nothing, ends = pack(np.empty((0, 2), np.int64), 8)
    assert nothing.shape == (0, 2) and ends.tolist() == [0]


def test_the_order_of_windows_has_no_trend():
    """Best-fit decreasing opens windows by their longest document; a block's samples must not stand so."""
    rng = np.random.default_rng(0)
    places = np.zeros(20)
    for seed in range(600):
        sizes = rng.integers(1, 90, 70)
        items = np.stack([np.cumsum(sizes + 1) - sizes - 1, sizes], axis=1)
        windows = _unfold(*pack(items, 128, seed))
        longest = np.array([max(n for _, n in window) for window in windows])
        places += longest[:20] - longest.mean()
    assert np.abs(places / 600).max() < 3.5      # five deviations of such a mean; unshuffled it is about 20


@pytest.mark.parametrize(("block", "length"), [(64, 16), (100, 100), (1000, 16), (7, 50), (10_000, 33)])
def test_an_epoch_has_every_position_once(tmp_path, block, length):
    rng = np.random.default_rng(block)
    shards = [rng.integers(1, 60, 30).tolist(), [], [1, 1, 500, 2], rng.integers(1, 60, 11).tolist()]
    reader = _reader(tmp_path, *shards)
    order = _order(reader, block, length)
    blocks = -(-reader.total_tokens // block)
    for epoch in range(2):
        seen = np.zeros(reader.total_tokens, int)
        k = first = next(k for k in range(10**6) if order.place(k)[0] >= epoch * blocks)
        while order.place(k)[0] < (epoch + 1) * blocks:
            rows = order.pieces(k)
            assert rows[:, 4].sum() <= length and (np.diff(rows[:, 3]) > rows[:-1, 4]).all()
            assert rows[:, 1].tolist() == [0, *np.cumsum(rows[:-1, 4])] and not rows[:, [0, 2]].any()
            for _, _, _, start, count in rows.tolist():
                seen[start : start + count] += 1
            k += 1
        assert k - first == _counts(reader, block, length).total
        ends = np.cumsum(np.concatenate(shards)).astype(int) - 1
        once = np.ones_like(seen)
        once[ends] = 0                           # a document's last token has no label in it
        assert (seen == once).all()


def test_a_block_owns_the_documents_that_start_in_it(tmp_path):
    reader = _reader(tmp_path, [10, 35, 4], [3, 20])
    # documents start at 0, 10, 45, 49, 52; windows of 16 take 9 | 16 16 2 | 3 2 | 16 3
    assert count_windows(reader, 20, 16, 0, 4).tolist() == [3, 0, 2, 0]
    assert count_windows(reader, 20, 16, 2, 2).tolist() == [2, 0]
    assert count_windows(reader, 72, 16, 0, 1).tolist() == [5]      # ... 9 3 3 | 2 2
    order = _order(reader, 20, 16)
    assert [order.place(k)[0] for k in range(6)] == sorted(order.place(k)[0] for k in range(6))
    assert order.place(5)[0] >= 4 and order.epochs(5) >= 1
    with pytest.raises(ValueError, match="2 blocks from block 3 on, of 4"):
        count_windows(reader, 20, 16, 3, 2)


def test_a_changed_length_in_the_middle_of_a_block_loses_and_repeats_nothing(tmp_path):
    reader = _reader(tmp_path, [1 + n for n in (200, 30, 7, 19, 64, 3, 90)], [1 + n for n in (15, 150, 31)])
    place, seen = (0, []), np.zeros(reader.total_tokens, int)
    histories = []
    for length, samples in ((64, 3), (16, 4), (32, 1), (32, 2), (128, 2), (16, 1000)):
        order = _order(reader, 10_000, length, place)
        for k in range(samples):
            if order.place(k)[0] == 1:
                break
            for _, _, _, start, count in order.pieces(k).tolist():
                seen[start : start + count] += 1
        place = order.place(min(samples, k + 1))
        histories.append(place[1])
    assert histories[:3] == [[(64, 3)], [(64, 3), (16, 4)], [(64, 3), (16, 4), (32, 1)]]
    assert histories[3] == [(64, 3), (16, 4), (32, 3)]      # at the same length it goes on, nothing is packed again
    ends = np.cumsum([201, 31, 8, 20, 65, 4, 91, 16, 151, 32]) - 1
    assert (np.delete(seen, ends) == 1).all() and not seen[ends].any()


def test_pieces_of_a_long_document_are_one_again_when_they_are_packed_anew(tmp_path):
    reader = _reader(tmp_path, [1001])
    order = _order(reader, 5000, 100)
    first = order.pieces(0)[0, 3]
    later = _order(reader, 5000, 1000, order.place(1))
    starts = later.pieces(0)[:, 3:].tolist()
    assert starts == [row for row in ([0, first], [first + 100, 900 - first]) if row[1]]


def test_going_on_from_any_place_is_the_same_order(tmp_path):
    rng = np.random.default_rng(3)
    reader = _reader(tmp_path, rng.integers(1, 80, 400).tolist())
    order = _order(reader, 128, 48)
    rows = [order.pieces(k).tolist() for k in range(800)]
    assert order.place(800)[0] > 128                      # a second epoch, in another order
    for begin in (0, 1, 17, 399, 533):
        later = _order(reader, 128, 48, order.place(begin))
        for k in (266, 0, 100, 1):
            assert later.pieces(k).tolist() == rows[begin + k]
            assert later.place(k) == order.place(begin + k)
            assert later.epochs(k) == pytest.approx(order.epochs(begin + k))
    assert _order(reader, 128, 48, key=(11, 23)).pieces(0).tolist() != rows[0]


def test_far_ahead_is_as_near(tmp_path):
    """Whole epochs are skipped by division."""
    reader = _reader(tmp_path, [9, 14, 30, 2, 1, 8] * 10)
    order = _order(reader, 32, 16)
    windows = _counts(reader, 32, 16).total
    place, _ = order.place(10**15)
    assert place // 20 == 10**15 // windows and reader.total_tokens == 640
    assert order.epochs(10**15) == pytest.approx(10**15 / windows, abs=1)
    with pytest.raises(ValueError, match="there are 2\\^62"):
        order.place(1 << 62)
    with pytest.raises(ValueError, match="below 0"):
        order.place(-1)


def test_threads_share_an_order(tmp_path):
    rng = np.random.default_rng(4)
    reader = _reader(tmp_path, rng.integers(1, 200, 3000).tolist())
    expected = [_order(reader, 512, 256).pieces(k).tolist() for k in range(0, 900, 9)]
    order, wrong = _order(reader, 512, 256), []

    def read(numbers):
        wrong.extend(k for k in numbers if order.pieces(9 * k).tolist() != expected[k])

    threads = [threading.Thread(target=read, args=(rng.permutation(100),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_counts_are_kept_in_as_few_bytes_as_they_need(tmp_path):
    reader = _reader(tmp_path, [3] * 10 + [300 * 2 + 1] + [3] * 7)
    counts = WindowCounts(4)
    counts.append(np.array([1, 2], np.uint32))
    counts.append(np.array([70_000], np.uint32))          # the third is the first that needs more than two bytes
    counts.append(np.array([2**32 - 1], np.uint32))
    assert (counts.blocks, counts.filled, counts.total) == (4, 4, 70_003 + 2**32 - 1)
    with pytest.raises(ValueError, match="of 5 blocks; there are 4"):
        counts.append(np.ones(1, np.uint32))
    order = _order(reader, 16, 2)                         # one block of 300 windows and more among small ones
    assert sum(len(order.pieces(k)) for k in range(_counts(reader, 16, 2).total)) == 317


def test_what_does_not_fit_is_refused(tmp_path):
    reader = _reader(tmp_path, [10, 20, 30])
    good = _counts(reader, 32, 8)
    with pytest.raises(ValueError, match="counts of 0 blocks for a source of 2"):
        PackOrder(reader, WindowCounts(2), 32, KEY, (0, []), 8)
    with pytest.raises(ValueError, match=r"block \d of 32 tokens packs into \d windows of 9, and the counts say \d"):
        for k in range(good.total):
            PackOrder(reader, good, 32, KEY, (0, []), 9).pieces(k)
    with pytest.raises(ValueError, match="after window 99 of block"):
        PackOrder(reader, good, 32, KEY, (0, [(8, 99)]), 8)
    for length, block in ((0, 32), (1 << 29, 32), (8, 0), (8, 1 << 41)):
        with pytest.raises(ValueError, match="it has from 1 to"):
            count_windows(reader, block, length, 0, 1)
    (tmp_path / "x").mkdir()
    nothing = _reader(tmp_path / "x", [1, 1, 1])
    with pytest.raises(ValueError, match="no document of two tokens"):
        _order(nothing, 32, 8)
