"""Documents apart: a packed micro-batch computes for each document what the document alone would."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from support.models import SHAPE

from megatron_heph.engine.attention import CoreAttention
from megatron_heph.engine.context import zigzag
from megatron_heph.engine.core import GPTModel, TransformerConfig
from megatron_heph.engine.grid import Grid, start_grid
from megatron_heph.engine.init import init_weights
from megatron_heph.engine.micro_batch import MicroBatch
from megatron_heph.engine.model import build_model, transformer_config
from megatron_heph.engine.segments import Segments
from megatron_heph.recipe.resolved import GridSize
from megatron_heph.recipe.tree import Parallel

CPU = torch.device("cpu")
LENGTH = 24
EDGES = [0, 5, 6, 18, 24, 24 + 24, 48 + 11, 48 + 24]  # three rows: four documents, one, two
RECOMPUTE = {
    "nothing": {},
    "attention": {"recompute_granularity": "selective", "recompute_modules": ["core_attn"]},
    "layers": {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1},
}


def attention(heads: int, kv_heads: int, size: int) -> CoreAttention:
    config = TransformerConfig(
        num_layers=1, hidden_size=heads * size, num_attention_heads=heads, num_query_groups=kv_heads,
        use_cpu_initialization=True,
    )  # fmt: skip
    return CoreAttention(config, 1, None, "self")


def micro_batch(tokens_BL: torch.Tensor, edges: list[int] | None) -> MicroBatch:
    return MicroBatch(
        tokens_BL=tokens_BL,
        labels_BL=tokens_BL.roll(-1, 1),
        loss_BL=torch.ones(tokens_BL.shape, dtype=torch.bool),
        sources_B=torch.zeros(len(tokens_BL), dtype=torch.int64),
        cu_seqlens=None if edges is None else torch.tensor(edges, dtype=torch.int32),
    )


class Model:
    """A small model on this process, its per-token losses and gradients."""

    def __init__(self, grid: Grid, **settings: object) -> None:
        config = transformer_config(SHAPE, GridSize(), Parallel(), torch.float32)
        for name, value in settings.items():
            setattr(config, name, value)
        self.grid = grid
        (self.gpt,) = build_model(SHAPE, config)
        init_weights([self.gpt], SHAPE, seed=3)

    def losses(self, batch: MicroBatch) -> torch.Tensor:
        inputs = batch.inputs(self.grid)
        gpt: GPTModel = self.gpt
        return gpt(inputs.tokens_BS, None, None, labels=inputs.labels_BS, packed_seq_params=inputs.segments)

    def gradients(self, losses: torch.Tensor) -> list[torch.Tensor]:
        self.gpt.zero_grad()
        losses.sum().backward()  # recomputed layers can do no other
        return [p.grad.clone() for p in self.gpt.parameters() if p.grad is not None]


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    with start_grid(GridSize()) as grid:
        yield grid


@pytest.fixture(scope="module")
def model(grid: Grid) -> Model:
    return Model(grid)


@pytest.fixture
def tokens_BL() -> torch.Tensor:  # noqa: N802
    return torch.randint(SHAPE.vocab, (3, LENGTH), generator=torch.Generator().manual_seed(1)).to(torch.uint16)


@pytest.mark.parametrize("recompute", RECOMPUTE)
def test_packed_documents_are_as_if_each_were_alone(grid: Grid, tokens_BL: torch.Tensor, recompute: str) -> None:
    model = Model(grid, **RECOMPUTE[recompute])
    model.gpt.train()
    batch = micro_batch(tokens_BL, EDGES)
    packed = model.losses(batch)
    flat = batch.tokens_BL.flatten(), batch.labels_BL.flatten()
    alone = []
    for begin, end in pairwise(EDGES):
        tokens, labels = (x[begin:end].long()[None] for x in flat)
        alone.append(model.gpt(tokens, None, None, labels=labels)[0])
    torch.testing.assert_close(packed.flatten(), torch.cat(alone), rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(model.gradients(packed), model.gradients(torch.cat(alone)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))


def test_the_whole_window_would_be_seen(model: Model, tokens_BL: torch.Tensor) -> None:
    """Were the segments lost on the way, nothing above could tell if full attention gave the same."""
    apart, whole = (model.losses(micro_batch(tokens_BL, edges)) for edges in (EDGES, None))
    first = slice(0, EDGES[1])
    torch.testing.assert_close(apart[0, first], whole[0, first], rtol=1e-5, atol=1e-5)
    assert (apart[0, EDGES[1] + 1 :] - whole[0, EDGES[1] + 1 :]).abs().mean() > 1e-3
    torch.testing.assert_close(apart[1], whole[1], rtol=1e-5, atol=1e-5)


def test_one_segment_a_sample_is_full_attention(model: Model, tokens_BL: torch.Tensor) -> None:
    rows = [0, LENGTH, 2 * LENGTH, 3 * LENGTH]
    whole, given = (model.losses(micro_batch(tokens_BL, edges)) for edges in (None, rows))
    torch.testing.assert_close(given, whole, rtol=1e-5, atol=1e-6)


def test_nothing_leaks_between_documents(model: Model, tokens_BL: torch.Tensor) -> None:
    """Other words in one document leave every bit of the others' losses (Megatron-LM#2357 saw them change)."""
    before = model.losses(micro_batch(tokens_BL, EDGES)).flatten()
    changed = (tokens_BL.long() + 1) % SHAPE.vocab
    for begin, end in pairwise(EDGES):
        other = tokens_BL.long().flatten()
        other[begin:end] = changed.flatten()[begin:end]
        batch = micro_batch(other.view_as(tokens_BL), EDGES)
        batch = MicroBatch(
            tokens_BL=batch.tokens_BL, labels_BL=tokens_BL.roll(-1, 1), loss_BL=batch.loss_BL,
            sources_B=batch.sources_B, cu_seqlens=batch.cu_seqlens,
        )  # fmt: skip
        after = model.losses(batch).flatten()
        same = after == before
        assert same[:begin].all() and same[end:].all() and not same[begin:end].any()


def test_narrow_tokens_are_widened(model: Model, tokens_BL: torch.Tensor) -> None:
    of = [micro_batch(tokens_BL.to(dtype), EDGES).inputs(model.grid) for dtype in (torch.uint16, torch.int32)]
    for inputs in of:
        assert inputs.tokens_BS.dtype is inputs.labels_BS.dtype is torch.int64
        assert inputs.weights_BS.dtype is torch.float32
        assert inputs.tokens_BS.equal(tokens_BL.long())


def test_positions_restart(model: Model, tokens_BL: torch.Tensor) -> None:
    """What the layers are given: the angles of a place in a segment, not of a place in the window."""
    rotary = model.gpt.rotary_pos_emb
    segments = Segments(torch.tensor(EDGES), (3, LENGTH), CPU)
    expected = torch.cat([torch.arange(end - begin) for begin, end in pairwise(EDGES)]).view(3, LENGTH)
    assert segments.positions_SB.T.equal(expected.int())
    window = rotary(LENGTH)
    assert window.shape == (LENGTH, 1, 1, SHAPE.head_dim)
    angles = rotary(rotary.get_rotary_seq_len(None, None, None, None, segments))
    assert angles.shape == (LENGTH, 3, 1, SHAPE.head_dim)
    assert angles[:, :, 0].equal(window[:, 0, 0][expected.T])
    torch.testing.assert_close(angles[1, 1, 0, :1], torch.ones(1))  # a position of 1 turns the fastest pair by 1


def test_positions_reach_the_queries(model: Model) -> None:
    """The same document later in the window has the same queries; without segments it has others."""
    document = torch.arange(100, 108)
    twice, seen = torch.cat([document, document])[None], []
    first = model.gpt.decoder.layers[0].self_attention.core_attention
    handle = first.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    try:
        model.losses(micro_batch(twice, [0, 8, 16]))
        model.losses(micro_batch(twice, None))
    finally:
        handle.remove()
    torch.testing.assert_close(seen[0][:8], seen[0][8:], rtol=1e-6, atol=1e-6)
    assert (seen[1][:8] - seen[1][8:]).abs().max() > 0.1 * seen[1].abs().max()


@pytest.mark.parametrize("edges", [[0, 5, 5, 24], [1, 24], [0, 5], [0, 30, 48]])
def test_segments_that_cannot_be(edges: list[int]) -> None:
    """Empty, not from the beginning, not to the end, over a row's end."""
    with pytest.raises(AssertionError):
        Segments(torch.tensor(edges), (max(edges[-1], 24) // 24, 24), CPU)


@pytest.mark.parametrize("context", [1, 2, 3, 4])
@pytest.mark.parametrize(("heads", "kv_heads"), [(2, 2), (6, 2)])
def test_context_ranks_attend_within_documents(context: int, heads: int, kv_heads: int) -> None:
    """The parts of all ranks are those of attention with a mask, outputs and gradients."""
    torch.manual_seed(context)
    S, B, D = LENGTH, 3, 8
    core = attention(heads, kv_heads, D)
    q = torch.randn(S, B, heads, D, requires_grad=True)
    k, v = (torch.randn(S, B, kv_heads, D, requires_grad=True) for _ in range(2))
    expected = masked(q, k, v)
    parts = []
    for rank in range(context):
        segments = Segments(torch.tensor(EDGES), (B, S), CPU, context=context, context_rank=rank)
        mine = zigzag(q, 0, context, rank) if context > 1 else q
        parts.append(core(mine, k, v, None, packed_seq_params=segments))
        own = torch.arange(S) if context == 1 else zigzag(torch.arange(S), 0, context, rank)
        whole = Segments(torch.tensor(EDGES), (B, S), CPU).positions_SB
        assert segments.positions_SB.equal(whole[own])
        torch.testing.assert_close(parts[-1], expected[own], rtol=1e-5, atol=1e-5)
    weights = torch.randn_like(expected)
    ordered = [zigzag(weights, 0, context, rank) for rank in range(context)] if context > 1 else [weights]
    ours = sum((part * weight).sum() for part, weight in zip(parts, ordered, strict=True))
    mine = torch.autograd.grad(ours, (q, k, v))
    theirs = torch.autograd.grad((expected * weights).sum(), (q, k, v))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def masked(q_SBHD: torch.Tensor, k_SBKD: torch.Tensor, v_SBKD: torch.Tensor) -> torch.Tensor:
    """Attention over the whole window with a mask of blocks."""
    S, B, H, D = q_SBHD.shape
    segment = torch.zeros(B * S, dtype=torch.int64)
    for number, (begin, end) in enumerate(pairwise(EDGES)):
        segment[begin:end] = number
    segment = segment.view(B, S)
    allowed = (segment[:, :, None] == segment[:, None]) & torch.ones(S, S, dtype=torch.bool).tril()
    q, k, v = (x.permute(1, 2, 0, 3) for x in (q_SBHD, k_SBKD, v_SBKD))
    k, v = (x.repeat_interleave(H // k.shape[1], 1) for x in (k, v))
    scores = (q @ k.transpose(2, 3) / D**0.5).masked_fill(~allowed[:, None], -torch.inf)
    return (scores.softmax(-1) @ v).permute(2, 0, 1, 3).flatten(2)
