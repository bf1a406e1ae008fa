"""Byte for byte what Megatron-LM's tools/preprocess_data.py writes with megatron-core's own tokenizers."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent / "tokenize"))
from real_tokenizers import byte_level_table, real
from tiny_tokenizers import WORDS, byte_level_bpe

from data_tools.preprocess_data import main
from data_tools.tokenize.engines.tiktoken_files import read_ranks
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.tiktoken_schemes import SCHEMES
from megatron_heph.formats.tokenizer import read_tokenizer_file

TEXTS = [
    *WORDS[:40],
    "a</s>b <s> c <unk><pad>[INST] x [/INST]<SPECIAL_20>",
    "<|endoftext|>in the middle<|im_start|>user\n\nhi<|im_end|>",
    "  spaces   \t\n\n and \r\n lines  ",
    "Zürich 日本語 \U0001f642 العربية ไทย don't DON'T 12345 0x1F",
]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    rows = [{"text": text, "title": text[:9] + str(i)} for i, text in enumerate(TEXTS)]
    path.write_text("".join(json.dumps(row, ensure_ascii=i % 2 == 0) + "\n" for i, row in enumerate(rows)))
    return path


def theirs(corpus, prefix, library, path, *, append_eod, key="text", **kwargs):
    """The loop of Megatron-LM's Encoder and Partition, on megatron-core's tokenizer and builder."""
    from megatron.core.datasets.indexed_dataset import DType, IndexedDatasetBuilder
    from megatron.core.tokenizers import MegatronTokenizer

    tokenizer = MegatronTokenizer.from_pretrained(str(path), {"library": library}, **kwargs)
    builder = IndexedDatasetBuilder(f"{prefix}.bin", dtype=DType.optimal_dtype(tokenizer.vocab_size))
    for line in corpus.read_text().splitlines():
        ids = list(tokenizer.tokenize(json.loads(line)[key]))
        if ids and append_eod:
            ids.append(tokenizer.eod)
        builder.add_document(ids, [len(ids)] if ids else [])
    builder.finalize(f"{prefix}.idx")


def ours(corpus, prefix, *flags):
    assert main(["--input", str(corpus), "--output-prefix", str(prefix), "--workers", "2", *map(str, flags)]) == 0


def same(one, other):
    for suffix in (".bin", ".idx"):
        assert one.with_name(one.name + suffix).read_bytes() == other.with_name(other.name + suffix).read_bytes()


def read_crosswise(tmp_path, tokens):
    """Their reader on our pair, and ours on theirs."""
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    mine, reference = IndexedDataset(str(tmp_path / "mine_text_document")), TokenizedSource.open(tmp_path / "theirs")
    assert len(mine) == len(TEXTS) == reference.total_documents
    flat = np.concatenate([mine[i] for i in range(len(mine))])
    assert len(flat) == reference.total_tokens == tokens
    assert np.array_equal(flat, reference.read(0, tokens))


@pytest.mark.parametrize("append_eod", [True, False])
def test_a_sentencepiece_model(corpus, tmp_path, append_eod):
    path = real("mistral-v3")
    theirs(corpus, tmp_path / "theirs", "sentencepiece", path, append_eod=append_eod)
    flags = ["--append-eod"] if append_eod else []
    ours(corpus, tmp_path / "mine", "--tokenizer-type", "SentencePieceTokenizer", "--tokenizer-model", path, *flags)
    same(tmp_path / "theirs", tmp_path / "mine_text_document")
    read_crosswise(tmp_path, (tmp_path / "theirs.bin").stat().st_size // 2)


@pytest.mark.parametrize("special", [None, ["<unk>", "<s>", "</s>", "<mask>", "<pad>", "<cls>", "<sep>", "[INST]"]])
def test_a_tiktokenizer(corpus, tmp_path, special):
    vocabulary = tmp_path / "vocab.json"
    vocabulary.write_text(json.dumps(json.loads(real("tekken").read_bytes())["vocab"]))
    more = {"pattern": "v1", "vocab_size": 32_000, "num_special_tokens": 100, "special_tokens": special}
    theirs(corpus, tmp_path / "theirs", "tiktoken", vocabulary, append_eod=True, **(more if special else {}))
    flags = ["--tokenizer-type", "TikTokenizer", "--tokenizer-model", vocabulary, "--append-eod"]
    if special:
        flags += ["--tiktoken-pattern", "v1", "--vocab-size", 32_000, "--tiktoken-num-special-tokens", 100]
        flags += ["--tokenizer-special-tokens", *special]
    ours(corpus, tmp_path / "mine", *flags)
    same(tmp_path / "theirs", tmp_path / "mine_text_document")
    read_crosswise(tmp_path, (tmp_path / "theirs.bin").stat().st_size // (2 if special else 4))


@pytest.mark.parametrize("template", [True, False])
def test_a_tokenizer_json(corpus, tmp_path, template):
    scheme = SCHEMES["qwen"]()
    special = {token: 20_000 + i for i, token in enumerate(list(scheme.special)[:3])}
    table = byte_level_table(read_ranks(read_tokenizer_file(real("qwen")), scheme), scheme.pattern, special, 20_000)
    bos = {"id": "<|im_start|>", "ids": [20_001], "tokens": ["<|im_start|>"]}
    pieces = [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    table["post_processor"] = {
        "type": "TemplateProcessing", "single": pieces, "pair": [*pieces, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|im_start|>": bos},
    }  # fmt: skip
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(table))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "bos_token": "<|im_start|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    theirs(
        corpus, tmp_path / "theirs", "huggingface", folder, append_eod=True, include_special_tokens=template
    )
    flags = [] if template else ["--tokenizer-hf-no-include-special-tokens"]
    ours(
        corpus, tmp_path / "mine", "--tokenizer-type", "HuggingFaceTokenizer", "--tokenizer-model", folder,
        "--append-eod", *flags,
    )  # fmt: skip
    same(tmp_path / "theirs", tmp_path / "mine_text_document")
    read_crosswise(tmp_path, (tmp_path / "theirs.bin").stat().st_size // 2)
    ids = np.fromfile(tmp_path / "theirs.bin", np.uint16)
    assert (ids[0] == 20_001) == template and ids[-1] == 20_002  # eos, though there is an <|endoftext|>


def test_a_gpt2_vocabulary_with_its_merges(corpus, tmp_path):
    model = json.loads((byte_level_bpe(tmp_path / "bpe") / "tokenizer.json").read_bytes())["model"]
    folder = tmp_path / "gpt2"
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in model["merges"]))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
    theirs(corpus, tmp_path / "theirs", "huggingface", folder, append_eod=True)
    ours(
        corpus, tmp_path / "mine", "--tokenizer-type", "GPT2BPETokenizer", "--vocab-file", folder / "vocab.json",
        "--merge-file", folder / "merges.txt", "--append-eod",
    )  # fmt: skip
    same(tmp_path / "theirs", tmp_path / "mine_text_document")


def test_every_key_has_files_of_its_own_and_empty_documents_are_counted(corpus, tmp_path, capsys):
    with corpus.open("a") as stream:
        stream.write('{"text": "", "title": "empty"}\n')
    path = real("mistral-v3")
    flags = ["--tokenizer-type", "Llama2Tokenizer", "--tokenizer-model", path, "--json-keys", "text", "title"]
    ours(corpus, tmp_path / "mine", *flags, "--partitions", 2, "--use-gigatoken", "--log-interval", 10)
    said = capsys.readouterr().err
    assert "--partitions 2 has no effect" in said
    assert f"text: {len(TEXTS)} documents" in said and "1 without tokens left out" in said
    theirs(corpus, tmp_path / "theirs", "sentencepiece", path, append_eod=False, key="title")
    same(tmp_path / "theirs", tmp_path / "mine_title_document")


WRONG: dict[str, tuple[list[str], str]] = {
    "a type that is not for text": (["--tokenizer-type", "BertWordPieceCase"], r"not for pretraining text"),
    "a misspelt type": (["--tokenizer-type", "TikTokeniser"], r"did you mean 'TikTokenizer'"),
    "sentences": (["--tokenizer-type", "TikTokenizer", "--split-sentences"], r"--split-sentences is not supported"),
    "no model": (["--tokenizer-type", "TikTokenizer"], r"needs --tokenizer-model"),
    "no merges": (["--tokenizer-type", "GPT2BPETokenizer", "--vocab-file", "v.json"], r"needs --vocab-file"),
    "special tokens elsewhere": (
        ["--tokenizer-type", "HuggingFaceTokenizer", "--tokenizer-special-tokens", "<x>"],
        r"only done for TikTokenizer",
    ),
    "special tokens that lack some": (
        ["--tokenizer-type", "TikTokenizer", "--tokenizer-model", "MODEL", "--tokenizer-special-tokens", "<x>"],
        r"lacks </s>, <cls>",
    ),
    "more special tokens than vocabulary": (
        ["--tokenizer-type", "TikTokenizer", "--tokenizer-model", "MODEL", "--vocab-size", "900"], r"--vocab-size 900",
    ),
    "no tokenizer.json": (
        ["--tokenizer-type", "HuggingFaceTokenizer", "--tokenizer-model", "MODEL"], r"needs a tokenizer.json",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_supported_is_refused_by_name(corpus, tmp_path, capsys, what):
    flags, message = WRONG[what]
    model = tmp_path / "tokenizer.model"
    model.write_bytes(b"x")
    flags = [str(model) if flag == "MODEL" else flag for flag in flags]
    assert main(["--input", str(corpus), "--output-prefix", str(tmp_path / "mine"), *flags]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not list(tmp_path.glob("mine*"))
