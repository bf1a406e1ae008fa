from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support import tiny

from megatron_heph.data.batch import Batch
from megatron_heph.engine.micro_batch import MicroBatch
from megatron_heph.errors import InputError
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.mask import MaskWriter
from megatron_heph.train.batches import join, micro_batches, rows
from megatron_heph.train.heldout import HeldOut

LENGTH = 5


def samples(count: int, *, documents: bool = False, dtype: type = np.uint16) -> Batch:
    rng = np.random.default_rng(count)
    tokens = rng.integers(100, size=(count, LENGTH + 1)).astype(dtype)
    edges = set(range(0, (count + 1) * LENGTH, LENGTH))
    if documents:
        edges |= {int(edge) for edge in rng.integers(count * LENGTH, size=count)} | {count * LENGTH - 1}
    return Batch(
        tokens_BL=tokens[:, :-1],
        labels_BL=tokens[:, 1:],
        loss_BL=rng.random((count, LENGTH)) < 0.7,
        sources_B=rng.integers(3, size=count),
        cu_seqlens=np.array(sorted(edges), np.int32),
    )


def starts(cu_seqlens: np.ndarray) -> np.ndarray:
    """Of every position, whether a segment begins there."""
    found = np.zeros(cu_seqlens[-1], np.bool_)
    found[cu_seqlens[:-1]] = True
    return found.reshape(-1, LENGTH)


def starts_of(batch: MicroBatch) -> np.ndarray:
    whole = np.arange(0, batch.tokens_BL.numel() + 1, LENGTH, dtype=np.int32)
    return starts(whole if batch.cu_seqlens is None else batch.cu_seqlens.numpy())


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
@pytest.mark.parametrize(("count", "size"), [(8, 2), (6, 6), (3, 1), (7, 3), (1, 4)])
def test_samples_are_cut_in_order(count: int, size: int, dtype: type) -> None:
    given = samples(count, documents=True, dtype=dtype)
    batches = micro_batches(given, size)
    assert len(batches) == -(-count // size)
    assert all(batch.tokens_BL.shape == (size, LENGTH) for batch in batches)
    for name in ("tokens_BL", "labels_BL", "loss_BL", "sources_B"):
        cut = np.concatenate([getattr(batch, name).numpy() for batch in batches])
        assert (cut[:count] == getattr(given, name)).all() and cut.dtype == getattr(given, name).dtype, name
    assert not np.concatenate([batch.loss_BL.numpy() for batch in batches])[count:].any(), "fillers carry no loss"


@pytest.mark.parametrize(("count", "size"), [(8, 2), (6, 6), (3, 1), (7, 3), (1, 4)])
def test_segments_are_cut_with_their_samples(count: int, size: int) -> None:
    given = samples(count, documents=True)
    batches = micro_batches(given, size)
    found = np.concatenate([starts_of(batch) for batch in batches])
    assert (found[:count] == starts(given.cu_seqlens)).all()
    assert (found[count:].sum(1) == 1).all(), "what fills up is one segment"
    for batch in batches:
        assert batch.cu_seqlens is None or (batch.cu_seqlens.dtype is torch.int32 and not batch.cu_seqlens.is_cuda)


def test_whole_samples_need_no_segments() -> None:
    """The fast path: attention over the window needs no list."""
    assert all(batch.cu_seqlens is None for batch in micro_batches(samples(7), 3))
    mixed = micro_batches(join([samples(2), samples(2, documents=True)]), 2)
    assert [batch.cu_seqlens is None for batch in mixed] == [True, False]


@pytest.mark.parametrize("which", [slice(None), slice(1, None, 3), slice(2, 5), slice(7, None, 8), slice(0, 0)])
def test_rows_keep_their_segments(which: slice) -> None:
    given = samples(7, documents=True)
    some = rows(given, which)
    assert (some.tokens_BL == given.tokens_BL[which]).all() and (some.sources_B == given.sources_B[which]).all()
    assert some.cu_seqlens.dtype == np.int32 and some.cu_seqlens[-1] == some.tokens_BL.size
    assert (starts(some.cu_seqlens) == starts(given.cu_seqlens)[which]).all()


def test_joined_batches_keep_their_segments() -> None:
    parts = [samples(3, documents=True), samples(0), samples(2), samples(4, documents=True, dtype=np.int32)]
    whole = join(parts)
    assert (starts(whole.cu_seqlens) == np.concatenate([starts(part.cu_seqlens) for part in parts])).all()
    assert whole.tokens_BL.dtype == np.int32, "narrow, but wide enough for both"


def test_every_rank_brings_equally_many() -> None:
    batches = micro_batches(samples(3), 2, at_least=4)
    assert len(batches) == 4 and all(batch.tokens_BL.shape == (2, LENGTH) for batch in batches)
    assert sum(int(batch.loss_BL.sum()) for batch in batches) == samples(3).loss_BL.sum()


def test_a_rank_without_samples_takes_part() -> None:
    (batch,) = micro_batches(samples(0), 2, at_least=1)
    assert batch.tokens_BL.shape == (2, LENGTH) and not batch.loss_BL.any()


def test_a_heldout_set_that_measures_nothing(tmp_path: Path) -> None:
    tiny.write_pair(tmp_path / "h", [np.arange(100)])
    with pytest.raises(InputError, match=r"held-out set of text .*has 100 tokens, but one window has 100"):
        HeldOut({"text": TokenizedSource.open(tmp_path / "h")}, 100, 1000, 1)
    with MaskWriter(tmp_path / "h.mask") as writer:
        writer.append(np.array([[0, 65]]))
        writer.finalize()
    with pytest.raises(InputError, match=r"None of the first 64 held-out tokens of text .* carries loss"):
        HeldOut({"text": TokenizedSource.open(tmp_path / "h")}, 32, 64, 1)
    assert HeldOut({"text": TokenizedSource.open(tmp_path / "h")}, 32, 96, 1).domains == ["text"]
