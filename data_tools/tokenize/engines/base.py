"""What every tokenizer engine does: texts in, token ids out.

Documents are encoded bare: no bos, no template, no truncation.  The end-of-document token is put after
each by the writer.  Special tokens that stand literally in the text follow one policy in every engine:
`text` encodes them as the ordinary characters they are (a scraped page cannot end a document or open a
chat turn), `parse` makes them the token they name; `parse+template` also puts the tokenizer's own template
around each document (a bos, say), as transformers and Megatron-LM do where they are not told otherwise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from data_tools.tokenize.columns import Spans, Texts, Tokens

POLICIES = ("text", "parse", "parse+template")


class UnsupportedTokenizerError(Exception):
    """An engine cannot do this tokenizer exactly; its text says what it lacks.  Another engine may."""


class Engine(ABC):
    """A loaded tokenizer.

    Attributes:
        name: of the library, as in `--engine`.
        version: of the library.
        vocab_size: largest id + 1, added tokens included.
        special: special tokens (those that the policy is about) and their ids.
        in_threads: whether `encode` may run in several threads at once and lets go of the interpreter's
            lock; else parallel work needs processes.
    """

    name: str
    version: str
    vocab_size: int
    special: dict[str, int]
    in_threads: bool = False

    @abstractmethod
    def encode(self, texts: Texts) -> Tokens:
        """The ids of all documents."""

    @abstractmethod
    def encode_with_spans(self, texts: Texts) -> tuple[Tokens, Spans]:
        """As `encode`, with the bytes of its document that each token covers; may be slower.

        Spans of a document ascend; a token that covers part of a character covers all of it, or its
        bytes alone; a token that stands for no byte (a space that the tokenizer adds) has an empty span.
        """

    def rest(self) -> None:  # noqa: B027  (most engines have nothing to give back)
        """Gives back what only proving the engine needed; it can still do all that it could."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens included."""
