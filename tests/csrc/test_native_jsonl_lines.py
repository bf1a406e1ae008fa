"""read_json_lines on single lines: every text that may stand in one, and what is wrong with the others."""

import json

import pytest
from jsonl_reference import labels_of, read_line, reason_of, text_of

from megatron_heph._native import read_json_lines


@pytest.mark.parametrize("size", [0, 1, 14, 15, 16, 17, 31, 32, 33, 1000])
@pytest.mark.parametrize("end", ["", "\n", '"', "\\", "é", "漢", "😀", "\0", "\x7f"])
def test_a_text_of_any_length_ends_where_it_ends(size, end):
    text = "x" * size + end
    for ascii in (True, False):
        line = json.dumps({"text": text}, ensure_ascii=ascii).encode()
        assert text_of(line) == text
        assert text_of(b" " * size + line + b"  ") == text
    assert "inside a string" in reason_of(line[:-2])


def test_every_code_point_comes_through():
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    assert text_of(json.dumps({"text": text}).encode()) == text
    assert text_of(json.dumps({"text": text}, ensure_ascii=False).encode()) == text


@pytest.mark.parametrize(
    "bad",
    [
        b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xed\xbf\xbf",
        b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xfe", b"\xff",
        b"\xc3", b"\xe6\xbc", b"\xe6", b"\xf0\x9f\x98", b"\xf0\x9f", b"\xf0", b"\xc3\xc3", b"\xe6\xbcx",
        b"\xf0\x9f\x98x",
    ],
)  # fmt: skip
def test_what_is_not_utf8_is_refused_at_its_byte(bad):
    for before in (b"", b"x" * 20, "é".encode()):
        assert reason_of(b'{"text":"' + before + bad + b'"}') == f"not UTF-8 at byte {10 + len(before)}"
        assert reason_of(b'{"text":"' + before + bad).startswith("not UTF-8 at byte")
        assert reason_of(b'{"other":"' + before + bad + b'","text":"a"}') == f"not UTF-8 at byte {11 + len(before)}"
        assert reason_of(b'{"' + before + bad + b'":1,"text":"a"}') == f"not UTF-8 at byte {3 + len(before)}"
    assert reason_of(b'{"text":"a"}' + bad) == "not UTF-8 at byte 13"


def test_byte_order_marks():
    assert reason_of(b'\xef\xbb\xbf{"text":"a"}') == "not JSON: a byte order mark at byte 1"
    assert text_of(b'{"text":"a\xef\xbb\xbfb"}') == "a\ufeffb"
    assert reason_of(b'{"text":\xef\xbb\xbf"a"}') == "not JSON: expected a value at byte 9"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[1, 2]", "the line holds an array, and a document is an object"),
        (b'"text"', "the line holds a string, and a document is an object"),
        (b"17", "the line holds a number, and a document is an object"),
        (b'{"text": "a" "b"}', "not JSON: expected ',' or '}' at byte 14"),
        (b'{"text": "a"', "not JSON: the line ends where ',' or '}' should come"),
        (b'{"text": "a', "not JSON: the line ends inside a string"),
        (b'{"text": "a\\', "not JSON: the line ends where one of \"\\/bfnrtu after the backslash should come"),
        (b'{"text":"a"}}', "not JSON: expected the end of the line at byte 13"),
        (b'{"text":"a",}', "not JSON: expected a key in double quotes at byte 13"),
        (b"{'text':1}", "not JSON: expected a key in double quotes at byte 2"),
        (b'{"text" "a"}', "not JSON: expected ':' at byte 9"),
        (b'{"text":}', "not JSON: expected a value at byte 9"),
        (b'{"a":[1 2],"text":"a"}', "not JSON: expected ',' or ']' at byte 9"),
        (b'{"a":01,"text":"a"}', "not JSON: expected ',' or '}' at byte 7"),
        (b'{"a":1.,"text":"a"}', "not JSON: expected a digit at byte 8"),
        (b'{"a":nul,"text":"a"}', "not JSON: expected a value at byte 6"),
        (b'{"text":"\x01"}', "not JSON: a control character that is not escaped at byte 10"),
        (b'{"text":"\\x41"}', "not JSON: expected one of \"\\/bfnrtu after the backslash at byte 11"),
        (b'{"text":"\\u12g4"}', "not JSON: expected four hexadecimal digits after \\u at byte 14"),
        (b'{"text":"a\\ud800b"}', "half of a surrogate pair at byte 11"),
        (b'{"text":"\\ude00\\ud83d"}', "half of a surrogate pair at byte 10"),
        (b'{"license":"\\ud800","text":"a"}', "half of a surrogate pair in 'license'"),
        (b'{"txt":"a", "body":"b"}', "no text under the key 'text' (the keys are body, txt)"),
        (b"{}", "no text under the key 'text' (the object is empty)"),
        (b'{"text":5}', "the key 'text' holds a number, and a text is a string"),
        (b'{"text":null}', "the key 'text' holds null, and a text is a string"),
        (b'{"text":"a","segments":"b"}', "the key 'segments' holds a string, and it is a list of {text, train}"),
        (b'{"text":"a","segments":[{"text":"b"}]}', "a segment lacks 'train'"),
        (b'{"text":"a","segments":[{"train":true}]}', "a segment lacks 'text'"),
        (b'{"text":"a","segments":["b"]}', "a segment is a string, and it is an object of text and train"),
        (b'{"segments":[{"text":"b","train":1}]}', "'train' of a segment is a number, and it is true or false"),
        (b'{"segments":[{"text":1,"train":true}]}', "the text of a segment is a number, and a text is a string"),
    ],
)  # fmt: skip
def test_the_reason_says_what_is_wrong_and_where(line, reason):
    assert reason_of(line) == reason


def test_a_reason_is_short_and_printable_whatever_the_keys_are():
    line = json.dumps({"\n\ud800": 1, "k" * 500: 2, **{f"x{i:02}": i for i in range(20)}}).encode()
    reason = reason_of(line)
    assert len(reason) < 250 and reason.isprintable() and reason.endswith("and 10 more)")


def test_of_a_key_that_comes_twice_the_last_counts():
    assert text_of(b'{"text":"a","text":"b"}') == "b"
    assert text_of(b'{"text":1,"text":"b"}') == "b"
    assert text_of(b'{"text":"\\ud800","te\\u0078t":"b"}') == "b"
    assert "holds a number" in reason_of(b'{"text":"b","text":1}')
    segments = b'"segments":[{"text":"s","text":"t","train":0,"train":true}]'
    assert text_of(b'{"text":"a",' + segments + b',"text":"b"}') == "t"
    assert text_of(b'{"segments":["bad"],' + segments + b"}") == "t"
    assert text_of(b"{" + segments + b',"segments":[],"text":"b"}') == "b"
    assert labels_of(read_json_lines(b'{"text":"","source":"a","source":"b"}\n').sources) == ["b"]
    assert labels_of(read_json_lines(b'{"text":"","source":"a","source":1}\n').sources) == [None]


def test_fields_of_any_name():
    line = '{"текст":"a","":"b","a\\u000ab":"c","source":"d","segments":"e","te\\u0078t":"f"}'.encode()
    line = line.replace(b'"segments":"e"', b'"segments":[]')
    for field, text in {"текст": "a", "": "b", "a\nb": "c", "source": "d", "text": "f"}.items():
        assert text_of(line, field=field) == text
    assert labels_of(read_json_lines(line + b"\n", field="source").sources) == ["d"]
    assert "holds an array" in reason_of(line, field="segments")
    assert "no text under the key 'тек'" in reason_of(line, field="тек")


def test_nesting_costs_no_stack():
    limit = 1000

    def line(depth):       # the object itself is one level
        return b'{"text":"a","x":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"

    assert text_of(line(limit)) == "a"
    assert reason_of(line(limit + 1)) == f"nested too deep: more than 1000 levels at byte {16 + limit}"
    for opening in (b"[", b'{"a":', b'[{"a":'):
        assert "nested too deep" in reason_of(opening * 1_000_000)
    assert "nested too deep" in reason_of(b'{"segments":[{"x":' + b"[" * 5000)


def test_integers_as_long_as_pythons():
    for digits, good in ((4300, True), (4301, False)):
        for number in (b"9" * digits, b"-" + b"9" * digits):
            line = b'{"text":"a","n":' + number + b"}"
            assert (read_line(line) is not None) == good == (not read_json_lines(line, last=True).bad)
    assert text_of(b'{"text":"a","n":' + b"9" * 5000 + b'.5,"m":1' + b"0" * 5000 + b"e9}") == "a"
    assert reason_of(b'{"n":' + b"9" * 4301 + b"}") == "an integer of 4301 digits (at most 4300) at byte 6"


@pytest.mark.parametrize("megabytes", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_one_very_long_line(megabytes):
    text = 'a "quoted" line,\n' * (megabytes * 1_000_000 // 20)
    line = json.dumps({"text": text, "license": "MIT"}).encode()
    assert len(line) > megabytes * 1_000_000
    assert read_json_lines(line).consumed == 0
    assert text_of(line) == text
