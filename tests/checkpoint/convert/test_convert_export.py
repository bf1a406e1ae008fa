import json

import pytest
import torch
from tiny_llama import hf_tensors, make_llama, make_tokenizer, save_hf

from megatron_heph.checkpoint.convert import llama
from megatron_heph.checkpoint.convert.exporting import export_model
from megatron_heph.checkpoint.convert.importing import import_model
from megatron_heph.checkpoint.convert.verify import verify
from megatron_heph.cli.main import main
from megatron_heph.engine import weights
from megatron_heph.errors import InputError
from megatron_heph.recipe.shape import write_model

LABEL = "Tiny, dequantised from 4-bit GGUF (Q4_1)"


def add_checkpoint(run, step, model):
    shape = llama.shape_from_config(model.config.to_dict(), "config")
    folder = run / "checkpoints" / f"step-{step:08d}"
    weights.write(shape, llama.from_hf(shape, hf_tensors(model)), folder / "model")
    (folder / "state.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def models():
    first, last = make_llama(), make_llama()
    with torch.no_grad():
        last.model.layers[1].mlp.down_proj.weight += 0.01
    return first, last


@pytest.fixture(scope="module")
def run(models, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "quickstart"
    for step, model in zip((10, 200), models, strict=True):
        add_checkpoint(run, step, model)
    (run / "checkpoints/step-00000300/model").mkdir(parents=True)  # being written: it has no state.json
    save_hf(models[0], run / "tokenizer")
    for path in ("config.json", "model.safetensors", "generation_config.json"):
        (run / "tokenizer" / path).unlink(missing_ok=True)
    write_model(run / "model.json", llama.shape_from_config(models[0].config.to_dict(), "config"), LABEL)
    return run


def test_the_last_complete_checkpoint_comes_out_exactly(models, run, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    result = export_model(run, tmp_path / "out", dtype="fp32")
    assert result.label == f"quickstart at step-00000200, continued from {LABEL}"
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    for name, tensor in models[1].state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert (loaded.config.bos_token_id, loaded.generation_config.eos_token_id) == (1, 2)
    text = "the 2026<|im_end|>"
    ids = AutoTokenizer.from_pretrained(tmp_path / "out")(text)["input_ids"]
    assert ids == make_tokenizer().encode(text).ids
    card = (tmp_path / "out/README.md").read_text()
    assert f"continued from {LABEL}" in card and "argmax 100.0 %" in card
    assert json.loads((tmp_path / "out/certificate.json").read_text())["rounding"]["max_abs"] == 0


def test_bf16_says_what_rounding_cost(models, run, tmp_path):
    result = export_model(run / "checkpoints/step-00000010", tmp_path / "out")
    assert result.proofs is not None
    assert result.proofs.comparison.passed and result.proofs.comparison.max_abs < 1e-4
    assert 1e-4 < result.proofs.rounding.max_abs < 1 and result.proofs.rounding.mean_kl < 0.01
    stored = json.loads((tmp_path / "out/config.json").read_text())["dtype"]
    assert stored == "bfloat16" and "step-00000010" in result.label


def test_verify_tells_identical_rounded_and_different_models(models, run, tmp_path, capsys):
    folder = save_hf(models[0], tmp_path / "hf")
    import_model(str(folder), tmp_path / "base")
    same = verify(tmp_path / "base", run / "checkpoints/step-00000010")
    assert same.identical and same.equivalent and len(same.tensors) == 2 * 9 + 2
    other = verify(folder, run)
    assert not other.identical and not other.equivalent
    assert [name for name, _ in other.worst()] == ["model.layers.1.mlp.down_proj.weight"]
    assert other.worst()[0][1] == pytest.approx(0.01, rel=1e-4)
    assert main(["convert", "verify", str(tmp_path / "base"), str(folder)]) == 0
    assert "identical" in capsys.readouterr().out
    assert main(["convert", "verify", "--json", str(folder), str(run)]) == 3
    assert json.loads(capsys.readouterr().out)["equivalent"] is False
    untied = save_hf(make_llama(tied=False), tmp_path / "untied")
    with pytest.raises(InputError, match="tied is True and False"):
        verify(folder, untied)


def test_nothing_to_export_is_an_error_that_names_what_is_there(run, tmp_path):
    with pytest.raises(InputError, match=r"neither a run.*step-00000010.*step-00000200"):
        export_model(run / "checkpoints/step-00000300", tmp_path / "out")
    with pytest.raises(InputError, match="exists and is no export of"):
        export_model(run, tmp_path)
    with pytest.raises(InputError, match="neither a run"):
        export_model(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_prints_the_certificate(run, tmp_path, capsys):
    assert main(["convert", "export", str(run), "-o", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "argmax 100.0 % against transformers" in printed and LABEL in printed
    assert main(["convert", "import", str(tmp_path / "out"), "-o", str(tmp_path / "base"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["certificate"]["passed"] is True
    assert main(["convert", "import", str(tmp_path / "out"), "-o", str(tmp_path / "base")]) == 0
    assert "kept" in capsys.readouterr().out
    assert main(["convert", "import", str(tmp_path / "absent"), "-o", str(tmp_path / "new")]) == 2
    assert "neither a folder, nor a .gguf file" in capsys.readouterr().err


def test_an_export_of_this_very_checkpoint_is_kept(run, tmp_path):
    made = export_model(run, tmp_path / "out", dtype="fp32")
    again = export_model(run, tmp_path / "out", dtype="fp32")
    assert made.proofs is not None and again.proofs is None and again.label == made.label
    with pytest.raises(InputError, match=r"no export of .* as bf16"):
        export_model(run, tmp_path / "out", dtype="bf16")
    with pytest.raises(InputError, match="exists and is no export of"):
        export_model(run / "checkpoints/step-00000010", tmp_path / "out", dtype="fp32")
