from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support import tiny

from megatron_heph.data.loader import Samples
from megatron_heph.errors import InputError
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.mask import MaskWriter
from megatron_heph.train.batches import micro_batches
from megatron_heph.train.heldout import HeldOut


def samples(count: int, length: int = 5) -> Samples:
    rng = np.random.default_rng(count)
    return Samples(
        tokens_BL=rng.integers(100, size=(count, length + 1)),
        carries_loss_BL=rng.random((count, length)) < 0.7,
        sources_B=rng.integers(3, size=count),
    )


@pytest.mark.parametrize(("count", "size"), [(8, 2), (6, 6), (3, 1), (7, 3), (1, 4)])
def test_samples_are_cut_in_order(count: int, size: int) -> None:
    given = samples(count)
    batches = micro_batches(given, size)
    assert len(batches) == -(-count // size)
    assert all(batch.tokens_BL.shape == (size, 5) for batch in batches)
    assert (torch.cat([b.tokens_BL for b in batches])[:count].numpy() == given.tokens_BL[:, :-1]).all()
    assert (torch.cat([b.labels_BL for b in batches])[:count].numpy() == given.tokens_BL[:, 1:]).all()
    weights = torch.cat([b.weights_BL for b in batches])
    assert (weights[:count].numpy() == given.carries_loss_BL).all() and weights.dtype == torch.float32
    assert (torch.cat([b.sources_B for b in batches])[:count].numpy() == given.sources_B).all()
    assert weights[count:].sum() == 0, "what fills up carries no loss"


def test_every_rank_brings_equally_many() -> None:
    batches = micro_batches(samples(3), 2, at_least=4)
    assert len(batches) == 4 and all(batch.tokens_BL.shape == (2, 5) for batch in batches)
    assert sum(float(batch.weights_BL.sum()) for batch in batches) == samples(3).carries_loss_BL.sum()


def test_a_rank_without_samples_takes_part() -> None:
    (batch,) = micro_batches(samples(0), 2, at_least=1)
    assert batch.tokens_BL.shape == (2, 5) and not batch.weights_BL.any()


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
