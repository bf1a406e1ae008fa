import pytest
import torch
from tiny_llama import SIZES, hf_tensors, make_llama

from megatron_heph.checkpoint.convert import llama
from megatron_heph.checkpoint.convert.fused import fuse_qkv, split_qkv
from megatron_heph.engine import weights
from megatron_heph.errors import InputError


def model_and_shape(**options):
    model = make_llama(**options)
    return model, llama.shape_from_config(model.config.to_dict(), "config.json")


@pytest.mark.parametrize("tied", [True, False])
def test_the_two_directions_are_exact_inverses(tied):
    model, shape = model_and_shape(tied=tied)
    tensors = hf_tensors(model)
    megatron = llama.from_hf(shape, tensors)
    assert {name: tuple(t.shape) for name, t in megatron.items()} == llama.megatron_shapes(shape)
    back = llama.to_hf(shape, megatron)
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    assert sum(t.numel() for t in megatron.values()) == shape.parameters


def test_qkv_is_interleaved_by_group():
    # 2 groups of 2 heads, head_dim 1: the value says which row it is.
    q, k, v = torch.tensor([[0.0], [1], [2], [3]]), torch.tensor([[10.0], [11]]), torch.tensor([[20.0], [21]])
    qkv = fuse_qkv(q, k, v, groups=2)
    assert qkv.flatten().tolist() == [0, 1, 10, 20, 2, 3, 11, 21]
    assert [part.tolist() for part in split_qkv(qkv, 2, 1)] == [q.tolist(), k.tolist(), v.tolist()]
    bias = fuse_qkv(q[:, 0], k[:, 0], v[:, 0], groups=2)
    assert bias.tolist() == [0, 1, 10, 20, 2, 3, 11, 21]


@pytest.mark.parametrize(("tied", "head_dim"), [(True, 16), (False, 24)])
def test_megatron_gives_the_logits_of_transformers(tied, head_dim):
    model, shape = model_and_shape(tied=tied, head_dim=head_dim)
    tokens = torch.randint(0, SIZES["vocab_size"], (2, 48), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(tokens).logits
    found = weights.logits(shape, llama.from_hf(shape, hf_tensors(model)), tokens)
    assert expected.std() > 0.5  # the comparison says something
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_a_tensor_that_does_not_fit_is_named():
    model, shape = model_and_shape()
    tensors = hf_tensors(model)
    name = "model.layers.1.self_attn.k_proj.weight"
    with pytest.raises(InputError, match=rf"{name} has the shape \[31, 64\].*asks for \[32, 64\]"):
        llama.from_hf(shape, {**tensors, name: tensors[name][:-1]})
    with pytest.raises(InputError, match=rf"1 of \d+ tensors are missing, the first is {name}"):
        llama.from_hf(shape, {key: t for key, t in tensors.items() if key != name})
    bias = "model.layers.1.self_attn.k_proj.bias"
    with pytest.raises(InputError, match=f"the first is {bias}; did you mean"):
        llama.from_hf(shape, {**tensors, bias: torch.zeros(32)})
