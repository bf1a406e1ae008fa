"""Documents apart on one CUDA device: attention piece by piece is that of a mask over the whole window."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from megatron_heph.data.batch import Batch
from megatron_heph.engine.attention import CoreAttention
from megatron_heph.engine.context import zigzag
from megatron_heph.engine.core import TransformerConfig
from megatron_heph.engine.segments import Segments
from megatron_heph.train.batches import micro_batches

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
S, B, HEADS, KV_HEADS, D = 512, 2, 8, 2, 64
EDGES = [0, 1, 100, 130, 257, 512, 1021, 1024]
CLOSE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}  # of values about 1


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("context", [1, 2])
def test_equal_to_a_mask_over_the_window(dtype: torch.dtype, context: int) -> None:
    torch.manual_seed(0)
    config = TransformerConfig(
        num_layers=1, hidden_size=HEADS * D, num_attention_heads=HEADS, num_query_groups=KV_HEADS
    )
    core = CoreAttention(config, 1, None, "self")
    q, k, v = (torch.randn(S, B, h, D, device="cuda", dtype=dtype) for h in (HEADS, KV_HEADS, KV_HEADS))
    weights = torch.randn(S, B, HEADS * D, device="cuda")
    expected = [x.requires_grad_() for x in (q.float(), k.float(), v.float())]
    whole = masked(*expected)
    theirs = torch.autograd.grad((whole * weights).sum(), expected)
    given = [x.requires_grad_() for x in (q, k, v)]
    total = torch.zeros((), device="cuda")
    for rank in range(context):

        def cut(x: torch.Tensor, rank: int = rank) -> torch.Tensor:
            return zigzag(x, 0, context, rank) if context > 1 else x

        segments = Segments(
            torch.tensor(EDGES, dtype=torch.int32), (B, S), q.device, context=context, context_rank=rank
        )
        out = core(cut(given[0]), given[1], given[2], None, packed_seq_params=segments)
        assert out.dtype is dtype
        torch.testing.assert_close(out.float(), cut(whole), rtol=0, atol=CLOSE[dtype])
        total = total + (out.float() * cut(weights)).sum()
    for mine, other in zip(torch.autograd.grad(total, given), theirs, strict=True):
        torch.testing.assert_close(mine.float(), other, rtol=0, atol=CLOSE[dtype] * float(other.abs().max()))


def masked(q_SBHD: torch.Tensor, k_SBKD: torch.Tensor, v_SBKD: torch.Tensor) -> torch.Tensor:
    lengths = torch.tensor([end - begin for begin, end in pairwise(EDGES)])
    segment = torch.repeat_interleave(torch.arange(len(lengths)), lengths).view(B, 1, S).cuda()
    allowed = (segment[..., None] == segment[:, :, None]) & torch.ones(S, S, dtype=torch.bool, device="cuda").tril()
    q, k, v = (x.permute(1, 2, 0, 3) for x in (q_SBHD, k_SBKD, v_SBKD))
    k, v = (x.repeat_interleave(HEADS // KV_HEADS, 1) for x in (k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=allowed).permute(2, 0, 1, 3).flatten(2)


def test_micro_batches_are_pinned_and_narrow() -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(60000, size=(3, 9)).astype(np.uint16)
    batch = Batch(
        tokens_BL=tokens[:, :-1], labels_BL=tokens[:, 1:], loss_BL=np.ones((3, 8), np.bool_),
        sources_B=np.zeros(3, np.int64), cu_seqlens=np.array([0, 3, 8, 16, 24], np.int32),
    )  # fmt: skip
    for cut in micro_batches(batch, 2):
        assert cut.tokens_BL.is_pinned() and cut.labels_BL.is_pinned() and cut.loss_BL.is_pinned()
        there = cut.on(torch.device("cuda"))
        assert there.tokens_BL.dtype is torch.uint16 and there.tokens_BL.is_cuda
        assert there.tokens_BL.long().cpu().equal(cut.tokens_BL.long())
        assert there.cu_seqlens is None or not there.cu_seqlens.is_cuda
