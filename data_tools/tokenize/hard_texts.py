"""Texts that have broken tokenizers: what the exactness gate shows to every engine.

Together some 50 kB, so that the slowest library does them in some hundredths of a second.
"""

from __future__ import annotations

import unicodedata
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha512

_SPACES = "".join(chr(c) for c in range(0x3100) if chr(c).isspace())
_SPACE_KINDS = (" ", "\t", "\n", "\r", "\r\n", "\xa0", "\u3000", "\u2028")
_SPACE_RUNS = [space * count for space in _SPACE_KINDS for count in (1, 2, 3, 7)]
_NOISE = b"".join(sha512(bytes([i])).digest() for i in range(48))  # 3 kB, the same everywhere
_MARKS = "".join(chr(c) for c in range(0x300, 0x370))
_UNASSIGNED = "".join(chr(c) for c in range(0x370, 0x1000) if unicodedata.category(chr(c)) == "Cn")
# Letters, marks, numbers and signs that Unicode 15, 16 and 17 added: libraries carry tables of different
# versions, and then one sees a letter where another sees an unassigned code point.
_LATER = (
    "\u1c89\u0897\ua7cb\ua7da\u20c1\U00010d4a\U00010d69\U00010d40\U00011f02\U00011f00\U00011f50\U00016ea0\U00016d40"
    "\U0001e4d0\U0001e4ec\U0001e4f0\U0001e5d0\U0001e5f1\U0001f6dc\U0001fae9\U0002ebf0\U00031350\U000323af\U000323b0"
)
_CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'\u017f", "'S", "'RE", "'Ll", "\u2019s", "\u2019LL")
_CONTROL = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0xAD, 0x200B, 0x200D, 0x2060, 0xFEFF, 0xFFFD, 0xFFFF]))

_SPACING = (
    "a",
    " ",
    "\n",
    "\t",
    "  leading and trailing  ",
    "\n\n\n\t\t  \n",
    "\r\nlines\r\n\r\n  indented\r\n",
    _SPACES,
    *(f"a{run}b{run}" for run in _SPACE_RUNS),
    " a  b   c    d     e",
    "tab\tand  \t mixed \n \n\n x",
    "end of line   \n   next",
    "x\n\n\n",
    "/\n//\n/\r\n",
    "!\n?\n\n.\r\n",
    "a\u0085b\u2029c\x0bd\x0ce\x1cf",
)
_WORDS = (
    "don't DON'T Don'T I'll we've THEY'RE it\u2019s 'tis ''s s's",
    " ".join(f"x{c} {c}y X{c}Z {c} {c}{c}" for c in _CONTRACTIONS),
    "CamelCaseHTTPServer snake_case SCREAMING_CASE kebab-case ALLCAPSthenLower",
    "\u01c5ungla \u02b0modifier \u2160\u2161 \u24b6",
    "3.14159 1,000,000 0x1F 1e-9 123456789012345678901234567890 1 12 123 1234 12345 2024-11-23T02:49:26Z",
    "".join(str(i % 10) * i for i in range(1, 20)),
    "\u0661\u0662\u0663 \u09e7\u09e8 \u00bd \u00b2\u00b3 \u2460",
    "\u4e00\u4e8c \U0001d7d8\U0001d7d9",
    "~!@#$%^&*()_+`-={}[]|\\:\";'<>?,./ \u2026 \u2014\u2013 \u00ab\u00bb \u201c\u201d \u20ac\u00a3\u00a5",
    "\u2192\u21d2 \u2200x\u2208\u2115",
)
_UNICODE = (
    "\ufb01 \u212b \u00c5 e\u0301 \u00e9 \u200b\ufeff",
    "\u1e9b\u0323 \u017f \u0130 \u0131 \u00df \u1e9e \uff21\uff22 \u00bc \u2126 \u03a9",
    "a" + "\u0301" * 40 + "b" + _MARKS,
    _CONTROL,
    *(f"a{c}b{c}'s {c}1{c}2 !{c}.{c}\n{c}{c}" for c in _LATER),
    _UNASSIGNED + "\U000e0fff\U0010ffff\ue000\U000f0000",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0651\u0629 \u05e2\u05b4\u05d1\u05b0\u05e8\u05b4\u05d9\u05ea",
    "\u202eRTL\u202c \u200f \u0641\u0627\u0631\u0633\u06cc\u200c\u0627",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u3001\u4e2d\u6587\u3002\u3000\ud55c\uad6d\uc5b4",
    "\u1112\u1161\u11ab\u1100\u116e\u11a8",
    "\uff8a\uff9d\uff76\uff78 \U00020000\U0002a6df",
    "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u0ba4\u0bae\u0bbf\u0bb4\u0bcd",
    "\u1780\u17d2\u1798\u17c2\u179a \u0f56\u0f7c\u0f51 \u10e5\u10d0\u10e0 \u13a3",
    "\u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac \u03bf\u03c3\u03c2",
    "Ti\u1ebfng Vi\u1ec7t \u0130stanbul Stra\u00dfe \u00cesland",
    "\U0001f642 \U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f1e9\U0001f1ea\U0001f1eb",
    "\U0001f44d\U0001f3fd 1\ufe0f\u20e3 \u2764\ufe0f\u2764 \U0001fae8",
)
_RUNS = (
    "a" * 3000,
    " " * 3000,
    "\n" * 500,
    "-=" * 800,
    "ab" * 700,
    "\u00e9" * 300,
    "\u6f22" * 300,
    "\U0001f642" * 200,
    "1" * 1000,
    "=" * 120 + "\n" + "-" * 80 + "\n" + "*" * 79,
    "aA" * 300,
    ".\n" * 200,
    " \n" * 200,
    "\t" * 300 + "x",
    b64encode(_NOISE).decode(),
    _NOISE.hex(),
    _NOISE[:512].hex(" ").upper(),
    "".join(chr(0x4E00 + b * 80) for b in _NOISE[:600]),
)
_CODE = (
    'def f(x: int) -> str:\n    """Doc."""\n\tif x:\n        return f"{x!r}\\n"  # \u00fc\n\n\nclass A(B):\n    pass\n',
    '{"name": "get_weather", "arguments": {"city": "Z\u00fcrich", "unit": null, "n": -1.5e10}}\n[[], {}, ""]',
    "#include <vector>\r\nint main(){std::vector<int>v;for(auto&&x:v)++x;return 0;}\r\n",
    "// \\u00e9 \\x41 \\ud83d \\0 \\\\",
    "SELECT * FROM t WHERE a<>'b' AND c>=1;\n$ curl -sSL https://example.org/a?b=c&d=%20#e | tar xz 2>/dev/null",
    '<div class="a">&nbsp;&amp;&#x27;</div><!-- x --><br/>\n',
    "| a | b |\n|---|:-:|\n| 1 | 2 |\n\n```py\nx = 1\n```\n",
)
_NOTATION = (
    "\u2581 \u2581\u2581 \u0120 \u010a \u0109 <0x0A> <0xFF> ##ing </w> @@ \u00c4\u0142",
    "%E4%BD \\xe4\\xbd\\xa0 \u262f",
    "<unk> <pad> <mask> [CLS] [SEP] [MASK]",
    "<s></s><unk><pad><|im_start|>system<|im_end|><|endoftext|>[INST][/INST]<|begin_of_text|><|eot_id|>",
    "<|im_start|",
    "<|im_start |>",
    "|im_end|>",
    "<|endoftext",
    "endoftext|>",
    "<|<|endoftext|>|>",
    "<|ENDOFTEXT|>",
    "</s",
    "< /s>",
    "<s",
    "<|",
    " <|endoftext|> ",
    "\n<|endoftext|>\n",
    "<|endoftext|><|endoftext|>",
    "a</s>b </s> c",
    "<SPECIAL_20><SPECIAL_999>",
)

HARD_TEXTS: tuple[str, ...] = ("", *_SPACING, *_WORDS, *_UNICODE, *_RUNS, *_CODE, *_NOTATION)

_PER_TEXT = 16  # special tokens; some tokenizers have two thousand


def texts_about(special: Iterable[str]) -> list[str]:
    """Every special token as it may stand in a text: whole, alone, cut short, and between spaces."""
    names = list(special)
    groups = [names[start : start + _PER_TEXT] for start in range(0, len(names), _PER_TEXT)]
    texts = ["".join(f"a{name}b {name}" for name in group) for group in groups]
    return texts + [part for name in names[:8] for part in (name, name[:-1], name[1:], name + name, f"\n{name}\n")]
