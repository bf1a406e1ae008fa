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
GROUP = 16


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


def _groups(reader, block):
    """Of an epoch."""
    blocks = -(-reader.total_tokens // block)
    return -(-blocks // GROUP)


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
    windows = _unfold(*pack(items, length))
    assert all(sum(n for _, n in window) <= length for window in windows)
    assert sorted(windows) == _plain(items[sizes > 0].tolist(), length)


def test_these_windows_in_this_order():
    """A pin: what a run reads may not change with the version, nor with the machine."""
    items = np.array([[0, 5], [6, 3], [10, 12], [23, 2], [26, 8], [35, 1], [37, 4]])
    assert _unfold(*pack(items, 8)) == [[(10, 8)], [(26, 8)], [(0, 5), (6, 3)], [(18, 4), (37, 4)], [(23, 2), (35, 1)]]
    nothing, ends = pack(np.empty((0, 2), np.int64), 8)
    assert nothing.shape == (0, 2) and ends.tolist() == [0]


def test_the_samples_of_a_group_have_no_trend(tmp_path):
    """Best-fit decreasing opens windows by their longest document; a source's samples must not stand so."""
    rng = np.random.default_rng(0)
    reader = _reader(tmp_path, rng.integers(2, 91, 1400).tolist())
    counts = _counts(reader, 3200, 128)
    assert _groups(reader, 3200) == 2 and counts.blocks > GROUP
    places = np.zeros(20)
    for seed in range(600):
        order = PackOrder(reader, counts, 3200, (seed, 5), (0, []), 128)
        longest = np.array([order.pieces(k)[:, 4].max() for k in range(60)])
        places += longest[:20] - longest.mean()
    assert np.abs(places / 600).max() < 3.5      # five deviations of such a mean; as opened it is about 20


def test_neighbouring_samples_come_from_blocks_far_apart(tmp_path):
    """A group mixes the windows of its blocks: a batch is no stretch of neighbouring documents."""
    rng = np.random.default_rng(1)
    reader = _reader(tmp_path, rng.integers(2, 60, 8000).tolist())
    order = _order(reader, 1024, 32)
    assert _counts(reader, 1024, 32).total > 6000
    starts = np.array([order.pieces(k)[0, 3] for k in range(6000)])
    blocks = starts // 1024                      # but for a document that began in the block before
    distinct = np.array([len(set(blocks[k : k + 16].tolist())) for k in range(len(blocks) - 16)])
    assert distinct.min() >= 4 and distinct.mean() > 9      # 16 drawn from 16 blocks: 10.3 in the mean
    assert (blocks[1:] == blocks[:-1]).mean() < 0.1


@pytest.mark.parametrize(("block", "length"), [(64, 16), (100, 100), (1000, 16), (7, 50), (10_000, 33)])
def test_an_epoch_has_every_position_once(tmp_path, block, length):
    rng = np.random.default_rng(block)
    shards = [rng.integers(1, 60, 30).tolist(), [], [1, 1, 500, 2], rng.integers(1, 60, 11).tolist()]
    reader = _reader(tmp_path, *shards)
    order = _order(reader, block, length)
    groups = _groups(reader, block)
    for epoch in range(2):
        seen = np.zeros(reader.total_tokens, int)
        k = first = next(k for k in range(10**6) if order.place(k)[0] >= epoch * groups)
        assert order.epochs(k) == epoch
        while order.place(k)[0] < (epoch + 1) * groups:
            assert epoch <= order.epochs(k) < order.epochs(k + 1) <= epoch + 1
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
    assert order.place(5) == (1, []) and order.epochs(5) == 1
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


def test_what_a_group_has_left_stays_in_its_blocks(tmp_path):
    """After changes of length every block is packed alone still, and nothing is lost."""
    rng = np.random.default_rng(8)
    lengths = rng.integers(2, 50, 500)
    reader = _reader(tmp_path, lengths.tolist())
    starts = np.concatenate([[0], np.cumsum(lengths)])
    place, seen = (0, []), np.zeros(reader.total_tokens, int)
    changes = ((64, 40), (16, 70), (32, 50), (64, 9), (64, 9), (40, 10**6))
    for length, samples in changes:
        order = _order(reader, 600, length, place)
        for k in range(samples):
            if order.place(k)[0] == _groups(reader, 600):
                assert order.epochs(k) == 1 and (length, _groups(reader, 600)) == (40, 2)
                break
            rows = order.pieces(k)
            owners = starts[np.searchsorted(starts, rows[:, 3], side="right") - 1] // 600
            assert len(set(owners.tolist())) == 1 and rows[:, 4].sum() <= length
            for start, count in rows[:, 3:].tolist():
                seen[start : start + count] += 1
        place = order.place(samples)
    assert (np.delete(seen, starts[1:] - 1) == 1).all() and not seen[starts[1:] - 1].any()


def test_groups_without_a_window_are_passed(tmp_path):
    """A document longer than many blocks leaves all but the first of them empty."""
    reader = _reader(tmp_path, [3, 2000, 5, 4])
    order = _order(reader, 16, 500)                       # 126 blocks, two of them with windows
    total = _counts(reader, 16, 500).total
    assert total == 6 and _groups(reader, 16) == 8
    for epoch in range(40):
        assert order.epochs(epoch * total) == epoch
        assert len({order.place(epoch * total + k)[0] for k in range(total)}) <= 2
        assert _order(reader, 16, 500, order.place(epoch * total)).epochs(0) == epoch
    with pytest.raises(ValueError, match="after window 1 of a group"):
        for turn in range(8):                             # of most there is none
            _order(reader, 16, 500, (turn, [(500, 1)]))


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
    assert order.epochs(800) > 1                          # a second epoch, in another order
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
    assert place // _groups(reader, 32) == 10**15 // windows and _groups(reader, 32) == 2
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
    with pytest.raises(ValueError, match="after window 99 of a group"):
        PackOrder(reader, good, 32, KEY, (0, [(8, 99)]), 8)
    for length, block in ((0, 32), (1 << 29, 32), (8, 0), (8, 1 << 41)):
        with pytest.raises(ValueError, match="it has from 1 to"):
            count_windows(reader, block, length, 0, 1)
    (tmp_path / "x").mkdir()
    nothing = _reader(tmp_path / "x", [1, 1, 1])
    with pytest.raises(ValueError, match="no document of two tokens"):
        _order(nothing, 32, 8)
