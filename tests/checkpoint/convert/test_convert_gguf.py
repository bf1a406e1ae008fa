import gguf
import pytest
import torch
from tiny_llama import GgufOptions, hf_tensors, make_llama, make_tokenizer, save_gguf
from tokenizers import Tokenizer

from megatron_heph.checkpoint.convert import gguf_file, llama
from megatron_heph.errors import InputError, RefusedError

TEXT = "In 2026 there is the 1/2 thing<|im_end|>, naïve ③"


@pytest.fixture(scope="module")
def model():
    return make_llama()


def read(model, folder, **options):
    return gguf_file.read(save_gguf(model, folder / "Tiny-1M.Q4_1.gguf", GgufOptions(**options)))


@pytest.mark.parametrize("tied", [True, False])
def test_float32_gives_the_model_back_exactly(tmp_path, tied):
    model = make_llama(tied=tied)
    found = read(model, tmp_path)
    assert found.shape == llama.shape_from_config(model.config.to_dict(), "config.json")
    expected = hf_tensors(model)
    assert found.tensors.keys() == expected.keys()
    assert all(torch.equal(found.tensors[name], expected[name]) for name in expected)


def test_quantised_tensors_are_dequantised(model, tmp_path):
    kinds = gguf.GGMLQuantizationType
    chosen = {"norm": kinds.F32, "attn_": kinds.Q4_1, "ffn_down": kinds.Q4_1, "token_embd": kinds.Q8_0}
    found = read(model, tmp_path, kinds=chosen)
    for name, tensor in hf_tensors(model).items():
        kind = kinds.Q8_0 if "embed" in name else kinds.Q4_1
        if "mlp.gate" in name or "mlp.up" in name or "norm" in name:
            assert torch.equal(found.tensors[name], tensor)
            continue
        # Blocks lie along rows, so the order of rows does not change them.
        rounded = gguf.dequantize(gguf.quantize(tensor.numpy(), kind), kind)
        assert torch.equal(found.tensors[name], torch.from_numpy(rounded)), name
    assert found.label == "Tiny-1M, dequantised from 4-bit GGUF (Q4_1)"


def test_the_tokenizer_is_the_same(model, tmp_path):
    found = read(model, tmp_path)
    ours = Tokenizer.from_str(found.tokenizer["tokenizer.json"].decode())
    assert ours.encode(TEXT).ids == make_tokenizer().encode(TEXT).ids
    assert ours.encode("2026").tokens == ["2", "0", "2", "6"]  # "smollm" splits digits
    assert ours.decode(ours.encode("the naïve 2026").ids) == "the naïve 2026"
    plain = read(model, tmp_path, metadata={"tokenizer.ggml.pre": "gpt-2"})
    theirs = Tokenizer.from_str(plain.tokenizer["tokenizer.json"].decode())
    assert theirs.encode("2026").tokens == ["20", "26"]
    assert theirs.encode(TEXT).ids == make_tokenizer(digits=False).encode(TEXT).ids


def test_special_tokens_and_template_come_along(model, tmp_path):
    import json

    found = read(model, tmp_path, metadata={"tokenizer.ggml.add_bos_token": True})
    config = json.loads(found.tokenizer["tokenizer_config.json"])
    assert (config["bos_token"], config["eos_token"]) == ("<|im_start|>", "<|im_end|>")
    assert config["chat_template"] == "{{ messages }}"
    assert found.generation_config == {"bos_token_id": 1, "eos_token_id": 2}
    assert Tokenizer.from_str(found.tokenizer["tokenizer.json"].decode()).encode("in").ids[0] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metadata": {"general.architecture": "qwen2"}}, "general.architecture is 'qwen2'"),
        ({"metadata": {"llama.rope.scaling.type": "yarn"}}, r"llama\.rope\.scaling\.type = 'yarn'"),
        ({"metadata": {"llama.attention.sliding_window": 64}}, r"llama\.attention\.sliding_window = 64"),
        ({"metadata": {"llama.expert_count": 8}}, r"llama\.expert_count = 8.*only 0"),
        ({"metadata": {"llama.rope.dimension_count": 8}}, r"rope\.dimension_count is 8, but only 16"),
        ({"metadata": {"llama.attention.head_count_kv": [2, 4]}}, "one value a layer"),
        ({"metadata": {"tokenizer.ggml.pre": "llama-bpe"}}, r"tokenizer\.ggml\.pre is 'llama-bpe'"),
        ({"metadata": {"tokenizer.ggml.pre": "default"}}, r"tokenizer\.ggml\.pre is 'default'"),
        ({"metadata": {"tokenizer.ggml.pre": None}}, r"tokenizer\.ggml\.pre is None"),
        ({"metadata": {"tokenizer.ggml.model": "llama"}}, r"tokenizer\.ggml\.model is 'llama'"),
        ({"metadata": {"tokenizer.ggml.add_space_prefix": True}}, "add_space_prefix"),
        ({"metadata": {"tokenizer.ggml.normalizer": "NFKC"}}, "normalizer = 'NFKC' is not understood"),
        ({"extra": ("rope_freqs.weight",)}, r"rope_freqs\.weight is no part of a dense Llama"),
        ({"extra": ("blk.0.attn_q.bias",)}, r"blk\.0\.attn_q\.bias is no part"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(model, tmp_path, options, message):
    with pytest.raises(RefusedError, match=message):
        read(model, tmp_path, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"leave_out": ("blk.1.ffn_up.weight",)}, r"the first is model\.layers\.1\.mlp\.up_proj\.weight"),
        ({"leave_out": ("token_embd.weight",)}, "no tensor token_embd"),
        ({"metadata": {"llama.block_count": None}}, r"llama\.block_count is missing"),
        ({"metadata": {"tokenizer.ggml.merges": ["in t", "x qq"]}}, "does not join two tokens"),
        ({"metadata": {"tokenizer.ggml.eos_token_id": 9999}}, "eos_token_id is 9999"),
    ],
)
def test_what_is_broken_is_named(model, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        read(model, tmp_path, **options)


def test_a_file_cut_short(model, tmp_path):
    path = save_gguf(model, tmp_path / "m.gguf")
    for length in (3, 4000, path.stat().st_size - 1000):
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(InputError, match="cut short"):
            gguf_file.read(path)
        save_gguf(model, path)
