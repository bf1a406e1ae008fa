"""Compares two models, wherever they are kept: tensor by tensor, and by their logits in one engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from megatron_heph.checkpoint.convert import bridge
from megatron_heph.checkpoint.convert.certificate import LENGTH, LogitComparison, compare_logits, pinned_batch
from megatron_heph.checkpoint.convert.files import Progress, no_progress
from megatron_heph.checkpoint.convert.opening import open_model
from megatron_heph.engine import weights
from megatron_heph.errors import InputError
from megatron_heph.recipe.shape import ModelShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """How far two models are apart."""

    tensors: dict[str, float]  # HF name -> largest difference of two values
    logits: LogitComparison

    @property
    def identical(self) -> bool:
        """Whether every value of every tensor is equal."""
        return not any(self.tensors.values())

    @property
    def equivalent(self) -> bool:
        """Whether the logits agree within the limits of a certificate."""
        return self.logits.passed

    @property
    def verdict(self) -> str:
        """The result in words."""
        if self.identical:
            return "identical"
        return "the same up to float32 rounding" if self.equivalent else "different"

    def worst(self, count: int = 5) -> list[tuple[str, float]]:
        """The tensors that differ most."""
        differing = [(name, value) for name, value in self.tensors.items() if value]
        return sorted(differing, key=lambda pair: -pair[1])[:count]


def verify(a: Path, b: Path, progress: Progress = no_progress) -> Verification:
    """Compares two bases, Hugging Face folders, checkpoints or runs; `a` is the reference.

    Raises InputError if the two have different shapes, and so no common tensors.
    """
    first, second = open_model(a, progress), open_model(b, progress)
    _check_same_shape(first.shape, second.shape, a, b)
    progress("comparing tensors", 0, 1)
    family = bridge.for_family(first.shape.family)
    sides = (family.to_hf(first.shape, opened.tensors) for opened in (first, second))
    differences = _tensor_differences(*sides)
    progress("comparing logits", 0, 1)
    length = min(LENGTH, first.shape.max_positions)
    tokens_BL = pinned_batch(first.shape.vocab, first.tokenizer / "tokenizer.json", length)
    reference, other = (weights.logits(opened.shape, opened.tensors, tokens_BL) for opened in (first, second))
    return Verification(tensors=differences, logits=compare_logits(other, reference, tokens_BL))


def _check_same_shape(first: ModelShape, second: ModelShape, a: Path, b: Path) -> None:
    ours, theirs = first.to_dict(), second.to_dict()
    # The longest text a model takes changes none of its logits.
    differing = [key for key in ours if key != "max_positions" and ours[key] != theirs[key]]
    if differing:
        parts = ", ".join(f"{key} is {ours[key]} and {theirs[key]}" for key in differing)
        raise InputError(
            f"{a} and {b} are models of different shapes: {parts}. Only models of one shape compare."
        )


def _tensor_differences(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> dict[str, float]:
    return {
        name: (tensor.float() - second[name].float()).abs().max().item() for name, tensor in first.items()
    }
