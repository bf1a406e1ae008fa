"""A tiny Llama with weights that are not trivial, its tokenizer, and the same model as HF folder and GGUF."""

import json
from dataclasses import dataclass, field

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PIECES = ["in", "Ġt", "he", "Ġthe", "re", "20", "02", "26"]  # "20" is in reach only without digit splitting
MERGES = [("i", "n"), ("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("r", "e"), ("2", "0"), ("0", "2"), ("2", "6")]
TOKENS = SPECIALS + sorted(pre_tokenizers.ByteLevel.alphabet()) + PIECES
SIZES = {
    "vocab_size": len(TOKENS), "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
}  # fmt: skip


def make_tokenizer(digits=True):
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(TOKENS)}, merges=MERGES))
    steps = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIALS])
    return tokenizer


def make_llama(*, tied=True, head_dim=16, **sizes):
    """A transformers LlamaForCausalLM in float32 with plain attention and random weights and norms."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(7)
    rope = {"rope_type": "default", "rope_theta": 20000.0}
    config = LlamaConfig(
        **{**SIZES, **sizes}, tie_word_embeddings=tied, head_dim=head_dim, rope_parameters=rope,
        bos_token_id=1, eos_token_id=2, pad_token_id=2, attn_implementation="eager",
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn_like(parameter)
            parameter.copy_(1 + 0.2 * noise if parameter.dim() == 1 else 0.15 * noise)
    return model


def hf_tensors(model):
    tensors = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    return tensors


def save_hf(model, folder, **options):
    """What `save_pretrained` of both model and tokenizer would leave."""
    model.save_pretrained(folder, **options)
    make_tokenizer().save(str(folder / "tokenizer.json"))
    end = {"__type": "AddedToken", "content": "<|im_end|>"}  # older files write a token like this
    names = {"bos_token": "<|im_start|>", "eos_token": end, "chat_template": "{{ messages }}"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return folder


@dataclass
class GgufOptions:
    """What a test may change about the GGUF file it writes."""

    kinds: dict = field(default_factory=dict)  # part of a tensor's name -> GGML type
    metadata: dict = field(default_factory=dict)  # key -> value, added or changed; None leaves the key out
    leave_out: tuple = ()  # tensors
    extra: tuple = ()  # tensors


def permute(weight, heads):
    """The order of q and k rows in GGUF, row by row: the two halves of each head take turns."""
    rows = []
    for head in weight.split(weight.shape[0] // heads):
        half = head.shape[0] // 2
        for i in range(half):
            rows += [head[i], head[i + half]]
    return torch.stack(rows)


def gguf_tensors(model):
    config = model.config
    names = {
        "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }  # fmt: skip
    top = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
           "lm_head.weight": "output.weight"}  # fmt: skip
    result = {}
    for name, tensor in hf_tensors(model).items():
        if name in top:
            result[top[name]] = tensor
            continue
        _, _, layer, part = name.removesuffix(".weight").split(".", 3)
        if part.endswith(("q_proj", "k_proj")):
            heads = config.num_attention_heads if part.endswith("q_proj") else config.num_key_value_heads
            tensor = permute(tensor, heads)
        result[f"blk.{layer}.{names[part]}.weight"] = tensor
    return result


def save_gguf(model, path, options=None):
    import gguf

    options = options or GgufOptions()
    config = model.config
    metadata = {
        "llama.block_count": config.num_hidden_layers, "llama.context_length": config.max_position_embeddings,
        "llama.embedding_length": config.hidden_size, "llama.feed_forward_length": config.intermediate_size,
        "llama.attention.head_count": config.num_attention_heads, "llama.vocab_size": config.vocab_size,
        "llama.attention.head_count_kv": config.num_key_value_heads, "llama.rope.freq_base": 20000.0,
        "llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.rope.dimension_count": config.head_dim,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm", "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.token_type": [3] * len(SPECIALS) + [1] * (len(TOKENS) - len(SPECIALS)),
        "tokenizer.ggml.merges": [" ".join(merge) for merge in MERGES], "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2, "tokenizer.chat_template": "{{ messages }}",
        **options.metadata,
    }  # fmt: skip
    writer = gguf.GGUFWriter(path, metadata.pop("general.architecture", "llama"))
    for key, value in metadata.items():
        kinds = {
            bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string,
            list: writer.add_array,
        }  # fmt: skip
        if value is not None:
            kinds[type(value)](key, value)
    tensors = {k: v for k, v in gguf_tensors(model).items() if k not in options.leave_out}
    for name, tensor in {**tensors, **{name: torch.ones(4) for name in options.extra}}.items():
        kind = next(
            (kind for part, kind in options.kinds.items() if part in name), gguf.GGMLQuantizationType.F32
        )
        writer.add_tensor(name, gguf.quantize(tensor.numpy(), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
