import pytest
from tiny_llama import make_llama

from megatron_heph.checkpoint.convert import bridge, llama
from megatron_heph.errors import InputError, RefusedError


def config(**changes):
    table = {**make_llama(num_hidden_layers=1).config.to_dict(), **changes}
    return {key: value for key, value in table.items() if value is not ...}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, r"rope_scaling has rope_type = 'llama3'"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, r"rope_type = 'yarn'"),
        ({"rope_parameters": {"rope_type": "default", "factor": 2.0}}, r"factor = 2\.0"),
        ({"rope_theta": 5e5}, "contradict"),
        ({"attention_bias": True}, "attention_bias is True, but only False"),
        ({"mlp_bias": True}, "mlp_bias is True"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu', but only 'silu'"),
        ({"sliding_window": 4096}, "sliding_window = 4096 is not understood"),
        ({"partial_rotary_factor": 0.5}, r"partial_rotary_factor is 0\.5"),
        ({"logit_scale": 8.0}, "logit_scale = 8.0 is not understood"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"auto_map": {"AutoModel": "mine.Model"}}, "auto_map"),
    ],
)
def test_what_changes_the_maths_is_refused_by_name_and_value(changes, message):
    with pytest.raises(RefusedError, match=message):
        llama.shape_from_config(config(**changes), "config.json")


def test_a_missing_or_wrong_key_is_named():
    with pytest.raises(InputError, match="hidden_size is None; it needs int"):
        llama.shape_from_config(config(hidden_size=...), "config.json")


def test_other_models_have_no_bridge():
    with pytest.raises(RefusedError, match="no bridge for model_type 'mixtral'"):
        bridge.for_config({"model_type": "mixtral"}, "config.json")
    classifier = {"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]}
    with pytest.raises(RefusedError, match="LlamaForSequenceClassification"):
        bridge.for_config(classifier, "config.json")


def test_old_and_new_spellings_of_theta_are_read():
    old = config(rope_parameters=..., rope_theta=5e5)
    assert llama.shape_from_config(old, "config.json").rope_theta == 5e5
    nothing = config(rope_parameters=...)
    assert llama.shape_from_config(nothing, "config.json").rope_theta == 10000.0


def test_what_we_write_we_read_and_transformers_reads():
    from transformers import LlamaConfig

    shape = llama.shape_from_config(config(tie_word_embeddings=True, head_dim=24), "config.json")
    table = llama.config_from_shape(shape)
    assert llama.shape_from_config(table, "config.json") == shape
    theirs = LlamaConfig.from_dict(table).to_dict()
    assert llama.shape_from_config(theirs, "config.json") == shape
