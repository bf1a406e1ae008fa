"""From the HTML and Markdown of specifications to plain sentences."""

from __future__ import annotations

import functools
import re
from html.parser import HTMLParser

_BLOCKS = frozenset(
    {"p", "note", "important", "div", "dl", "dd", "dt", "ul", "ol", "table", "tr", "h1", "h2", "h3", "pre"}
)


class _PlainText(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "li":
            self.parts.append("\n- ")
        elif tag == "code":
            self.parts.append("`")
        elif tag == "br" or (tag in _BLOCKS and not self._after_bullet()):
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "code":
            self.parts.append("`")
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        self.parts.append(re.sub(r"\s+", " ", data))

    def _after_bullet(self) -> bool:
        return "".join(self.parts[-2:]).rstrip(" ").endswith("\n-")


@functools.lru_cache(maxsize=4096)  # shapes share their documentation
def plain(html: str) -> str:
    """HTML as plain text: one line a paragraph, `- ` before list items, backquotes around code."""
    if "<" not in html and "&" not in html:
        return html.strip()
    parser = _PlainText()
    parser.feed(html)
    parser.close()
    lines = (re.sub(r"[ \t]+", " ", line).strip() for line in "".join(parser.parts).split("\n"))
    text = "\n".join(line for line in lines if line and line != "-")
    return re.sub(r"` +([.,;:)])", r"`\1", text)


def one_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters: whole sentences where one ends in time, else whole words and `...`."""
    if len(text) <= limit:
        return text
    head = text[: limit + 1]
    ends = [match.end() for match in re.finditer(r"[.!?]['\"`)]?(?=\s)", head)]
    # "e.g." and "i.e." end no sentence.
    ends = [end for end in ends if not re.search(r"\b(?:e\.g|i\.e|etc|vs)\.$", head[:end])]
    if ends and ends[-1] > limit // 4:
        return head[: ends[-1]].rstrip()
    cut = text[: limit - 3]
    if " " in cut and not text[limit - 3].isspace():  # inside a word
        cut = cut.rsplit(None, 1)[0]
    return cut.rstrip(" ,;:") + "..."


def first_sentence(text: str, limit: int) -> str:
    """The first sentence of the first paragraph, at most `limit` characters."""
    line = one_line(text.strip().partition("\n")[0])
    match = re.search(r"(?<!e\.g)(?<!i\.e)\.(?=\s+[A-Z`])", line)
    return shorten(line[: match.end()] if match else line, limit)
