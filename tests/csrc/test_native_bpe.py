"""The encoder itself: its Unicode classes against the libraries, and vocabularies that make no sense."""

from __future__ import annotations

import itertools
import unicodedata

import numpy as np
import pytest

from megatron_heph._native import BpeEncoder, unicode_classes

BYTES = {bytes([i]): i for i in range(256)}
# The classes that the patterns name: the bits of each, and an expression.
CLASSES = [
    (1 | 2 | 4, r"\p{L}"), (16, r"\p{N}"), (8, r"\p{M}"), (32, r"\s"),
    (1, r"[\p{Lu}\p{Lt}]"), (2, r"\p{Ll}"), (4, r"[\p{Lm}\p{Lo}]"),
]  # fmt: skip
COMPOSES = 128
TABLE = unicode_classes()
ACCEPTED = [chr(code) for code in np.flatnonzero(TABLE).tolist()]


def encode(encoder, texts):
    encoded = [text if isinstance(text, bytes) else text.encode() for text in texts]
    data = np.frombuffer(b"".join(encoded), np.uint8)
    return encoder.encode(data, np.cumsum([0, *map(len, encoded)], dtype=np.int64))


def mapped(ranks):
    """The vocabulary of a tokenizer.json."""
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    letters = [chr(byte if byte in printing else next(others)) for byte in range(256)]
    return {"".join(letters[byte] for byte in token): index for token, index in ranks.items()}


def matches_of_tokenizers(expression):
    tokenizers = pytest.importorskip("tokenizers")
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(f"(?:{expression})+"), "removed", invert=True)
    return [part for part, _ in split.pre_tokenize_str("".join(ACCEPTED))]


def matches_of_tiktoken(expression):
    tiktoken = pytest.importorskip("tiktoken")
    encoding = tiktoken.Encoding("class", pat_str=f"(?:{expression})+", mergeable_ranks=BYTES, special_tokens={})
    parts = ("".join(ACCEPTED[i : i + 20000]) for i in range(0, len(ACCEPTED), 20000))
    return [bytes(encoding.encode_ordinary(part)).decode() for part in parts]


def pieces(pattern, texts):
    """The pretokens of texts: each is a token, since every text is one of the ranks."""
    ranks = dict(BYTES)
    for text in texts:
        for start in range(len(text)):
            for stop in range(start + 1, len(text) + 1):
                ranks.setdefault(text[start:stop].encode(), len(ranks))
    encoder = BpeEncoder.from_ranks(ranks, pattern, [])
    ids, lengths, _, _ = encode(encoder, texts)
    edges = np.cumsum([0, *lengths])
    tokens = [encoder.decode([int(i)]).decode() for i in ids]
    return [tokens[a:b] for a, b in itertools.pairwise(edges)]


@pytest.mark.parametrize("library", [matches_of_tokenizers, matches_of_tiktoken])
@pytest.mark.parametrize(("bits", "expression"), CLASSES)
def test_every_code_point_has_the_class_that_the_libraries_give_it(library, bits, expression):
    assert len(ACCEPTED) > 280_000
    ours = {c for c in ACCEPTED if TABLE[ord(c)] & bits}
    assert ours == set("".join(library(expression)))


def test_every_code_point_has_one_class_or_none():
    bits = TABLE & ~np.uint8(COMPOSES)
    assert np.all(bits & (bits - 1) == 0)
    assert not TABLE[0xD800:0xE000].any()
    assert not bits[TABLE == COMPOSES].any()


def test_what_changes_in_normal_form_c_is_marked():
    for c in ACCEPTED:
        if not TABLE[ord(c)] & COMPOSES:
            assert unicodedata.combining(c) == 0
            # Neither alone nor behind another letter.
            assert unicodedata.is_normalized("NFC", c)
    for base in "aoek\u0915\u1100\uac00":
        text = [base + c for c in ACCEPTED if not TABLE[ord(c)] & COMPOSES]
        assert unicodedata.is_normalized("NFC", "".join(text))


@pytest.mark.parametrize("library", [matches_of_tokenizers, matches_of_tiktoken])
def test_only_a_long_s_is_a_letter_of_a_contraction_too(library, monkeypatch):
    for before, after, wanted in [("'", "", "sStTmMdD\u017f"), ("'l", "", "lL"), ("'r", "", "eE"), ("'", "e", "rRvV")]:
        monkeypatch.setattr(f"{__name__}.ACCEPTED", [before + c + after + "\n" for c in ACCEPTED if c not in "'\n"])
        found = "".join(library("(?i:'s|'t|'re|'ve|'m|'ll|'d)")).replace("'", " ").split()
        inner = before[1:]
        expected = {inner + c + after for c in wanted}
        if after:
            expected |= set("sStTmMdD\u017f")
        assert set(found) == expected
        monkeypatch.undo()


def test_unassigned_characters_and_broken_bytes_are_declined():
    encoder = BpeEncoder.from_ranks(BYTES, "llama3", [])
    texts = ["a", "\u0378", b"\xff", b"a\xc3", b"\xe4\xb8", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", "é"]
    ids, lengths, declined, _ = encode(encoder, texts)
    assert declined.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert lengths.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert ids.tolist() == [97, *"é".encode()]


def test_known_cuts():
    text = "I'll  say 'sup' HTTPServer2024\r\n\n  ok "
    assert pieces("gpt2", [text]) == [
        ["I", "'ll", " ", " say", " '", "sup", "'", " HTTPServer", "2024", "\r\n\n ", " ok", " "]
    ]
    assert pieces("llama3", [text]) == [
        ["I", "'ll", " ", " say", " '", "sup", "'", " HTTPServer", "202", "4", "\r\n\n", " ", " ok", " "]
    ]
    assert pieces("o200k", ["camelCase HTTPServer's//\n/"]) == [["camel", "Case", " HTTPServer's", "//\n/"]]
    assert pieces("digits", ["a  12"]) == [["a", "  ", "1", "2"]]
    assert pieces("cl100k", ["a \n "]) == [["a", " \n "]]
    assert pieces("llama3", ["a \n "]) == [["a", " \n", " "]]


def test_a_small_cache_gives_the_same_ids():
    texts = [f"word{i} {i * 7919} {'long' * (i % 9)}" for i in range(3000)]
    ranks = {**BYTES, b"wo": 256, b"rd": 257, b"word": 258, b"lo": 259, b"ng": 260, b"long": 261}
    large = BpeEncoder.from_ranks(ranks, "llama3", [])
    small = BpeEncoder.from_ranks(ranks, "llama3", [], cache_slots=1024)
    expected = encode(large, texts)[0]
    for _ in range(6):      # the generations change
        assert np.array_equal(encode(small, texts)[0], expected)


@pytest.mark.parametrize(
    ("vocab", "merges", "named"),
    [
        ({k: v for k, v in mapped(BYTES).items() if v != 97}, [], r"byte 'a' is not a token"),
        ({**mapped(BYTES), "ab": 255}, [], "given twice"),
        ({**mapped(BYTES), "ab": 1 << 40}, [], "ids are 0 to"),
        ({**mapped(BYTES), "ab": 1 << 80}, [], "ids are 0 to"),
        ({**mapped(BYTES), "ab": -1}, [], "ids are 0 to"),
        ({**mapped(BYTES), "ab": "256"}, [], "ids are 0 to"),
        ({**mapped(BYTES), "": 256}, [], "0 bytes"),
        ({**mapped(BYTES), "a" * 5000: 256}, [], "5000 bytes"),
        ({**mapped(BYTES), 3: 256}, [], "not a string"),
        (mapped(BYTES), ["a b"], "needs the token 'ab'"),
        (mapped(BYTES), [["ab", "c"]], "needs the token 'ab'"),
        (mapped(BYTES), ["ab"], "not two tokens"),
        (mapped(BYTES), ["a b c"], "not two tokens"),
        (mapped(BYTES), [["a"]], "not two tokens"),
        (mapped(BYTES), [["a", 1]], "not a string"),
        (mapped(BYTES), [None], "not two tokens"),
    ],
)
def test_hostile_vocabularies_are_errors(vocab, merges, named):
    with pytest.raises(ValueError, match=named):
        BpeEncoder.from_merges(vocab, merges, "gpt2", False, [])


def test_wrong_arguments_are_errors():
    encoder = BpeEncoder.from_ranks(BYTES, "gpt2", [])
    data = np.frombuffer(b"abc", np.uint8)
    for offsets in ([0, 4], [-1, 3], [2, 1], []):
        with pytest.raises(ValueError, match="offset"):
            encoder.encode(data, np.array(offsets, np.int64))
    for ids in ([256], [-1], [1 << 40]):
        with pytest.raises((ValueError, IndexError), match="not in the vocabulary"):
            encoder.decode(ids)
    with pytest.raises(ValueError, match="no pattern"):
        BpeEncoder.from_ranks(BYTES, "gpt5", [])
    with pytest.raises(ValueError, match="cache_slots"):
        BpeEncoder.from_ranks(BYTES, "gpt2", [], cache_slots=1000)
    with pytest.raises(ValueError, match="of another token"):
        BpeEncoder.from_ranks(BYTES, "gpt2", [[(b"<x>", 5, False)]])
    with pytest.raises(ValueError, match="0 bytes"):
        BpeEncoder.from_ranks(BYTES, "gpt2", [[(b"", 256, False)]])
