"""The optimizer on the grid: megatron's, with our AdamW, and one global gradient norm that we compute."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.distributed as dist

from megatron_heph.engine.adam import chained, use_own_adam
from megatron_heph.engine.core import (
    DistributedDataParallel,
    MegatronOptimizer,
    OptimizerConfig,
    TransformerConfig,
    get_megatron_optimizer,
)
from megatron_heph.engine.shims import cpu_tensors_pass_for_cuda
from megatron_heph.recipe.tree import Optim


@dataclass(slots=True)
class Optimizer:
    """Steps the model; `clip` is the largest global gradient norm."""

    inner: MegatronOptimizer
    clip: float
    weight_decay: float

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        self.inner.zero_grad()

    @torch.no_grad()
    def step(self, lr: float) -> float:
        """Clips, steps with the learning rate `lr`, and returns the global gradient norm before clipping.

        A norm that is not finite leaves the weights as they are; the caller decides what it means.
        """
        for group in self.inner.param_groups:
            group["lr"] = lr * group.get("lr_mult", 1.0)
            group["weight_decay"] = self.weight_decay * group.get("wd_mult", 1.0)
        norm = self.norm()
        if not math.isfinite(norm):
            return norm
        if self.clip and norm > self.clip:
            grads = [p.grad for part in chained(self.inner) for p in part.get_parameters() if p.grad is not None]
            torch._foreach_mul_(grads, self.clip / (norm + 1e-6))
        self.inner.step_with_ready_grads()
        return norm

    @torch.no_grad()
    def norm(self) -> float:
        """The global norm of the gradients as they stand."""
        self.inner.prepare_grads()
        return self._global_norm()

    def _global_norm(self) -> float:
        """The norm over all parameters, each counted once: megatron leaves out shared and duplicated ones."""
        parts = chained(self.inner)
        grads = [grad for part in parts for grad in _counted_once(part)]
        squares = torch.zeros((), dtype=torch.float64, device=_device())
        for norm in torch._foreach_norm(grads) if grads else ():
            squares += norm.double() ** 2
        # Without state of its own on a rank, the group is the same: all parts share one.
        dist.all_reduce(squares, group=self.inner.get_grad_stats_parallel_group())
        return float(squares.sqrt())


def _counted_once(part: MegatronOptimizer) -> list[torch.Tensor]:
    """The gradients that this rank answers for.  0.19 renamed the method."""
    method = getattr(part, "get_main_grads_for_grad_norm", None) or part.get_grads_for_grad_norm
    return list(method())


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def build_optimizer(
    recipe: Optim, config: TransformerConfig, model: list[DistributedDataParallel], *, distributed: bool
) -> Optimizer:
    """AdamW over the chunks of a model.  Biases and norms get no weight decay, as megatron does.

    Clipping is ours (`clip_grad=0` inside), since megatron's asks for CUDA tensors by name.
    """
    settings = OptimizerConfig(
        optimizer="adam",
        lr=0.0,  # set at every step; a rate here would become part of the checkpoint's identity
        weight_decay=recipe.weight_decay,
        adam_beta1=recipe.betas[0],
        adam_beta2=recipe.betas[1],
        adam_eps=recipe.eps,
        clip_grad=0.0,
        bf16=config.bf16,
        params_dtype=config.params_dtype,
        use_distributed_optimizer=distributed,
    )
    with cpu_tensors_pass_for_cuda():
        inner = get_megatron_optimizer(settings, model)
    use_own_adam(inner)
    config.grad_scale_func = inner.scale_loss
    return Optimizer(inner=inner, clip=recipe.clip, weight_decay=recipe.weight_decay)
