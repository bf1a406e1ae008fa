"""Builds the tokenizer of the benchmark as a folder with tokenizer.json, from a file of ranks that a package ships.

    python benchmarks/tokenize/make_tokenizer.py OUT --family llama3

`llama3` (128,256 tokens) comes from llama-models, whose tokenizer file stands under Meta's community
licence: it is for measuring, and is not to be passed on.  `qwen` (151,851 tokens, from dashscope) is
Apache-2.0.  The result is checked id by id against tiktoken on this repository's own files.

Tokens are byte strings in the order in which byte-pair encoding made them; tokenizer.json wants them in
the byte-level alphabet of GPT-2, and every way to put two of them together to a third, in that order
(which is what tiktoken does without a list: it joins the pair whose result has the lowest rank).
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from data_tools.wheels import cached  # noqa: E402
from megatron_heph.errors import InputError  # noqa: E402

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_HARD = "Größe, ἀρχή, Привет мир, שלום, नमस्ते, 你好。世界 👩\u200d👩\u200d👧 \u00a0\u3000\r\n\t 123456 Don't I'M"


@dataclass(frozen=True, slots=True)
class Family:
    """Where a tokenizer comes from, and what its file of ranks does not say."""

    package: tuple[str, str]
    path: str
    pattern: str
    special: tuple[str, ...]  # their ids follow the ranks
    bos: str | None
    eos: str


_LLAMA3 = (
    "begin_of_text", "end_of_text", "reserved_special_token_0", "reserved_special_token_1",
    "finetune_right_pad_id", "step_id", "start_header_id", "end_header_id", "eom_id", "eot_id", "python_tag", "image",
)  # fmt: skip
FAMILIES = {
    "llama3": Family(
        package=("llama-models", "0.3.0"),
        path="llama_models/llama3/tokenizer.model",
        pattern=_WORDS % "{1,3}",
        special=tuple(f"<|{name}|>" for name in (*_LLAMA3, *(f"reserved_special_token_{i}" for i in range(2, 246)))),
        bos="<|begin_of_text|>",
        eos="<|end_of_text|>",
    ),
    "qwen": Family(
        package=("dashscope", "2.0.2"),
        path="dashscope/resources/qwen.tiktoken",
        pattern=_WORDS % "",
        special=("<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{i}|>" for i in range(205))),
        bos=None,
        eos="<|endoftext|>",
    ),
}


def read_ranks(path: Path) -> dict[bytes, int]:
    """A file of lines `base64 rank`, as tiktoken has them."""
    rows = (line.split() for line in path.read_bytes().splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in rows}


def byte_alphabet() -> list[str]:
    """The character that stands for each byte: itself where it is visible, else one from U+0100 on."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in visible else chr(next(others)) for byte in range(256)]


def merges_of(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Every pair of tokens whose concatenation is a token, in the order of the result's rank."""
    merges = []
    for token, _ in sorted(ranks.items(), key=lambda item: item[1]):
        splits = [(token[:i], token[i:]) for i in range(1, len(token))]
        pairs = [(a, b) for a, b in splits if a in ranks and b in ranks]
        merges += sorted(pairs, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
    return merges


def tokenizer_json(family: Family, ranks: dict[bytes, int]) -> dict[str, Any]:
    """The content of tokenizer.json: no normalizer, no template, special tokens after the ranks."""
    alphabet = byte_alphabet()

    def spell(token: bytes) -> str:
        return "".join(alphabet[byte] for byte in token)

    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    split = {"type": "Split", "pattern": {"Regex": family.pattern}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    model = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": True,
        "vocab": {spell(token): rank for token, rank in ranks.items()},
        "merges": [[spell(a), spell(b)] for a, b in merges_of(ranks)],
    }  # fmt: skip
    added = [{"id": len(ranks) + i, "content": token, **flags} for i, token in enumerate(family.special)]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]},
        "post_processor": {**level, "trim_offsets": False}, "decoder": level, "model": model,
    }  # fmt: skip


def check(folder: Path, family: Family, ranks: dict[bytes, int]) -> int:
    """Compares the ids with tiktoken's on the texts of this repository; returns how many texts there were."""
    import tiktoken
    from tokenizers import Tokenizer

    reference = tiktoken.Encoding("reference", pat_str=family.pattern, mergeable_ranks=ranks, special_tokens={})
    built = Tokenizer.from_file(str(folder / "tokenizer.json"))
    paths = [path for suffix in ("py", "md", "cpp", "h") for path in sorted(ROOT.rglob(f"*.{suffix}"))]
    texts = [path.read_text(errors="replace") for path in paths if ".venv" not in path.parts]
    texts += [_HARD, "a" * 5000, " " * 3000]
    for text in texts:
        if built.encode(text, add_special_tokens=False).ids != reference.encode_ordinary(text):
            if any(token in text for token in family.special):
                continue  # tokenizers parses them; what heph does is a policy
            raise InputError(f"tokenizer.json differs from tiktoken on a text that begins with {text[:80]!r}.")
    return len(texts)


def main() -> int:
    """Builds and checks one tokenizer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--family", choices=sorted(FAMILIES), default="llama3")
    args = parser.parse_args()
    family = FAMILIES[args.family]
    try:
        distribution, _ = cached(*family.package)
        ranks = read_ranks(Path(str(distribution.locate_file(family.path))))
        args.out.mkdir(parents=True, exist_ok=True)
        built = tokenizer_json(family, ranks)
        (args.out / "tokenizer.json").write_text(json.dumps(built, ensure_ascii=False, indent=2))
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": family.bos, "eos_token": family.eos,
            "clean_up_tokenization_spaces": False, "model_max_length": 10**9,
        }  # fmt: skip
        (args.out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
        texts = check(args.out, family, ranks)
    except InputError as error:
        print(f"make_tokenizer.py: {error}", file=sys.stderr)
        return error.exit_code
    size = len(ranks) + len(family.special)
    merges = len(built["model"]["merges"])
    print(f"{args.out}: {args.family}, {size:,} tokens, {merges:,} merges, same ids as tiktoken on {texts} texts")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
