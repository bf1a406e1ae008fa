"""The hash is equal exactly where the ids are."""

import json

import pytest

from megatron_heph.errors import InputError
from megatron_heph.formats.tiktoken_schemes import megatron_scheme
from megatron_heph.formats.tokenizer import find_tokenizer_file, read_tokenizer_file, tokenizer_hash

TABLE = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "normalizer": None,
    "pre_tokenizer": {"type": "ByteLevel"},
    "post_processor": None,
    "decoder": None,
    "added_tokens": [{"id": 1, "content": "b", "special": True}, {"id": 0, "content": "a", "special": True}],
    "model": {"type": "BPE", "unk_token": None, "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]},
}


def _hash(folder, **changes):
    (folder / "tokenizer.json").write_text(json.dumps(TABLE | changes))
    return tokenizer_hash(folder)


def test_what_never_changes_ids_does_not_change_the_hash(tmp_path):
    same = _hash(tmp_path)
    assert same == _hash(
        tmp_path, truncation={"max_length": 8}, padding={"length": 8}, decoder={"type": "Fuse"}
    )
    assert same == _hash(tmp_path, added_tokens=TABLE["added_tokens"][::-1])
    assert same == _hash(tmp_path, model=TABLE["model"] | {"vocab": {"ab": 2, "b": 1, "a": 0}})
    # the forms of newer versions of the library
    newer = {"ignore_merges": False, "byte_fallback": False, "merges": [["a", "b"]]}
    assert same == _hash(tmp_path, model=TABLE["model"] | newer)
    assert same == tokenizer_hash(tmp_path / "tokenizer.json")


def test_what_changes_ids_changes_the_hash(tmp_path):
    vocab = {"a": 0, "ab": 1, "b": 2}
    hashes = [
        _hash(tmp_path),
        _hash(tmp_path, normalizer={"type": "NFC"}),
        _hash(tmp_path, added_tokens=[]),
        _hash(tmp_path, model=TABLE["model"] | {"ignore_merges": True}),
        _hash(tmp_path, pre_tokenizer=None),
        _hash(tmp_path, model=TABLE["model"] | {"vocab": vocab}),
        _hash(tmp_path, model=TABLE["model"] | {"merges": []}),
        _hash(tmp_path, model=TABLE["model"] | {"merges": ["b a"]}),
        _hash(tmp_path, model=TABLE["model"] | {"merges": [["a b", ""]]}),
        _hash(tmp_path, model=TABLE["model"] | {"vocab": {"a": 0, "b": 1, "a b": 2}}),
    ]
    assert len(set(hashes)) == len(hashes)


def test_a_sentencepiece_model_is_hashed_as_it_is_and_comes_second(tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(b"one")
    one = tokenizer_hash(tmp_path)
    assert one != _hash(tmp_path) and find_tokenizer_file(tmp_path).name == "tokenizer.json"
    assert one == tokenizer_hash(tmp_path / "tokenizer.model")


def test_what_is_no_tokenizer_says_so(tmp_path):
    with pytest.raises(InputError, match=r"neither a tokenizer.json nor a tokenizer.model"):
        tokenizer_hash(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="lacks the key 'model'"):
        tokenizer_hash(tmp_path)
    with pytest.raises(InputError, match=r"did you mean 'tokenizer.json'"):
        tokenizer_hash(tmp_path / "tokeniser.json")
    (tmp_path / "vocab.txt").write_text("a")
    with pytest.raises(InputError, match="no tokenizer that this program reads"):
        tokenizer_hash(tmp_path / "vocab.txt")


def test_a_file_of_ranks_is_hashed_with_what_decides_its_ids(tmp_path):
    ranks = tmp_path / "tokenizer.model"
    ranks.write_bytes(b"IQ== 0\nIg== 1\n")
    schemes = [tokenizer_hash(ranks, name) for name in ("llama3", "qwen", "cl100k")]
    assert len(set(schemes)) == 3
    with pytest.raises(InputError, match=r"2 ranks.*--scheme, one of llama3"):
        tokenizer_hash(ranks)
    rows = [{"rank": 0, "token_bytes": "IQ==", "token_str": "!"}]
    listed = tmp_path / "vocab.json"
    listed.write_text(json.dumps(rows))
    two = tokenizer_hash(listed, megatron_scheme("v1")), tokenizer_hash(listed, megatron_scheme("v2"))
    assert two[0] != two[1] == tokenizer_hash(listed)
    tekken = {"config": {"pattern": ".", "default_vocab_size": 1001, "default_num_special_tokens": 1000}}
    (tmp_path / "tekken.json").write_text(json.dumps(tekken | {"vocab": rows}))
    assert find_tokenizer_file(tmp_path).name == "tokenizer.model"
    ranks.unlink()
    assert find_tokenizer_file(tmp_path).name == "tekken.json" and len(tokenizer_hash(tmp_path)) == 64
    (tmp_path / "tekken.json").write_text(json.dumps({"config": {"pattern": "."}, "vocab": rows}))
    with pytest.raises(InputError, match=r"lacks 'default_num_special_tokens'"):
        read_tokenizer_file(tmp_path).scheme()


def test_a_folder_with_several_files_of_ranks_asks_which(tmp_path):
    for name in ("one.tiktoken", "two.tiktoken"):
        (tmp_path / name).write_bytes(b"IQ== 0\n")
    with pytest.raises(InputError, match=r"several tokenizers: one\.tiktoken, two\.tiktoken"):
        find_tokenizer_file(tmp_path)
