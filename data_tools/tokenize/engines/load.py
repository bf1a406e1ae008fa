"""Loads a tokenizer: its own library as the reference, and what may be faster."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from data_tools.tokenize.engines.base import POLICIES, Engine, UnsupportedTokenizerError
from data_tools.tokenize.engines.ends import check_named_tokens, choose_eod, eos_of_config, template_of
from data_tools.tokenize.engines.gigatoken_engine import GigatokenEngine
from data_tools.tokenize.engines.huggingface import HuggingFaceEngine, largest_id
from data_tools.tokenize.engines.lazy import LazyEngine
from data_tools.tokenize.engines.sentencepiece_engine import SentencePieceEngine
from data_tools.tokenize.engines.template import TemplateEngine
from data_tools.tokenize.engines.tiktoken_engine import TiktokenEngine
from data_tools.tokenize.engines.tiktoken_files import read_ranks
from megatron_heph.errors import InputError, nearest
from megatron_heph.formats.manifest import TokenizerInfo
from megatron_heph.formats.tiktoken_schemes import Scheme
from megatron_heph.formats.tokenizer import TokenizerFile, no_collection, read_tokenizer_file

ENGINES = ("auto", "native", "gigatoken", "tokenizers", "sentencepiece", "tiktoken")
WITH_TEMPLATE = "+template"
_GIGATOKEN_NOTE = "gigatoken is not installed: pip install 'megatron-heph[tokenize]' is several times faster here."


@dataclass(slots=True)
class Loaded:
    """A tokenizer, and the engines that may do it.

    Attributes:
        reference: the tokenizer's own library.
        candidates: names of the engines to try, the fastest first; the reference is the last of them,
            unless one engine was asked for.
        required: the user named the engine: no other may take its place.
        eod_id, eod_token: what ends a document.
        hash: of what decides the ids.
        notes: one line each, for the user: why a faster engine is not among the candidates.
        template: ids to put before and after each document; None under the policies without one.
    """

    path: Path
    special_tokens: str
    reference: Engine
    candidates: tuple[str, ...]
    required: bool
    eod_id: int
    eod_token: str
    hash: str
    notes: list[str] = field(default_factory=list)
    template: tuple[list[int], list[int]] | None = None
    _makers: dict[str, Callable[[], Engine]] = field(default_factory=dict)
    _made: dict[str, Engine | None] = field(default_factory=dict)

    def build(self, name: str) -> Engine | None:
        """The engine of that name; None, and a note, if it lacks what this tokenizer needs.

        Raises InputError instead of None if the user asked for that engine.
        """
        if name == self.reference.name:
            return self.reference
        if name not in self._made:
            try:
                self._made[name] = self._makers[name]()
            except UnsupportedTokenizerError as error:
                if self.required:
                    raise InputError(
                        f"--engine {name} cannot do the tokenizer {self.path}: {error}. Use --engine auto, or "
                        f"--engine {self.reference.name}, its own library."
                    ) from error
                self._made[name] = None
                self.notes.append(f"The engine {name} cannot do {self.path.name}: {error}.")
        return self._made[name]

    @property
    def engine(self) -> Engine:
        """The fastest engine that loads, with the template; the gate may yet choose another."""
        return self.with_template(next(filter(None, map(self.build, self.candidates))))

    def with_template(self, engine: Engine) -> Engine:
        """The engine as documents need it: under `parse+template` it puts the tokenizer's template around them."""
        return engine if not self.template or not any(self.template) else TemplateEngine(engine, *self.template)


@no_collection()
def load_engine(
    tokenizer: Path, *, special_tokens: str = "text", eod: str | None = None, engine: str = "auto",
    scheme: str | Scheme | None = None,
) -> Loaded:  # fmt: skip
    """Loads the tokenizer of a folder or file.

    `eod` names the special token that ends documents.  Without it that is `<|endoftext|>` where it is a
    special token (also of chat models, whose eos ends a turn and not a document), and else the eos token.
    `engine` is one of `ENGINES`; `scheme` says how a file of ranks is read (`SCHEMES`).

    Raises InputError if the tokenizer, its token or the engine cannot be used.
    """
    if special_tokens not in POLICIES:
        raise InputError(f"--special-tokens is {special_tokens!r}; it is one of {', '.join(POLICIES)}.")
    if engine not in ENGINES:
        raise InputError(f"--engine is {engine!r}; {nearest(engine, ENGINES)}")
    file = read_tokenizer_file(tokenizer)
    resolved = file.scheme(scheme)
    reference, makers, eos = _engines(file, resolved, special_tokens.removesuffix(WITH_TEMPLATE))
    notes = []
    if "gigatoken" in makers and importlib.util.find_spec("gigatoken") is None:
        if engine == "gigatoken":
            raise InputError(
                f"--engine is gigatoken, which is not installed: pip install 'megatron-heph[tokenize]', or "
                f"use --engine {reference.name}."
            )
        del makers["gigatoken"]
        notes.append(_GIGATOKEN_NOTE)
    names = (*makers, reference.name)
    if engine != "auto" and engine not in names:
        raise InputError(
            f"--engine is {engine}, but {file.path} is a {file.kind} tokenizer: for these there are "
            f"{', '.join(names)}. Use --engine auto."
        )
    if special_tokens != "text":
        check_named_tokens(reference, file.path)
    template = template_of(reference, file.path) if special_tokens.endswith(WITH_TEMPLATE) else None
    token = choose_eod(reference.special, eod, eos, file.path)
    return Loaded(
        path=tokenizer, special_tokens=special_tokens, reference=reference,
        candidates=names if engine == "auto" else (engine,), required=engine != "auto",
        eod_id=reference.special[token], eod_token=token, hash=file.hash(resolved),
        notes=notes, template=template, _makers=makers,
    )  # fmt: skip


def tokenizer_info(loaded: Loaded) -> TokenizerInfo:
    """What the manifest says of a loaded tokenizer."""
    path = loaded.path.resolve()
    return TokenizerInfo(
        hash=loaded.hash,
        name=path.name if path.is_dir() else f"{path.parent.name}/{path.name}",
        vocab_size=loaded.reference.vocab_size,
        eod_id=loaded.eod_id,
        eod_token=loaded.eod_token,
        special_tokens=loaded.special_tokens,
    )


def _engines(
    file: TokenizerFile, scheme: Scheme | None, special_tokens: str
) -> tuple[Engine, dict[str, Callable[[], Engine]], str | None]:
    """The reference, how to make the faster ones (fastest first), and the eos token that the file names."""
    makers: dict[str, Callable[[], Engine]]
    if file.kind == "sentencepiece":
        spm = SentencePieceEngine(file.path, special_tokens)
        return spm, {"gigatoken": lambda: GigatokenEngine.from_sentencepiece(file, spm)}, spm.eos
    if scheme is None:
        path, largest = file.path, largest_id(file.table)
        hf = HuggingFaceEngine(path, largest, special_tokens)
        # What is made again must not hold on to the parsed file, which is large.
        lazy = LazyEngine(hf, partial(HuggingFaceEngine, path, largest, special_tokens))
        makers = {
            "native": lambda: _native().from_tokenizer_json(file.table, special_tokens, lazy),
            "gigatoken": lambda: GigatokenEngine.from_tokenizer_json(file, special_tokens, hf),
        }
        return hf, makers, eos_of_config(file.path)
    ranks, special = read_ranks(file, scheme), dict(scheme.special)
    tik = TiktokenEngine(ranks, scheme, special_tokens)
    lazy = LazyEngine(tik, partial(_tiktoken_again, file.path, scheme, special_tokens))
    make = lambda: _native().from_tiktoken(ranks, scheme.pattern, special, special_tokens, lazy)  # noqa: E731
    return tik, {"native": make}, scheme.eod


def _tiktoken_again(path: Path, scheme: Scheme, special_tokens: str) -> Engine:
    return TiktokenEngine(read_ranks(read_tokenizer_file(path), scheme), scheme, special_tokens)


def _native() -> Any:
    from data_tools.tokenize.engines.native import NativeEngine

    return NativeEngine
