import dataclasses
import json

import pytest

from megatron_heph.errors import InputError
from megatron_heph.recipe.shape import RECORD, ModelShape, read_base

SMOLLM2 = ModelShape(
    family="llama", layers=30, hidden=576, heads=9, kv_heads=3, head_dim=64, ffn=1536, vocab=49152,
    max_positions=8192, rope_theta=100000.0, norm_eps=1e-5, tied=True,
)  # fmt: skip


def make_base(folder):
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"1234")
    record = {
        "shape": SMOLLM2.to_dict(), "label": "a label", "source": "m.gguf", "source_sha256": "ab",
        "dtype": "float32", "tokenizer_sha256": "cd", "files": {"model.safetensors": 4},
    }  # fmt: skip
    (folder / RECORD).write_text(json.dumps(record))
    return folder


def test_parameters_of_a_known_model():
    # The published SmolLM2-135M has 134,515,008 parameters, 28,311,552 of them in its tied embedding.
    assert SMOLLM2.parameters == 134_515_008
    assert SMOLLM2.parameters - SMOLLM2.non_embedding_parameters == 28_311_552
    assert dataclasses.replace(SMOLLM2, tied=False).parameters == 134_515_008 + 28_311_552


def test_a_shape_survives_json():
    assert ModelShape.from_dict(json.loads(json.dumps(SMOLLM2.to_dict()))) == SMOLLM2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "lama"}, "did you mean 'llama'"),
        ({"kv_heads": 4}, "one of 1, 3, 9"),
        ({"head_dim": 63}, "62 or 64"),
        ({"layers": 0}, "layers is 0"),
    ],
)
def test_impossible_shapes_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(SMOLLM2, **change)


def test_unknown_keys_are_refused():
    with pytest.raises(InputError, match=r"model\.kv_head: did you mean 'kv_heads'"):
        ModelShape.from_dict({**SMOLLM2.to_dict(), "kv_head": 3})


def test_read_base(tmp_path):
    base = read_base(make_base(tmp_path / "smol"))
    assert base.shape == SMOLLM2 and base.label == "a label" and base.weights.name == "megatron"


def test_a_missing_base_is_no_random_model(tmp_path):
    make_base(tmp_path / "smollm2")
    with pytest.raises(InputError, match=r"never means random weights.*did you mean 'smollm2'"):
        read_base(tmp_path / "smollm")
    (tmp_path / "other.partial").mkdir()
    with pytest.raises(InputError, match="cut short"):
        read_base(tmp_path / "other")


def test_a_folder_that_was_never_imported(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="no imported base model"):
        read_base(tmp_path)


def test_an_incomplete_base(tmp_path):
    base = make_base(tmp_path / "smol")
    (base / "model.safetensors").write_bytes(b"123")
    with pytest.raises(InputError, match=r"model\.safetensors has 3 bytes, and heph\.json names 4 bytes"):
        read_base(base)
    (base / "model.safetensors").unlink()
    with pytest.raises(InputError, match="is missing"):
        read_base(base)
