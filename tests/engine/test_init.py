"""Fresh weights: their distribution, and what they depend on.  That they do not depend on the grid is in test_grids."""

from __future__ import annotations

import math

import pytest
import torch
from support.models import SHAPE, drawn

from megatron_heph.engine.init import STD


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return drawn(seed=1)


def test_every_weight_has_its_spread(weights: dict[str, torch.Tensor]) -> None:
    assert sum(t.numel() for t in weights.values()) == SHAPE.parameters
    for name, tensor in weights.items():
        if tensor.dim() == 1:
            assert tensor.eq(1).all(), name
            continue
        to_residual = "linear_proj" in name or "linear_fc2" in name
        std = STD / math.sqrt(2 * SHAPE.layers) if to_residual else STD
        error = 4 * std / math.sqrt(2 * tensor.numel())
        assert abs(float(tensor.std()) - std) < error, name
        assert abs(float(tensor.mean())) < 4 * std / math.sqrt(tensor.numel()), name
    assert sum("linear_proj" in name or "linear_fc2" in name for name in weights) == 2 * SHAPE.layers


def test_no_two_weights_are_equal(weights: dict[str, torch.Tensor]) -> None:
    heads = [tuple(tensor.flatten()[:4].tolist()) for tensor in weights.values() if tensor.dim() > 1]
    assert len(set(heads)) == len(heads), "two weights were drawn from one generator"


def test_the_seed_decides(weights: dict[str, torch.Tensor]) -> None:
    again, other = drawn(seed=1), drawn(seed=2)
    for name, tensor in weights.items():
        assert torch.equal(tensor, again[name]), name
        assert tensor.dim() == 1 or not torch.equal(tensor, other[name]), name


def test_bf16_is_fp32_rounded(weights: dict[str, torch.Tensor]) -> None:
    rounded = drawn(seed=1, dtype=torch.bfloat16)
    assert all(torch.equal(tensor.bfloat16(), rounded[name]) for name, tensor in weights.items())
