"""AdamW that megatron-core's distributed optimizer can save and resume without apex or Transformer Engine.

Without them megatron uses two conventions that contradict each other: `state_dict()` must have torch's
per-parameter `step`, even before the first step, while the live state must hold nothing but the two
moments.  Here the live step is kept in the parameter group, and only the state dict has it per parameter.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from megatron_heph.engine.core import MegatronOptimizer

_State = dict[str, Any]


class AdamW(torch.optim.AdamW):
    """Decoupled weight decay (Loshchilov & Hutter, arXiv 1711.05101); moments in fp32; one step count per group."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Updates every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            group["step"] = int(group.get("step", 0)) + 1  # also without parameters: groups stay in step
            if params := [p for p in group["params"] if p.grad is not None and p.numel()]:
                self._update(group, params)

    def _update(self, group: _State, params: list[torch.Tensor]) -> None:
        for p in params:
            if "exp_avg" not in self.state[p]:
                self.state[p]["exp_avg"] = torch.zeros_like(p, dtype=torch.float32)
                self.state[p]["exp_avg_sq"] = torch.zeros_like(p, dtype=torch.float32)
        grads = [p.grad.float() for p in params if p.grad is not None]
        first = [self.state[p]["exp_avg"] for p in params]
        second = [self.state[p]["exp_avg_sq"] for p in params]
        (beta1, beta2), lr, step = group["betas"], float(group["lr"]), group["step"]
        if group["weight_decay"]:
            torch._foreach_mul_(params, 1 - lr * group["weight_decay"])
        torch._foreach_lerp_(first, grads, 1 - beta1)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, grads, grads, 1 - beta2)
        root = torch._foreach_sqrt(second)
        torch._foreach_div_(root, math.sqrt(1 - beta2**step))
        torch._foreach_add_(root, group["eps"])
        torch._foreach_addcdiv_(params, first, root, -lr / (1 - beta1**step))

    def __setstate__(self, state: _State) -> None:
        torch.optim.Optimizer.__setstate__(self, state)  # torch's Adam would insist on state["step"]

    def state_dict(self) -> _State:
        """torch's layout: every parameter has a `step`, whether it has moments yet or not."""
        outer = super().state_dict()
        state = {index: dict(values) for index, values in outer["state"].items()}
        for group in outer["param_groups"]:
            for index in group["params"]:
                state.setdefault(index, {})["step"] = torch.tensor(float(group.get("step", 0)))
        return {**outer, "state": state}

    def load_state_dict(self, state_dict: _State) -> None:
        """Reads torch's layout; the step moves back into the group."""
        state = {index: dict(values) for index, values in state_dict["state"].items()}
        groups = [dict(group) for group in state_dict["param_groups"]]
        for group in groups:
            steps = {int(state[i].pop("step")) for i in group["params"] if "step" in state.get(i, {})}
            assert len(steps) <= 1, steps
            group["step"] = steps.pop() if steps else int(group.get("step", 0))
        super().load_state_dict({"state": {i: v for i, v in state.items() if v}, "param_groups": groups})


def use_own_adam(optimizer: MegatronOptimizer) -> None:
    """Puts our AdamW in the place of torch's inside megatron's optimizers.

    Where apex or Transformer Engine supplied the Adam, theirs stays.
    """
    for part in chained(optimizer):
        inner = part.optimizer
        if type(inner) is torch.optim.AdamW:
            own = AdamW([torch.zeros(1)], **{k: inner.defaults[k] for k in ("lr", "betas", "eps", "weight_decay")})
            own.param_groups = inner.param_groups  # its shards are views, which add_param_group would refuse
            for group in own.param_groups:
                group.setdefault("step", 0)
            part.optimizer = own


def chained(optimizer: MegatronOptimizer) -> list[MegatronOptimizer]:
    """The parts of a chained optimizer, or the optimizer itself."""
    return list(getattr(optimizer, "chained_optimizers", [optimizer]))
