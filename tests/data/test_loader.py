"""The loader: any number of ranks reads the same; labels, masks, padding and documents are where they belong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import tiny
from support.sources import position_sources, resolved_for

from megatron_heph.data.loader import Loader, heldout_windows
from megatron_heph.data.megatron_order import MegatronOrder
from megatron_heph.data.moved_loader import MovedLoader
from megatron_heph.data.segments import Point, Segment
from megatron_heph.data.sources import Sources
from megatron_heph.data.timeline import parts
from megatron_heph.errors import InputError
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.mask import MaskWriter

BLOCK, SEQUENCE = 64, 32
SIZES = {"a": 10 * BLOCK + 7, "b": 5 * BLOCK + 1, "c": 23 * BLOCK + 60}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return position_sources(tmp_path_factory.mktemp("loader"), SIZES)


def make(sources: Sources, **changes: Any) -> Loader:
    weights = changes.pop("weights", {"a": 0.5, "b": 0.2, "c": 0.3})
    seed, data = changes.pop("seed", 3), changes.pop("data", {})
    segment = Segment(**{"step": 0, "stage": "only", "sequence": SEQUENCE, "samples": 12, "weights": weights} | changes)
    return Loader(segment, sources, resolved_for(sources, block=BLOCK, seed=seed, **data))


@pytest.mark.parametrize("ranks", [2, 3, 4, 6, 12, 16])
def test_any_number_of_ranks_reads_the_same(sources: Sources, ranks: int) -> None:
    loader = make(sources)
    for step in (0, 1, 17):
        alone = loader.batch(step)
        for rank in range(ranks):
            part = make(sources).batch(step, rank, ranks)
            for name in ("tokens_BL", "labels_BL", "loss_BL", "sources_B"):
                assert (getattr(part, name) == getattr(alone, name)[rank::ranks]).all()


def test_a_sample_is_a_window_with_its_targets(sources: Sources) -> None:
    batch = make(sources).batch(0)
    assert batch.tokens_BL.shape == (12, SEQUENCE) and batch.tokens_BL.dtype == batch.labels_BL.dtype == np.uint16
    assert (np.diff(batch.tokens_BL.astype(int), axis=1) == 1).all(), "a window is not contiguous"
    assert (batch.labels_BL == batch.tokens_BL + 1).all() and batch.loss_BL.all()
    assert (batch.tokens_BL[:, 0] % SEQUENCE == 0).all()
    assert batch.cu_seqlens.tolist() == list(range(0, 12 * SEQUENCE + 1, SEQUENCE))
    assert (batch.sources_BL == batch.sources_B[:, None]).all()


def test_the_next_epoch_and_another_seed_have_another_order(sources: Sources) -> None:
    samples = (SIZES["b"] - 1) // SEQUENCE
    loader = make(sources, weights={"b": 1.0}, samples=samples)
    first, second = (loader.batch(step).tokens_BL[:, 0].tolist() for step in (0, 1))
    assert first != second and sorted(first) == sorted(second) == [i * SEQUENCE for i in range(samples)]
    assert make(sources, weights={"b": 1.0}, samples=samples, seed=4).batch(0).tokens_BL[:, 0].tolist() != first


def test_positions_and_epochs(sources: Sources) -> None:
    loader = make(sources)
    for steps in (0, 1, 9):
        drawn = [source for step in range(steps) for source in loader.batch(step).sources_B.tolist()]
        assert loader.positions(steps) == {name: drawn.count(i) * SEQUENCE for i, name in enumerate("abc")}
        epochs = {name: count / (SIZES[name] - 1) for name, count in loader.positions(steps).items()}
        assert loader.epochs(steps) == pytest.approx(epochs)


def test_masks_belong_to_the_targets(tmp_path: Path) -> None:
    tiny.write_pair(tmp_path / "m", [np.arange(3 * BLOCK + 1)])
    with MaskWriter(tmp_path / "m.mask") as writer:
        writer.append(np.array([[0, 5], [40, 10], [BLOCK, 1], [3 * BLOCK, 1]]))
        writer.finalize()
    loss = np.ones(3 * BLOCK + 1, bool)
    loss[0:5] = loss[40:50] = loss[BLOCK] = loss[3 * BLOCK] = False
    masked = position_sources(tmp_path, {"m": 3 * BLOCK + 1})
    batch = make(masked, weights={"m": 1.0}, samples=6).batch(0)
    assert (batch.loss_BL == loss[batch.labels_BL]).all() and not batch.loss_BL.all()
    windows = heldout_windows(masked["m"].tokens, SEQUENCE, 10**6, 0)
    assert (windows.loss_BL == loss[windows.labels_BL]).all()


@pytest.mark.parametrize("window", ["stream", "pack"])
def test_documents_apart(tmp_path: Path, window: str) -> None:
    """Segments are documents or parts of them; no loss leads over a document's end, nor from padding."""
    sources = position_sources(tmp_path, {"a": 3000}, window=window)
    documents = sources["a"].tokens.documents()
    number = np.repeat(np.arange(len(documents)), documents[:, 1])
    loader = make(sources, weights={"a": 1.0}, apart=("a",))
    for step in range(6):
        batch = loader.batch(step)
        tokens, labels, loss = batch.tokens_BL.ravel(), batch.labels_BL.ravel(), batch.loss_BL.ravel()
        assert (np.diff(batch.cu_seqlens) > 0).all() and batch.cu_seqlens[-1] == tokens.size
        assert set(range(0, tokens.size + 1, SEQUENCE)) <= set(batch.cu_seqlens.tolist())
        for begin, end in zip(batch.cu_seqlens, batch.cu_seqlens[1:], strict=False):
            inside = slice(begin, end)
            if not loss[inside].any() and not tokens[inside].any():
                continue                # padding
            assert (np.diff(tokens[inside].astype(int)) == 1).all() and len(set(number[tokens[inside]])) == 1
            same = number[np.minimum(labels[inside], 2999)] == number[tokens[inside]]
            assert (loss[inside] == same).all()
    if window == "pack":
        whole = [d for d in documents.tolist() if d[1] - 1 <= SEQUENCE]
        pieces = np.concatenate([loader.pieces(step)[0] for step in range(40)])
        begun = {start: count for _, _, _, start, count in pieces.tolist()}
        assert all(begun[start] == length - 1 for start, length in whole if start in begun), "it fits, and is cut"


def test_an_id_that_the_model_lacks(sources: Sources) -> None:
    resolved = resolved_for(sources, block=BLOCK)
    small = replace(resolved, shape=replace(resolved.shape, vocab=1000))
    segment = Segment(step=0, stage="only", sequence=SEQUENCE, samples=12, weights={"c": 1.0})
    loader = Loader(segment, sources, small)
    with pytest.raises(InputError, match=r"/c.* 1\d\d\d.*1000|1000.*/c.* 1\d\d\d"):
        for step in range(4):
            loader.batch(step)


def test_heldout_windows_touch(sources: Sources) -> None:
    windows = heldout_windows(sources["a"].tokens, SEQUENCE, 100, index=4)
    assert windows.tokens_BL[:, 0].tolist() == [0, 32, 64] and windows.labels_BL[:, -1].tolist() == [32, 64, 96]
    assert windows.sources_B.tolist() == [4, 4, 4] and windows.loss_BL.all()
    whole = heldout_windows(sources["b"].tokens, BLOCK, 10**9, 0)
    assert len(whole.tokens_BL) == 5, "the last window's target is the last token"
    assert not len(heldout_windows(sources["b"].tokens, 10**6, 10**9, 0).tokens_BL)


def test_narrow_and_wide_sources_in_one_batch(tmp_path: Path, sources: Sources) -> None:
    from support.wide import write_wide

    write_wide(tmp_path / "w", np.arange(500))
    both = {"a": sources["a"], "w": replace(sources["a"], name="w", tokens=TokenizedSource.open(tmp_path / "w"))}
    batch = make(both, weights={"a": 0.5, "w": 0.5}).batch(0)
    assert set(batch.sources_B.tolist()) == {0, 1} and (batch.labels_BL == batch.tokens_BL + 1).all()


def test_a_megatron_run_moves_over(sources: Sources) -> None:
    """What comes is what Megatron's order gives from the sample on at which it stopped, whatever the ranks."""
    weighted = {name: replace(s, node=replace(s.node, weight=1.0 + i)) for i, (name, s) in enumerate(sources.items())}
    moved = {"sources": ["c", "a", "b"], "samples": 100, "consumed": 30, "seed": 5, "split": "90, 10"}
    stage = {"name": "only", "tokens": 7 * 256, "sequence": 32, "batch": 256, "mixture": {"text": 1.0}}
    here = resolved_for(weighted, [stage], block=BLOCK, megatron=moved)
    (part,) = parts(here, weighted, Point())
    assert isinstance(part.loader, MovedLoader) and part.segment.megatron == 30 and part.stop == 7
    lengths = {name: sources[name].tokens.documents()[:, 1].astype(np.int32) for name in moved["sources"]}
    order = MegatronOrder(lengths, [3.0, 1.0, 2.0], sequence=32, samples=100, seed=5, split="90, 10")
    pieces, owners = order.pieces(30, 56)
    rows: dict[int, list[int]] = {}
    for row, _, _, start, count in pieces.tolist():
        rows.setdefault(row, []).extend(range(start, start + count))
    for step in range(7):
        for rank in range(2):
            batch = part.loader.batch(step, rank, 2)
            for i in range(4):
                number = step * 8 + rank + 2 * i
                assert batch.tokens_BL[i].tolist() == rows[number][:-1]
                assert batch.labels_BL[i].tolist() == rows[number][1:]
                assert list(sources)[batch.sources_B[i]] == moved["sources"][owners[number]]
    point = part.after(Point(), 3)
    (rest,) = parts(here, weighted, point, part.segment)
    assert rest.segment == part.segment and rest.first == 3
    (changed,) = parts(resolved_for(weighted, [{**stage, "batch": 128}], block=BLOCK, megatron=moved), weighted, point,
                       part.segment)  # fmt: skip
    assert changed.segment.megatron == 30 + 24, "another batch goes on with the next sample"
    assert (changed.loader.batch(0).tokens_BL == part.loader.batch(3).tokens_BL[:4]).all()
    with pytest.raises(InputError, match="the Megatron order has no"):
        list(parts(resolved_for(weighted, [{**stage, "tokens": 2560}], block=BLOCK, megatron=moved), weighted, Point()))
