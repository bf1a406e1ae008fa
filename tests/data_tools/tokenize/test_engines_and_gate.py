import numpy as np
import pytest

from data_tools.tokenize.engines.libraries import load_engine
from data_tools.tokenize.gate import HARD_TEXTS, check_engine
from data_tools.tokenize.records import tokens_without_loss
from megatron_heph.errors import InputError, RefusedError


@pytest.fixture(params=["bpe", "spm"])
def folder(request):
    return request.getfixturevalue(request.param)


def _eod(folder):
    return "</s>" if "spm" in folder.name else None


def test_text_comes_back_through_ids(folder):
    engine = load_engine(folder, eod=_eod(folder))
    texts = ["", *HARD_TEXTS[4:], "def call_1(name: str)"]
    ids, lengths = engine.encode_batch(texts)
    assert (
        ids.dtype == np.int32 and lengths.dtype == np.int64 and lengths[0] == 0 and lengths.sum() == len(ids)
    )
    for text, part in zip(texts, np.split(ids, np.cumsum(lengths)[:-1]), strict=True):
        # sentencepiece writes a space as the sign U+2581, and cannot tell it from that sign in a text
        assert engine.decode(part) == (text.replace("▁", " ") if engine.name == "sentencepiece" else text)


def test_offsets_cover_every_character_in_order(folder):
    engine = load_engine(folder, eod=_eod(folder))
    text = "  Zürich 日本 x"
    ids, lengths, offsets = engine.encode_with_offsets([text])
    assert np.array_equal(ids, engine.encode_batch([text])[0]) and lengths.tolist() == [len(ids)]
    covered = {i for first, stop in offsets.tolist() for i in range(first, stop)}
    assert covered == set(range(len(text)))


def test_special_tokens_in_the_text_follow_the_policy(bpe):
    text = "a<|im_start|>b<|endoftext|>"
    as_text, parsed = load_engine(bpe), load_engine(bpe, special_tokens="parse")
    assert not {0, 1, 2} & set(as_text.encode_batch([text])[0].tolist())
    assert as_text.decode(as_text.encode_batch([text])[0]) == text
    assert [i for i in parsed.encode_batch([text])[0].tolist() if i < 3] == [1, 0]


def test_sentencepiece_has_the_same_policy_and_refuses_the_other(spm):
    engine = load_engine(spm)
    assert engine.eod_token == "</s>" and engine.eod_id == 2
    assert not {1, 2} & set(engine.encode_batch(["a</s><s>b"])[0].tolist())
    with pytest.raises(InputError, match="sentencepiece never reads control pieces"):
        load_engine(spm, special_tokens="parse")


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
    ids, _ = load_engine(tmp_path).encode_batch(["the quick brown fox jumps over", "a"])
    assert np.array_equal(ids, load_engine(bpe).encode_batch(["the quick brown fox jumps over", "a"])[0])


def test_the_gate_passes_real_engines(folder):
    report = check_engine(load_engine(folder, eod=_eod(folder)), "text", ["a sample"])
    assert report.texts > len(HARD_TEXTS) and report.lossy == ("spm" in folder.name)  # the U+2581 in one text


def test_the_gate_refuses_an_engine_that_depends_on_the_batch_or_emits_the_end(bpe):
    engine = load_engine(bpe)
    encode = engine._encode
    engine._encode = lambda texts: [ids[::-1] if len(texts) > 1 else ids for ids in encode(texts)]
    with pytest.raises(RefusedError, match="in a batch and alone") as caught:
        check_engine(engine, "text")
    assert caught.value.exit_code == 3
    with pytest.raises(RefusedError, match=r"end-of-document token '<\|endoftext\|>' out of ordinary text"):
        check_engine(load_engine(bpe, special_tokens="parse"), "text")


def test_a_token_across_a_boundary_carries_loss_only_if_all_of_it_does():
    segments = ((4, False), (0, True), (4, True), (2, False))
    offsets = np.array([[0, 3], [3, 5], [5, 5], [5, 8], [8, 8], [8, 10], [10, 10]])
    #                    hidden   astride  byte    shown   byte of a hidden one  ...   past the end
    expected = [True, True, False, False, True, True, True, True]  # and the end follows the last segment
    assert tokens_without_loss(segments, offsets).tolist() == expected
