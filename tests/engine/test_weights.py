from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.models import SHAPE, drawn

from megatron_heph.engine import weights
from megatron_heph.errors import InputError


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_whole_models_go_through_a_checkpoint(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = drawn(3, dtype=dtype)
    weights.write(SHAPE, tensors, tmp_path / "megatron")
    read = weights.read(SHAPE, tmp_path / "megatron", dtype)
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensor) and read[name].dtype is dtype for name, tensor in tensors.items())
    assert not torch.distributed.is_initialized(), "the process group outlives the model"


def test_wrong_names_and_shapes_are_refused(tmp_path: Path) -> None:
    tensors = drawn(3)
    name = "decoder.layers.1.mlp.linear_fc2.weight"
    cases = {
        f"The tensor {name} is missing from the weights": {k: v for k, v in tensors.items() if k != name},
        "The tensor decoder.layers.9.extra belongs to no layer": {**tensors, "decoder.layers.9.extra": torch.ones(1)},
        r"fc2.weight has the shape \(128, 191\), but .* \(128, 192\)": {**tensors, name: tensors[name][:, :-1]},
    }
    for message, given in cases.items():
        with pytest.raises(InputError, match=message):
            weights.write(SHAPE, given, tmp_path / "megatron")
    assert not (tmp_path / "megatron").exists()


def test_logits_are_causal() -> None:
    tokens = torch.arange(12)[None] * 7 % SHAPE.vocab
    changed = tokens.clone()
    changed[0, 8] += 1
    tensors = drawn(3)
    a, b = weights.logits(SHAPE, tensors, tokens), weights.logits(SHAPE, tensors, changed)
    assert a.shape == (1, 12, SHAPE.vocab) and a.dtype is torch.float32
    assert torch.equal(a[:, :8], b[:, :8]) and not torch.equal(a[:, 8:], b[:, 8:])
