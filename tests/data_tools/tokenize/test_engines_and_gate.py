import base64
import importlib.util
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tiktoken
from real_tokenizers import REAL, byte_level_table, real

from data_tools.tokenize.columns import Texts, Tokens
from data_tools.tokenize.engines.base import UnsupportedTokenizerError
from data_tools.tokenize.engines.load import load_engine, tokenizer_info
from data_tools.tokenize.engines.tiktoken_files import read_ranks
from data_tools.tokenize.gate import choose_engine
from data_tools.tokenize.hard_texts import HARD_TEXTS
from megatron_heph.errors import InputError, RefusedError
from megatron_heph.formats.tiktoken_schemes import SCHEMES
from megatron_heph.formats.tokenizer import read_tokenizer_file

EVERY = ("tiny-bpe", "tiny-spm", "qwen-json", *REAL)
SENTENCEPIECE = ("tiny-spm", "mistral-v1", "mistral-v3", "mistral-v7")
NONE = Texts.of([])


@pytest.fixture(scope="session")
def qwen_json(tmp_path_factory):
    """The first 20,000 tokens of Qwen's vocabulary as a tokenizer.json, with three special tokens."""
    file = read_tokenizer_file(real("qwen"))
    scheme = SCHEMES["qwen"]()
    special = {token: 20_000 + i for i, token in enumerate(list(scheme.special)[:3])}
    folder = tmp_path_factory.mktemp("tokenizers") / "qwen-json"
    folder.mkdir()
    table = byte_level_table(read_ranks(file, scheme), scheme.pattern, special, 20_000)
    (folder / "tokenizer.json").write_text(json.dumps(table))
    return folder


@pytest.fixture
def tokenizer(request):
    """The path of the tokenizer that the parameter names."""
    own = {"tiny-bpe": "bpe", "tiny-spm": "spm", "qwen-json": "qwen_json"}
    return request.getfixturevalue(own[request.param]) if request.param in own else real(request.param)


def every(*, without=()):
    return pytest.mark.parametrize("tokenizer", [name for name in EVERY if name not in without], indirect=True)


def engines_of(loaded):
    return [engine for name in loaded.candidates if (engine := loaded.build(name)) is not None]


def ids_of(engine, text):
    return engine.encode(Texts.of([text])).ids.tolist()


@every()
def test_text_comes_back_through_ids_in_every_engine(tokenizer):
    loaded = load_engine(tokenizer)
    for engine in engines_of(loaded):
        tokens = engine.encode(Texts.of(["", *HARD_TEXTS]))
        assert tokens.ids.dtype in (np.int32, np.uint32) and tokens.lengths.dtype == np.int64
        assert len(tokens.lengths) == len(HARD_TEXTS) + 1 and tokens.lengths.sum() == len(tokens.ids)
        for text, ids in zip(HARD_TEXTS, np.split(tokens.ids, np.cumsum(tokens.lengths)[:-1])[1:], strict=True):
            # sentencepiece writes a space as the sign U+2581, and cannot tell it from that sign in a text
            spaces = text.replace("▁", " ") if loaded.reference.name == "sentencepiece" else text
            assert engine.decode(ids) == spaces


@every()
def test_spans_are_bytes_that_cover_the_document_in_order(tokenizer):
    text = "  Zürich 日本 \U0001f642 x"
    texts = Texts.of(["first", text])
    for engine in engines_of(load_engine(tokenizer)):
        tokens, spans = engine.encode_with_spans(texts)
        assert np.array_equal(tokens.ids, engine.encode(texts).ids) and spans.dtype == np.int64
        own = spans[tokens.lengths[0] :]
        assert (np.diff(own[:, 0]) >= 0).all() and (own[:, 0] <= own[:, 1]).all()
        covered = {i for first, stop in own.tolist() for i in range(first, stop)}
        assert covered == set(range(len(text.encode())))


@every()
def test_special_tokens_in_a_text_are_text_in_every_engine(tokenizer):
    loaded = load_engine(tokenizer)
    special = loaded.reference.special
    text = "".join(f"a{token}b {token}" for token in special)
    for engine in engines_of(loaded):
        ids = ids_of(engine, text)
        assert not set(special.values()) & set(ids), engine.name
        assert ids == ids_of(loaded.reference, text)


@every(without=SENTENCEPIECE)
def test_special_tokens_in_a_text_are_parsed_in_every_engine(tokenizer):
    loaded = load_engine(tokenizer, special_tokens="parse")
    special = loaded.reference.special
    text = "".join(f"a{token}b {token}" for token in special)
    for engine in engines_of(loaded):
        ids = ids_of(engine, text)
        assert [i for i in ids if i in special.values()] == [i for i in special.values() for _ in range(2)]
        assert ids == ids_of(loaded.reference, text)


@pytest.mark.parametrize("tokenizer", SENTENCEPIECE, indirect=True)
def test_sentencepiece_refuses_to_parse(tokenizer):
    with pytest.raises(InputError, match="sentencepiece never reads control pieces"):
        load_engine(tokenizer, special_tokens="parse")


@every(without=("tiny-bpe", "tiny-spm", "qwen-json"))
def test_the_gate_passes_every_engine_of_a_real_tokenizer(tokenizer):
    loaded = load_engine(tokenizer)
    engine, report = choose_engine(loaded, Texts.of(["a sample", "and another"]))
    assert engine.name == report.engine == loaded.candidates[0] and report.warnings == ()
    assert report.texts > len(HARD_TEXTS) + 2


def test_tekken_has_its_special_tokens_first_and_its_ranks_after_them():
    """As mistral_common reads it: the ranks cut to what the special tokens leave, and moved up by their number."""
    table = json.loads(real("tekken").read_bytes())
    ranks = {base64.b64decode(row["token_bytes"]): row["rank"] for row in table["vocab"][: 131_072 - 1000]}
    plain = tiktoken.Encoding("", pat_str=table["config"]["pattern"], mergeable_ranks=ranks, special_tokens={})
    loaded = load_engine(real("tekken"))
    assert (loaded.eod_token, loaded.eod_id, loaded.reference.vocab_size) == ("</s>", 2, 131_072)
    special = loaded.reference.special
    assert sorted(special.values()) == list(range(1000))
    assert (special["[INST]"], special["[TOOL_CONTENT]"], special["<SPECIAL_20>"]) == (3, 19, 20)
    texts = [*HARD_TEXTS, "".join(special)]
    expected = [index + 1000 for text in texts for index in plain.encode_ordinary(text)]
    assert loaded.reference.encode(Texts.of(texts)).ids.tolist() == expected


def test_megatrons_list_of_the_same_ranks_gives_the_same_ids(tmp_path):
    table = json.loads(real("tekken").read_bytes())
    (tmp_path / "vocab.json").write_text(json.dumps(table["vocab"]))
    own, tekken = load_engine(tmp_path / "vocab.json"), load_engine(real("tekken"))
    texts = Texts.of(HARD_TEXTS)
    assert np.array_equal(own.reference.encode(texts).ids, tekken.reference.encode(texts).ids)
    assert own.eod_id == 2 and own.reference.special["<sep>"] == 6 and own.reference.special["<SPECIAL_999>"] == 999
    assert own.hash != tekken.hash


def test_a_file_of_ranks_is_known_by_its_content_or_by_its_scheme(tmp_path):
    published = real("qwen")
    renamed = tmp_path / "tokenizer.model"      # the name that Llama 3 gives it
    renamed.write_bytes(published.read_bytes())
    loaded = load_engine(renamed)
    assert (loaded.eod_token, loaded.eod_id) == ("<|endoftext|>", 151_643)
    assert loaded.hash == load_engine(published, scheme="qwen").hash
    other = tmp_path / "other.tiktoken"
    other.write_bytes(b"".join(published.read_bytes().splitlines(keepends=True)[:1000]))
    with pytest.raises(InputError, match=r"a list of 1,000 ranks.*--scheme, one of llama3, llama4, qwen"):
        load_engine(other)
    with pytest.raises(InputError, match="holds 1,000 ranks, and the scheme 'qwen' is for 151,643"):
        load_engine(other, scheme="qwen")
    with pytest.raises(InputError, match="did you mean 'llama3'"):
        load_engine(other, scheme="lama3")
    with pytest.raises(InputError, match=r"holds 151,643 ranks.*--scheme qwen has that many"):
        load_engine(published, scheme="llama3")
    with pytest.raises(InputError, match="leave --scheme out"):
        load_engine(real("tekken"), scheme="qwen")
    swapped = published.read_bytes().replace(b" 500\n", b" 501\n", 1)
    other.write_bytes(swapped)
    with pytest.raises(InputError, match="entry 500 has the rank 501"):
        load_engine(other, scheme="qwen")


def test_the_end_of_a_document_is_endoftext_and_not_the_end_of_a_turn(bpe, tmp_path):
    assert load_engine(bpe).eod_token == "<|endoftext|>"  # though eos_token is <|im_end|>
    assert load_engine(bpe, eod="<|im_end|>").eod_id == 2
    with pytest.raises(InputError, match=r"'<\|im_end>' .*did you mean '<\|im_end\|>'"):
        load_engine(bpe, eod="<|im_end>")
    with pytest.raises(InputError, match=r"'def' .*not a special token"):
        load_engine(bpe, eod="def")
    other = tmp_path / "other"
    other.mkdir()
    text = (bpe / "tokenizer.json").read_text().replace("<|endoftext|>", "<|other|>")
    (other / "tokenizer.json").write_text(text)
    with pytest.raises(InputError, match="does not say which token ends a document"):
        load_engine(other)
    (other / "tokenizer_config.json").write_text('{"eos_token": {"content": "<|other|>"}}')
    assert load_engine(other).eod_token == "<|other|>"


def test_a_saved_truncation_never_cuts_a_document(bpe, tmp_path):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bpe / "tokenizer.json"))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=4)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    texts = Texts.of(["the quick brown fox jumps over", "a"])
    for engine in engines_of(load_engine(tmp_path)):
        assert np.array_equal(engine.encode(texts).ids, load_engine(bpe).reference.encode(texts).ids)


@pytest.mark.parametrize("tokenizer", ["mistral-v3"], indirect=True)
def test_threads_of_one_engine_give_what_one_thread_gives(tokenizer):
    engine = load_engine(tokenizer).engine
    assert engine.in_threads
    texts = [Texts.of([text * (i + 1) for text in HARD_TEXTS]) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(engine.encode, texts))
    for tokens, own in zip(together, texts, strict=True):
        assert np.array_equal(tokens.ids, engine.encode(own).ids)


@pytest.mark.parametrize("tokenizer", ["mistral-v3"], indirect=True)
def test_without_gigatoken_the_reference_serves_and_a_note_says_so(tokenizer, monkeypatch):
    monkeypatch.setitem(sys.modules, "gigatoken", None)
    loaded = load_engine(tokenizer)
    assert loaded.candidates == ("sentencepiece",) and "pip install" in loaded.notes[0]
    assert loaded.engine is loaded.reference
    with pytest.raises(InputError, match=r"not installed: pip install .*--engine sentencepiece"):
        load_engine(tokenizer, engine="gigatoken")


@pytest.mark.parametrize("tokenizer", ["mistral-v3"], indirect=True)
def test_an_engine_can_be_named_if_it_is_for_this_kind(tokenizer):
    assert load_engine(tokenizer, engine="sentencepiece").engine.name == "sentencepiece"
    with pytest.raises(InputError, match=r"is a sentencepiece tokenizer.*gigatoken, sentencepiece"):
        load_engine(tokenizer, engine="tiktoken")
    with pytest.raises(InputError, match="did you mean 'gigatoken'"):
        load_engine(tokenizer, engine="gigatokens")


def test_a_model_that_gigatoken_cannot_do_goes_to_the_reference(tmp_path):
    from sentencepiece import SentencePieceTrainer

    (tmp_path / "text").write_text("\n".join(f"a line of words {i}" for i in range(300)))
    SentencePieceTrainer.train(
        input=str(tmp_path / "text"), model_prefix=str(tmp_path / "tokenizer"), vocab_size=40, model_type="unigram",
        num_threads=1, minloglevel=2,
    )  # fmt: skip
    loaded = load_engine(tmp_path)
    engine, report = choose_engine(loaded, NONE)
    assert engine.name == "sentencepiece" and "gigatoken cannot do" in report.warnings[0]


class Wrong:
    """The reference, but for one word."""

    name, version, in_threads = "native", "0", True

    def __init__(self, reference):
        self._reference = reference
        self.vocab_size, self.special = reference.vocab_size, reference.special
        self.encode_with_spans, self.decode = reference.encode_with_spans, reference.decode

    def encode(self, texts):
        tokens = self._reference.encode(texts)
        ids = tokens.ids.copy()
        if any("wrong" in text for text in texts.strings()):
            ids[-1] += 1
        return Tokens(ids, tokens.lengths)


def with_native(loaded, make):
    loaded._makers, loaded._made = {"native": make}, {}
    loaded.candidates = ("native",) if loaded.required else ("native", loaded.reference.name)
    return loaded


def test_an_engine_that_differs_on_the_sample_is_left_out_loudly(bpe):
    loaded = load_engine(bpe)
    with_native(loaded, lambda: Wrong(loaded.reference))
    assert choose_engine(loaded, NONE)[0].name == "native"  # nothing hard about that word
    engine, report = choose_engine(loaded, Texts.of(["fine", "this is wrong"]))
    assert engine is loaded.reference and report.engine == "tokenizers"
    text = "this is wrong"
    right = ids_of(loaded.reference, text)
    where = f"({text!r}), token {len(right) - 1}: it gives {right[-1] + 1}, and tokenizers {right[-1]}."
    assert where in report.warnings[0]


def test_an_engine_that_was_named_and_differs_is_refused(bpe):
    loaded = load_engine(bpe, engine="tokenizers")
    loaded.required = True
    with_native(loaded, lambda: Wrong(loaded.reference))
    with pytest.raises(RefusedError, match=r"native 0 is not exact.*use --engine auto") as caught:
        choose_engine(loaded, Texts.of(["wrong"]))
    assert caught.value.exit_code == 3


def test_an_engine_that_fails_or_cannot_load_is_left_out_loudly(bpe):
    def unsupported():
        raise UnsupportedTokenizerError("its pattern is unknown")

    loaded = load_engine(bpe)
    broken = Wrong(loaded.reference)
    broken.encode = lambda texts: 1 // 0
    _, report = choose_engine(with_native(loaded, lambda: broken), NONE)
    assert report.engine == "tokenizers" and "fails with ZeroDivisionError" in report.warnings[0]
    _, report = choose_engine(with_native(load_engine(bpe), unsupported), NONE)
    assert report.engine == "tokenizers" and "its pattern is unknown" in report.warnings[0]


def test_a_reference_that_contradicts_itself_is_refused(bpe):
    loaded = load_engine(bpe, engine="tokenizers")
    encode = loaded.reference.encode

    def depends_on_the_batch(texts):
        tokens = encode(texts)
        return Tokens(tokens.ids[::-1] if len(texts) > 1 else tokens.ids, tokens.lengths)

    loaded.reference.encode = depends_on_the_batch
    with pytest.raises(RefusedError, match=r"contradicts itself .*itself in a batch") as caught:
        choose_engine(loaded, NONE)
    assert caught.value.exit_code == 3


def test_a_model_that_spells_the_end_out_of_ordinary_text_is_refused(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    pieces = [("<unk>", 0.0), ("</s>", -1.0), *((chr(c), -2.0) for c in range(33, 127)), ("\u2581", -2.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(RefusedError, match=r"end-of-document token '</s>' out of ordinary text .*--eod") as caught:
        choose_engine(load_engine(tmp_path, eod="</s>"), NONE)
    assert caught.value.exit_code == 3
    assert choose_engine(load_engine(tmp_path, eod="</s>", special_tokens="parse"), NONE)[0].name == "tokenizers"


def test_the_manifest_says_what_was_loaded(bpe):
    info = tokenizer_info(load_engine(bpe, special_tokens="parse"))
    assert (info.name, info.vocab_size, info.eod_id) == ("tiny-bpe", 600, 0)
    assert info.special_tokens == "parse" and info.eod_token == "<|endoftext|>" and len(info.hash) == 64


def test_gigatoken_is_an_extra():
    assert importlib.util.find_spec("gigatoken"), "the extra 'tokenize' is part of 'dev'"


def test_the_template_of_a_tokenizer_json_stands_around_every_document(bpe, tmp_path):
    from tokenizers import Tokenizer, processors

    whole = Tokenizer.from_file(str(bpe / "tokenizer.json"))
    whole.post_processor = processors.TemplateProcessing(
        single="<|im_start|> <|im_start|> $A <|im_end|>", special_tokens=[("<|im_start|>", 1), ("<|im_end|>", 2)]
    )
    whole.save(str(tmp_path / "tokenizer.json"))
    texts = ["", "def call", "Zürich <|im_end|>", ""]
    loaded = load_engine(tmp_path, special_tokens="parse+template")
    engine, report = choose_engine(loaded, Texts.of(texts))
    assert report.engine == engine.name == loaded.engine.name
    expected = [whole.encode(text).ids for text in texts]
    for tokens in (engine.encode(Texts.of(texts)), engine.encode_with_spans(Texts.of(texts))[0]):
        assert tokens.ids.tolist() == [index for ids in expected for index in ids]
        assert tokens.lengths.tolist() == list(map(len, expected))
    spans = engine.encode_with_spans(Texts.of(texts[:2]))[1].tolist()
    assert spans[:5] == [[0, 0]] * 5 and spans[5][0] == 0 and spans[-1] == [8, 8]
    assert load_engine(tmp_path).engine.encode(Texts.of([""])).lengths.tolist() == [0]
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "<|im_end|>", "add_bos_token": false}')
    with pytest.raises(InputError, match=r"add_bos_token = False, but the post-processor .* adds \[1, 1\]"):
        load_engine(tmp_path, special_tokens="parse+template")


def test_a_token_that_only_the_configuration_names_is_not_parsed_by_halves(bpe, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes((bpe / "tokenizer.json").read_bytes())
    more = {"eos_token": "<|im_end|>", "pad_token": {"content": "[PAD]"}, "additional_special_tokens": ["<|im_start|>"]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(more))
    with pytest.raises(InputError, match=r"names '\[PAD\]', which tokenizer.json does not have"):
        load_engine(tmp_path, special_tokens="parse")
    assert load_engine(tmp_path).eod_token == "<|endoftext|>"


def test_only_a_tokenizer_json_has_a_template():
    with pytest.raises(InputError, match="has no template"):
        load_engine(real("qwen"), special_tokens="parse+template")
