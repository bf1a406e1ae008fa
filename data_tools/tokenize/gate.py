"""The exactness gate: an engine proves on hard texts that it does what its tokenizer does.

An engine that is fast and wrong is worse than none: its ids would teach the model another language.  The
tokenizer's own library is the reference.  It must agree with itself; a faster engine must agree with it,
id by id, on the hard texts, on the tokenizer's special tokens and on a sample of the input.  Where one
does not, the next is tried, and the report says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_tools.tokenize.columns import Spans, Texts, Tokens
from data_tools.tokenize.engines.base import Engine
from data_tools.tokenize.engines.load import Loaded
from data_tools.tokenize.hard_texts import HARD_TEXTS, texts_about
from megatron_heph.errors import RefusedError
from megatron_heph.formats.tokenizer import no_collection


@dataclass(frozen=True, slots=True)
class GateReport:
    """What the gate saw.

    Attributes:
        engine: the name of the one that passed.
        texts: how many were checked.
        warnings: one line for each engine that was not exact, or that could not be loaded: to be shown.
    """

    engine: str
    texts: int
    warnings: tuple[str, ...]


class _InexactError(Exception):
    """An engine is not exact; its text says where."""


@no_collection()
def choose_engine(loaded: Loaded, sample: Texts) -> tuple[Engine, GateReport]:
    """The fastest engine that is exact on the hard texts and on `sample`, texts of the input.

    Raises RefusedError if the reference contradicts itself, or if the engine that the user named is not
    exact: it names the text, the position and both ids.
    """
    reference = loaded.reference
    texts = Texts.of([*HARD_TEXTS, *texts_about(reference.special)])
    expected, of_sample = _reference_ids(loaded, texts), _reference_ids(loaded, sample)
    warnings = []
    for name in loaded.candidates:
        engine = loaded.build(name)
        if engine is None:
            continue
        try:
            _consistent(engine, texts, loaded, expected)
            if engine is not reference:
                _same(engine.encode(sample), of_sample, sample, reference.name)
        except _InexactError as error:
            if engine is reference:
                raise RefusedError(_contradiction(loaded, error)) from error
            warnings.append(_verdict(engine, loaded, error))
            continue
        notes = loaded.notes if engine is reference else []      # why it is not a faster one
        report = GateReport(engine.name, len(texts) + len(sample), (*notes, *warnings))
        return loaded.with_template(engine), report
    raise RefusedError(warnings[0])


def _reference_ids(loaded: Loaded, texts: Texts) -> Tokens:
    """What all others must give; whether the reference gives it however it is asked, `_consistent` sees."""
    tokens = loaded.reference.encode(texts)
    _check_no_end(tokens, texts, loaded)
    return tokens


def _contradiction(loaded: Loaded, error: _InexactError) -> str:
    reference = loaded.reference
    return (
        f"The library {reference.name} {reference.version} contradicts itself with the tokenizer {loaded.path}: "
        f"{error}. Its ids cannot be trusted; use another version of {reference.name}, and report the tokenizer."
    )


def _check_no_end(tokens: Tokens, texts: Texts, loaded: Loaded) -> None:
    """Under `text` no text ends a document; a model that has the token among its pieces may spell it."""
    if loaded.special_tokens != "text" or loaded.eod_id not in tokens.ids:
        return
    index = next(index for index, ids in _documents(tokens) if loaded.eod_id in ids)
    raise RefusedError(
        f"The tokenizer {loaded.path} gives its end-of-document token {loaded.eod_token!r} out of ordinary text "
        f"({_shown(texts, index)}), also under --special-tokens text, as its model has it among its pieces: a page "
        f"could end a document. Name another token with --eod, or use --special-tokens parse if the text may."
    )


def _verdict(engine: Engine, loaded: Loaded, error: _InexactError) -> str:
    text = f"The engine {engine.name} {engine.version} is not exact with the tokenizer {loaded.path}: {error}."
    if loaded.required:
        return (
            f"{text} Its ids would mean other words to the model: use --engine auto, or --engine "
            f"{loaded.reference.name}, the tokenizer's own library."
        )
    return f"{text} It is not used; the next in {', '.join(loaded.candidates)} is. Please report the tokenizer."


def _consistent(engine: Engine, texts: Texts, loaded: Loaded, expected: Tokens) -> None:
    """Raises _InexactError unless the ids are as `expected`, the same alone and with spans, and in the vocabulary."""
    try:
        tokens = engine.encode(texts)
        _same(tokens, expected, texts, loaded.reference.name)
        with_spans, spans = engine.encode_with_spans(texts)
        alone = [engine.encode(texts.take([index])).ids.astype(np.int32) for index in range(len(texts))]
    except _InexactError:
        raise
    except Exception as error:     # of any library: the next engine may do it
        raise _InexactError(f"it fails with {type(error).__name__} ({error})") from error
    lengths = np.array([len(ids) for ids in alone], np.int64)
    _same(Tokens(np.concatenate(alone), lengths), tokens, texts, "itself in a batch")
    _same(with_spans, tokens, texts, "itself without spans")
    _check_spans(spans, tokens, texts)
    for index, ids in _documents(tokens):
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < engine.vocab_size:
            raise _InexactError(
                f"{_shown(texts, index)} gives the ids {ids.min()} to {ids.max()} in a vocabulary of "
                f"{engine.vocab_size}"
            )


def _check_spans(spans: Spans, tokens: Tokens, texts: Texts) -> None:
    if len(spans) != len(tokens.ids):
        raise _InexactError(f"it gives {len(spans)} spans for {len(tokens.ids)} tokens")
    sizes = np.diff(texts.offsets)
    for index, own in enumerate(np.split(spans, np.cumsum(tokens.lengths)[:-1])):
        outside = len(own) and (own.min() < 0 or own.max() > sizes[index] or (own[:, 0] > own[:, 1]).any())
        if outside or (np.diff(own[:, 0]) < 0).any():
            raise _InexactError(f"{_shown(texts, index)} gives spans outside of its bytes, or out of order")


def _same(found: Tokens, expected: Tokens, texts: Texts, whose: str) -> None:
    """Raises _InexactError at the first difference in the first text that has one."""
    if np.array_equal(found.lengths, expected.lengths) and np.array_equal(found.ids, expected.ids):
        return
    for (index, own), (_, right) in zip(_documents(found), _documents(expected), strict=True):
        if np.array_equal(own, right):
            continue
        shorter = min(len(own), len(right))
        differ = np.flatnonzero(own[:shorter] != right[:shorter])
        at = int(differ[0]) if len(differ) else shorter
        raise _InexactError(
            f"{_shown(texts, index)}, token {at}: it gives {_id(own, at)}, and {whose} {_id(right, at)}"
        )


def _documents(tokens: Tokens) -> list[tuple[int, np.ndarray]]:
    return list(enumerate(np.split(tokens.ids, np.cumsum(tokens.lengths)[:-1])))


def _id(ids: np.ndarray, at: int) -> str:
    return str(int(ids[at])) if at < len(ids) else "no more"


def _shown(texts: Texts, index: int) -> str:
    return f"text {index} ({texts.text_bytes(index)[:48].decode('utf-8', 'replace')!r})"
