"""The native engine gives the ids of `tokenizers` and of `tiktoken`, whatever the text."""

from __future__ import annotations

import itertools
import json
import random
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import byte_level_models as models
import numpy as np
import pytest
from support.hard_texts import hard_texts

from data_tools.tokenize.columns import Texts, Tokens
from data_tools.tokenize.engines.base import Engine, UnsupportedTokenizerError
from data_tools.tokenize.engines.native import NativeEngine

tokenizers = pytest.importorskip("tokenizers")
UNASSIGNED = "\u0378"


class Reference(Engine):
    """`tokenizers` as it comes; counts the documents that it is given."""

    def __init__(self, table, policy="text"):
        self.tokenizer = tokenizers.Tokenizer.from_str(json.dumps(table))
        self.tokenizer.encode_special_tokens = policy == "text"
        self.documents = 0

    def encodings(self, texts):
        self.documents += len(texts)
        return self.tokenizer.encode_batch(texts, add_special_tokens=False)

    def encode(self, texts):
        return self.encode_with_spans(texts)[0]

    def encode_with_spans(self, texts):
        found = self.encodings(texts.strings())
        ids = np.array([i for one in found for i in one.ids], np.int32)
        spans = [
            (len(text[:a].encode()), len(text[:b].encode()))
            for text, one in zip(texts.strings(), found, strict=True)
            for a, b in one.offsets
        ]
        return Tokens(ids, np.array([len(one.ids) for one in found])), np.array(spans, np.int64).reshape(-1, 2)

    def decode(self, ids):
        return self.tokenizer.decode(ids, skip_special_tokens=False)


def engine_of(table, policy="text"):
    reference = Reference(table, policy)
    return NativeEngine.from_tokenizer_json(table, policy, reference), reference


def per_document(tokens):
    edges = np.cumsum([0, *tokens.lengths])
    return [tokens.ids[a:b].tolist() for a, b in itertools.pairwise(edges)]


def assert_same(engine, expected, texts):
    found = per_document(engine.encode(Texts.of(texts)))
    for text, ours, theirs in zip(texts, found, expected, strict=True):
        assert ours == theirs, repr(text)


def compare(table, texts, policy="text"):
    engine, reference = engine_of(table, policy)
    assert_same(engine, [one.ids for one in Reference(table, policy).encodings(texts)], texts)
    assert reference.documents < len(texts) / 5     # most documents are ours
    return engine


def with_added(table, *tokens):
    rows = [
        {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False, **token}
        for token in tokens
    ]
    return {**table, "added_tokens": sorted(table["added_tokens"] + rows, key=lambda token: token["id"])}


@pytest.fixture(scope="session")
def gpt2():
    return models.trained("gpt2")


@pytest.mark.parametrize("kind", models.PRETOKENIZERS)
def test_trained_tokenizers(kind):
    compare(models.trained(kind, 700), hard_texts(seed=2, count=2000))


@pytest.mark.slow
@pytest.mark.parametrize("kind", models.PRETOKENIZERS)
def test_trained_tokenizers_at_length(kind):
    table = models.trained(kind, 3000, seed=5)
    for seed in range(100, 130):
        compare(table, hard_texts(seed, 4000))


@pytest.mark.parametrize("ignore_merges", [False, True])
def test_qwen_as_tokenizer_json(ignore_merges):
    table = models.json_of_ranks(models.qwen_ranks(20000), "qwen2", ignore_merges=ignore_merges)
    compare(table, hard_texts(seed=3, count=1500))


@pytest.mark.parametrize(
    ("ranks", "kind"),
    [("qwen_ranks", "qwen2"), ("qwen_ranks", "llama3"), ("qwen_ranks", "cl100k"), ("qwen_ranks", "gpt2"),
     ("tekken_ranks", "tekken"), ("tekken_ranks", "o200k")],
)  # fmt: skip
def test_tiktoken(ranks, kind):
    tiktoken = pytest.importorskip("tiktoken")
    table = getattr(models, ranks)(40000)
    expression = models.EXPRESSION_OF[kind]
    special = {"<|endoftext|>": 40000, "<|im_start|>": 40001}
    theirs = tiktoken.Encoding("test", pat_str=expression, mergeable_ranks=table, special_tokens=special)
    # Documents that the engine declines fail here: tiktoken knows a newer Unicode.
    texts = [text for text in hard_texts(seed=4, count=2500) if all(unicodedata.category(c) != "Cn" for c in text)]
    texts = [text + "<|endoftext|>" * (i % 7 == 0) for i, text in enumerate(texts)]
    ours = NativeEngine.from_tiktoken(table, expression, special, "text", None)
    assert_same(ours, [theirs.encode_ordinary(text) for text in texts], texts)
    ours = NativeEngine.from_tiktoken(table, expression, special, "parse", None)
    assert_same(ours, [theirs.encode(text, allowed_special="all") for text in texts], texts)
    listed = NativeEngine.from_tiktoken(list(table), expression, special, "parse", None)
    assert_same(listed, [theirs.encode(text, allowed_special="all") for text in texts[:50]], texts[:50])


@pytest.mark.parametrize("policy", ["text", "parse"])
def test_added_tokens(gpt2, policy):
    size = len(gpt2["model"]["vocab"])
    table = with_added(
        gpt2,
        {"id": size, "content": "<tool_call>"},
        {"id": size + 1, "content": "<|im_start|>user"},          # longer than a special one
        {"id": size + 2, "content": "end|", "normalized": True},  # looked for last
        {"id": size + 3, "content": "é!", "special": True},
        {"id": size + 4, "content": "!<|"},
        {"id": size + 5, "content": "  "},
    )
    parts = ["<tool_call>", "<|im_start|>user", "end|", "é", "!", "!<|", "  ", " ", "a", "'s", "<", "|>"]
    parts += models.SPECIAL
    rng = random.Random(0)
    texts = ["".join(rng.choice(parts) for _ in range(rng.randrange(12))) for _ in range(3000)]
    engine = compare(table, texts, policy)
    assert engine.special == {name: i for i, name in enumerate(models.SPECIAL)} | {"é!": size + 3}
    assert engine.vocab_size == size + 6
    assert engine.decode([size + 3, 0]) == "é!<|endoftext|>"


def test_nfc(gpt2):
    table = {**gpt2, "normalizer": {"type": "NFC"}}
    engine, reference = engine_of(table)
    changes = ["e\u0301", "\u212b", "a\u0323\u0302", "\u1100\u1161\u11a8"]
    texts = ["plain", "é 한국", *(f"x {c} y" for c in changes), "x\u0301", *hard_texts(seed=6, count=1500)]
    theirs = [one.ids for one in Reference(table).encodings(texts)]
    assert_same(engine, theirs, texts)
    assert len(changes) <= reference.documents < len(texts) / 5
    reference.documents = 0
    assert_same(engine, theirs[:2], texts[:2])
    assert reference.documents == 0


@pytest.mark.parametrize("normalizer", [None, {"type": "NFC"}])
def test_spans_are_the_bytes_of_each_token(gpt2, normalizer):
    table = with_added(gpt2, {"id": len(gpt2["model"]["vocab"]), "content": "<tool_call>"})
    table["normalizer"] = normalizer
    engine, _ = engine_of(table, "parse")
    texts = ["", "Grüße <tool_call> 日本<|im_end|>", UNASSIGNED, "", f"a {UNASSIGNED} b", "x\n", ""]
    columns = Texts.of(texts)
    tokens, spans = engine.encode_with_spans(columns)
    assert per_document(tokens) == per_document(engine.encode(columns))
    edges = np.cumsum([0, *tokens.lengths])
    for document, text in enumerate(texts):
        own = spans[edges[document] : edges[document + 1]]
        if UNASSIGNED not in text:      # the reference's spans are of characters
            assert own[:, 0].tolist() == [0, *own[:-1, 1].tolist()][: len(own)]
            ids = per_document(tokens)[document]
            pieces = [text.encode()[a:b] for a, b in own.tolist()]
            assert [engine._encoder.decode([i]) for i in ids] == pieces
        assert int(own[-1, 1] if len(own) else 0) == len(text.encode())
    assert engine.decode(tokens.ids.tolist()) == "".join(texts)


def test_declined_documents_are_the_references(gpt2):
    engine, reference = engine_of(gpt2)
    texts = [UNASSIGNED, "a", f"long enough {UNASSIGNED}", "", "b", "c" + UNASSIGNED]
    assert_same(engine, [one.ids for one in Reference(gpt2).encodings(texts)], texts)
    assert reference.documents == 3


@pytest.mark.parametrize("options", [{}, {"unk_token": "<|endoftext|>"}, {"byte_fallback": True}])
def test_documents_with_a_byte_that_is_no_token_are_the_references(gpt2, options):
    """As SmolLM2's vocabulary, which lacks some control characters."""
    merges = gpt2["model"]["merges"]
    merged = {part for merge in merges for part in (merge if isinstance(merge, list) else merge.split())}
    rare = [chr(0x100 + byte) for byte in (4, 5)]
    assert not any(letter in part for letter in rare for part in merged)
    vocab = {token: number for token, number in gpt2["model"]["vocab"].items() if token not in rare}
    table = {**gpt2, "model": {**gpt2["model"], "vocab": vocab, **options}}
    engine, reference = engine_of(table)
    texts = ["plain", "with \x04 inside", "\x05", "", "\x04\x04 and " + "long" * 99 + "\x05", "plain", "\x06"]
    assert_same(engine, [one.ids for one in Reference(table).encodings(texts)], texts)
    assert reference.documents == 3


def test_threads_give_the_ids_of_one(gpt2):
    texts = hard_texts(seed=7, count=3000)
    columns = Texts.of(texts)
    alone = engine_of(gpt2)[0].encode(columns)
    shared, _ = engine_of(gpt2)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(shared.encode, [columns] * 12):
            assert np.array_equal(found.ids, alone.ids)
            assert np.array_equal(found.lengths, alone.lengths)


def test_long_runs_are_not_quadratic(gpt2):
    engine, _ = engine_of(gpt2)
    texts = [run * 200_000 for run in ("a", " ", "ab", "=", "漢")]
    tokens = engine.encode(Texts.of(texts))
    assert per_document(tokens)[0] == Reference(gpt2).encodings(texts[:1])[0].ids
    assert engine.decode(tokens.ids.tolist()) == "".join(texts)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"normalizer": {"type": "NFKC"}}, "NFKC"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}}, "Lowercase"),
        ({"pre_tokenizer": None}, "pre_tokenizer"),
        ({"pre_tokenizer": {"type": "Metaspace"}}, "Metaspace"),
        ({"pre_tokenizer": {**models.BYTE_LEVEL, "add_prefix_space": True}}, "add_prefix_space"),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Bert"}, models.BYTE_LEVEL]}}, "Bert"),
        ({"model": {"type": "Unigram", "vocab": []}}, "Unigram"),
    ],
)
def test_what_it_lacks_is_named(gpt2, change, named):
    with pytest.raises(UnsupportedTokenizerError, match=named):
        NativeEngine.from_tokenizer_json({**gpt2, **change}, "text", None)


@pytest.mark.parametrize(
    ("key", "value"), [("dropout", 0.1), ("continuing_subword_prefix", "##"), ("end_of_word_suffix", "</w>")]
)
def test_options_of_the_model_are_named(gpt2, key, value):
    table = {**gpt2, "model": {**gpt2["model"], key: value}}
    with pytest.raises(UnsupportedTokenizerError, match=key):
        NativeEngine.from_tokenizer_json(table, "text", None)


@pytest.mark.parametrize(
    ("flags", "named"), [({"lstrip": True}, "lstrip"), ({"single_word": True}, "single_word"), ({"id": 9999}, "9999")]
)
def test_added_tokens_that_it_lacks_are_named(gpt2, flags, named):
    table = with_added(gpt2, {"id": len(gpt2["model"]["vocab"]), "content": "<x>", **flags})
    with pytest.raises(UnsupportedTokenizerError, match=named):
        NativeEngine.from_tokenizer_json(table, "text", None)


def test_a_pattern_that_differs_in_one_character_is_refused():
    expression = models.EXPRESSION_OF["llama3"].replace("{1,3}", "{1,2}")
    with pytest.raises(UnsupportedTokenizerError, match="unknown expression"):
        NativeEngine.from_tiktoken({bytes([i]): i for i in range(256)}, expression, {}, "text", None)


def test_special_tokens_that_begin_alike_are_refused():
    special = {"<|a|>": 256, "<|a|>b": 257}
    with pytest.raises(UnsupportedTokenizerError, match="begins with"):
        ranks = {bytes([i]): i for i in range(256)}
        NativeEngine.from_tiktoken(ranks, models.EXPRESSION_OF["gpt2"], special, "parse", None)
