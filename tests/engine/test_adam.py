"""Our AdamW is torch's, bit for bit, and its state goes through megatron's two conventions."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from megatron_heph.engine.adam import AdamW

SETTINGS: dict[str, Any] = {"lr": 3e-3, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}


def parameters() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(7, 5), (11,), (3, 2, 4), (1,)]
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def groups(params: list[torch.nn.Parameter]) -> list[dict[str, Any]]:
    return [{"params": params[:2]}, {"params": params[2:], "weight_decay": 0.0}]


def steps(optimizer: torch.optim.Optimizer, params: list[torch.nn.Parameter], numbers: range) -> None:
    for number in numbers:
        generator = torch.Generator().manual_seed(100 + number)
        for param in params:
            param.grad = torch.randn(param.shape, generator=generator) * 10.0 ** (number % 4 - 2)
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 / (1 + number)
        optimizer.step()


@pytest.mark.parametrize("foreach", [False, True])
def test_ten_steps_are_torchs_bit_for_bit(foreach: bool) -> None:
    ours, theirs = parameters(), parameters()
    own, torchs = AdamW(groups(ours), **SETTINGS), torch.optim.AdamW(groups(theirs), foreach=foreach, **SETTINGS)
    for number in range(10):
        steps(own, ours, range(number, number + 1))
        steps(torchs, theirs, range(number, number + 1))
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True)), f"step {number + 1}"
    for a, b in zip(ours, theirs, strict=True):
        for moment in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(own.state[a][moment], torchs.state[b][moment])


@pytest.mark.parametrize("done", [0, 1, 4])
def test_the_state_goes_through_a_file(done: int) -> None:
    straight, cut, resumed = parameters(), parameters(), parameters()
    whole = AdamW(groups(straight), **SETTINGS)
    steps(whole, straight, range(8))
    first = AdamW(groups(cut), **SETTINGS)
    steps(first, cut, range(done))
    saved = copy.deepcopy(first.state_dict())
    with torch.no_grad():
        for a, b in zip(resumed, cut, strict=True):
            a.copy_(b)
    second = AdamW(groups(resumed), **SETTINGS)
    second.load_state_dict(saved)
    steps(second, resumed, range(done, 8))
    assert all(torch.equal(a, b) for a, b in zip(straight, resumed, strict=True))


def test_the_state_dict_is_torchs() -> None:
    params = parameters()
    own = AdamW(groups(params), **SETTINGS)
    before = own.state_dict()
    assert [before["state"][i] for i in range(4)] == [{"step": torch.tensor(0.0)}] * 4
    steps(own, params, range(3))
    theirs = torch.optim.AdamW(groups(parameters()), **SETTINGS)
    theirs.load_state_dict(own.state_dict())
    assert {int(state["step"]) for state in theirs.state.values()} == {3}
    assert all(set(own.state[p]) == {"exp_avg", "exp_avg_sq"} for p in params), "the live state holds the moments alone"
    back = AdamW(groups(parameters()), **SETTINGS)
    back.load_state_dict(theirs.state_dict())
    assert [group["step"] for group in back.param_groups] == [3, 3]


def test_parameters_without_a_gradient_stay() -> None:
    params = parameters()
    own = AdamW(groups(params), **SETTINGS)
    before = params[1].detach().clone()
    params[0].grad = torch.ones_like(params[0])
    own.step()
    assert torch.equal(params[1], before) and not own.state[params[1]]
    assert [group["step"] for group in own.param_groups] == [1, 1], "groups stay in step"
