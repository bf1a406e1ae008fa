from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from megatron_heph.engine.attention import CoreAttention
from megatron_heph.engine.context import zigzag
from megatron_heph.engine.core import TransformerConfig


def plain(q_SBHD: torch.Tensor, k_SBKD: torch.Tensor, v_SBKD: torch.Tensor, scale: float) -> torch.Tensor:
    """Causal attention head by head, as it is written in papers, in float64."""
    S, B, H, D = q_SBHD.shape
    shared = H // k_SBKD.shape[2]
    out = torch.empty(S, B, H, D, dtype=torch.float64)
    future = torch.ones(S, S).triu(1).bool()
    for b in range(B):
        for h in range(H):
            q, k, v = q_SBHD[:, b, h].double(), k_SBKD[:, b, h // shared].double(), v_SBKD[:, b, h // shared].double()
            out[:, b, h] = torch.softmax((q @ k.T * scale).masked_fill(future, -math.inf), -1) @ v
    return out.flatten(2)


def attention(heads: int, kv_heads: int, size: int, scale: float | None = None) -> CoreAttention:
    config = TransformerConfig(
        num_layers=1, hidden_size=heads * size, num_attention_heads=heads, num_query_groups=kv_heads,
        use_cpu_initialization=True,
    )  # fmt: skip
    return CoreAttention(config, 1, None, "self", softmax_scale=scale)


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (6, 2), (8, 1)])
@pytest.mark.parametrize("scale", [None, 0.5])
def test_equal_to_plain_attention_and_its_gradients(heads: int, kv_heads: int, scale: float | None) -> None:
    torch.manual_seed(0)
    S, B, D = 9, 2, 8
    q = torch.randn(S, B, heads, D, requires_grad=True)
    k, v = (torch.randn(S, B, kv_heads, D, requires_grad=True) for _ in range(2))
    ours = attention(heads, kv_heads, D, scale)(q, k, v, None)
    expected = plain(q, k, v, scale or 1 / math.sqrt(D))
    assert ours.shape == (S, B, heads * D)
    torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-5)
    weights = torch.randn_like(expected)
    mine = torch.autograd.grad((ours.double() * weights).sum(), (q, k, v))
    theirs = torch.autograd.grad((expected * weights).sum(), (q, k, v))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b.to(a.dtype), rtol=1e-4, atol=1e-5)


def test_bf16_stays_bf16() -> None:
    q, k = torch.randn(4, 1, 4, 8).bfloat16(), torch.randn(4, 1, 2, 8).bfloat16()
    assert attention(4, 2, 8)(q, k, k, None).dtype is torch.bfloat16


@pytest.mark.parametrize("size", [2, 3, 4])
def test_zigzag_shares_the_triangle_equally(size: int) -> None:
    positions = torch.arange(12 * size)
    parts = [zigzag(positions, 0, size, rank) for rank in range(size)]
    assert torch.cat(parts).sort().values.equal(positions)
    assert len({int((part + 1).sum()) for part in parts}) == 1, "ranks attend to unequally many positions"


def test_the_mask_of_a_context_rank() -> None:
    core = attention(2, 2, 8)
    core.context_group = SimpleNamespace(size=lambda: 2, rank=lambda: 1)
    mask = core._causal_mask(8, torch.device("cpu"))
    own = [2, 3, 4, 5]  # the second and the third quarter
    assert mask.tolist() == [[column <= row for column in range(8)] for row in own]
