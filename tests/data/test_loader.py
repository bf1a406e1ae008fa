"""The loader: any number of ranks reads the same, nothing is lost or repeated, any step is computed alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import tiny

from megatron_heph.data.loader import Loader, aligned, heldout_windows
from megatron_heph.errors import InputError
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.mask import MaskWriter

BLOCK, SEQUENCE = 64, 32


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TokenizedSource]:
    """Sources whose tokens are their positions, so that a sample says where it comes from."""
    folder = tmp_path_factory.mktemp("positions")
    sizes = {"a": 10 * BLOCK + 7, "b": 5 * BLOCK + 1, "c": 23 * BLOCK + 60}
    for name, size in sizes.items():
        tiny.write_pair(folder / name, np.split(np.arange(size), [size // 3]))
    return {name: TokenizedSource.open(folder / name) for name in sizes}


def make(sources: dict[str, TokenizedSource], **changes: Any) -> Loader:
    settings = {"sequence": SEQUENCE, "samples_per_step": 12, "block": BLOCK, "seed": 3, "vocab": 2000} | changes
    return Loader(sources, settings.pop("weights", [0.5, 0.2, 0.3]), **settings)


def starts(loader: Loader, steps: range | int) -> list[tuple[int, int]]:
    """(source, position) of every sample of the steps, in order."""
    steps = range(steps) if isinstance(steps, int) else steps
    rows = [loader.step(step, 0, 1) for step in steps]
    return [(int(s), int(t)) for row in rows for s, t in zip(row.sources_B, row.tokens_BL[:, 0], strict=True)]


@pytest.mark.parametrize("ranks", [2, 3, 4, 6, 12])
def test_any_number_of_ranks_reads_the_same(sources: dict[str, TokenizedSource], ranks: int) -> None:
    loader = make(sources)
    for step in (0, 1, 17):
        alone = loader.step(step, 0, 1)
        for rank in range(ranks):
            part = make(sources).step(step, rank, ranks)
            assert (part.tokens_BL == alone.tokens_BL[rank::ranks]).all()
            assert (part.sources_B == alone.sources_B[rank::ranks]).all()


def test_a_sample_is_a_window_with_its_targets(sources: dict[str, TokenizedSource]) -> None:
    samples = make(sources).step(0, 0, 1)
    assert samples.tokens_BL.shape == (12, SEQUENCE + 1) and samples.tokens_BL.dtype == np.int64
    assert (np.diff(samples.tokens_BL, axis=1) == 1).all(), "a window is not contiguous"
    assert (samples.tokens_BL[:, 0] % SEQUENCE == 0).all()


def test_nothing_is_lost_or_repeated_in_an_epoch(sources: dict[str, TokenizedSource]) -> None:
    for index, (name, source) in enumerate(sources.items()):
        samples = (source.total_tokens - 1) // BLOCK * (BLOCK // SEQUENCE)
        order = [at for i, at in starts(make(sources), 40) if i == index]
        assert len(order) >= samples, f"the test must see an epoch of {name}"
        assert sorted(order[:samples]) == [i * SEQUENCE for i in range(samples)]


def test_the_next_epoch_has_another_order(sources: dict[str, TokenizedSource]) -> None:
    samples = (sources["b"].total_tokens - 1) // BLOCK * (BLOCK // SEQUENCE)
    order = [at for i, at in starts(make(sources, weights=[0, 1, 0]), 4) if i == 1]
    first, second = order[:samples], order[samples : 2 * samples]
    assert first != second and sorted(first) == sorted(second)
    other_seed = [at for _, at in starts(make(sources, weights=[0, 1, 0], seed=4), 1)][:samples]
    assert other_seed != first


def test_cursors_say_what_was_read(sources: dict[str, TokenizedSource]) -> None:
    loader = make(sources)
    for steps in (0, 1, 9):
        read = np.bincount([i for i, _ in starts(loader, steps)], minlength=3) * SEQUENCE
        assert loader.cursors(steps) == dict(zip("abc", read.tolist(), strict=True))
    assert loader.epochs({"a": 320, "b": 640, "c": 0}) == {"a": 0.5, "b": 2.0, "c": 0.0}


def test_any_step_is_computed_alone(sources: dict[str, TokenizedSource]) -> None:
    straight = starts(make(sources), 20)
    assert starts(make(sources), range(13, 20)) == straight[13 * 12 :]


def test_a_stage_goes_on_where_the_last_one_ended(sources: dict[str, TokenizedSource]) -> None:
    """Other weights, another batch and a shorter sequence: the second stage reads what comes next."""
    first = make(sources)
    begin = first.cursors(3)
    second = make(sources, weights=[0, 0, 1], sequence=16, samples_per_step=5, begin=begin)
    seen = {at for i, at in starts(first, 3) if i == 2}
    blocks = (sources["c"].total_tokens - 1) // BLOCK
    left = blocks * BLOCK // 16 - 2 * len(seen)
    order = [at for _, at in starts(second, -(-left // 5))][:left]
    covered = {at + offset for at in seen for offset in (0, 16)} | set(order)
    assert covered == {i * 16 for i in range(blocks * BLOCK // 16)} and len(set(order)) == left


def test_a_longer_sequence_begins_on_a_sample_of_its_own(sources: dict[str, TokenizedSource]) -> None:
    begin = make(sources, samples_per_step=5).cursors(1)
    assert begin["b"] % BLOCK == SEQUENCE, "the test needs a cursor in the middle of a longer sample"
    moved = aligned(begin, BLOCK)
    assert all(0 <= moved[name] - begin[name] < BLOCK and moved[name] % BLOCK == 0 for name in begin)
    assert aligned(moved, BLOCK) == moved
    order = starts(make(sources, sequence=BLOCK, begin=moved), 12)
    assert all(at % BLOCK == 0 for _, at in order), "a window runs out of its block"
    with pytest.raises(AssertionError):
        make(sources, sequence=BLOCK, begin=begin)


def test_masks_belong_to_the_targets(tmp_path: Path) -> None:
    tiny.write_pair(tmp_path / "m", [np.arange(3 * BLOCK + 1)])
    with MaskWriter(tmp_path / "m.mask") as writer:
        writer.append(np.array([[0, 5], [40, 10], [BLOCK, 1], [3 * BLOCK, 1]]))
        writer.finalize()
    source = {"m": TokenizedSource.open(tmp_path / "m")}
    loss = np.ones(3 * BLOCK + 1, bool)
    loss[0:5] = loss[40:50] = loss[BLOCK] = loss[3 * BLOCK] = False
    samples = make(source, weights=[1.0], samples_per_step=6).step(0, 0, 1)
    for tokens, carries in zip(samples.tokens_BL, samples.carries_loss_BL, strict=True):
        assert (carries == loss[tokens[1:]]).all()
    assert not samples.carries_loss_BL.all()
    windows = heldout_windows(source["m"], SEQUENCE, 10**6, 0)
    assert (windows.carries_loss_BL == loss[windows.tokens_BL[:, 1:]]).all()


def test_an_id_that_the_model_lacks(sources: dict[str, TokenizedSource]) -> None:
    loader = make(sources, weights=[0, 0, 1], vocab=1000)
    with pytest.raises(InputError, match=r"/c holds the id 1\d\d\d between its tokens \d+ and \d+, .*vocabulary is 1000"):
        for step in range(4):
            loader.step(step, 0, 1)


def test_heldout_windows_touch(sources: dict[str, TokenizedSource]) -> None:
    windows = heldout_windows(sources["a"], SEQUENCE, 100, index=4)
    assert windows.tokens_BL[:, 0].tolist() == [0, 32, 64] and windows.tokens_BL[:, -1].tolist() == [32, 64, 96]
    assert windows.sources_B.tolist() == [4, 4, 4] and windows.carries_loss_BL.all()
    whole = heldout_windows(sources["b"], BLOCK, 10**9, 0)
    assert len(whole.tokens_BL) == 5, "the last window's target is the last token"
    assert not len(heldout_windows(sources["b"], 10**6, 10**9, 0).tokens_BL)
