"""Real tokenizers, out of packages that carry them (scripts/setup.sh unpacks these)."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3] / ".venv" / "test-tokenizers"
_MISTRAL = ROOT / "mistral_common" / "data"
REAL = {
    "mistral-v1": _MISTRAL / "tokenizer.model.v1",
    "mistral-v3": _MISTRAL / "mistral_instruct_tokenizer_240323.model.v3",
    "mistral-v7": _MISTRAL / "mistral_instruct_tokenizer_241114.model.v7",
    "tekken": _MISTRAL / "tekken_240911.json",
    "qwen": ROOT / "dashscope" / "resources" / "qwen.tiktoken",
}


def real(name: str) -> Path:
    """The file of a real tokenizer; the test is skipped where the packages are not unpacked."""
    path = REAL[name]
    if not path.is_file():
        pytest.skip(f"{path.relative_to(ROOT.parents[1])} is missing: run scripts/setup.sh")
    return path


def byte_level_table(ranks: dict[bytes, int], pattern: str, special: dict[str, int], count: int) -> dict[str, object]:
    """A tokenizer.json of the first `count` ranks, as transformers writes a tiktoken vocabulary.

    Each token's merges are all pairs of tokens that spell it, the lower ranks first.
    """
    from tokenizers import pre_tokenizers

    shown = _byte_characters()
    assert set(shown.values()) == set(pre_tokenizers.ByteLevel.alphabet())
    kept = sorted(ranks.items(), key=lambda item: item[1])[:count]
    known = dict(kept)
    name = {token: "".join(shown[byte] for byte in token) for token, _ in kept}
    merges = []
    for token, _ in kept:
        splits = [(token[:i], token[i:]) for i in range(1, len(token))]
        pairs = [(a, b) for a, b in splits if a in known and b in known]
        merges += [[name[a], name[b]] for a, b in sorted(pairs, key=lambda pair: (known[pair[0]], known[pair[1]]))]
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": bytes_,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, bytes_]}, "decoder": bytes_,
        "added_tokens": [{"id": index, "content": token, **flags} for token, index in special.items()],
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": True,
            "vocab": {name[token]: index for token, index in kept}, "merges": merges,
        },
    }  # fmt: skip


def _byte_characters() -> dict[int, str]:
    """The printable character that byte-level BPE writes for each byte."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(others)}
