"""A hash of a tokenizer.json that is equal exactly where the ids are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

# Keys of tokenizer.json that never change the ids of a bare document.  Documents are encoded without
# truncation, padding or the post-processor's template (its bos and eos), and ended by one eod of our own;
# the decoder acts on the way back alone.
_COSMETIC = ("version", "truncation", "padding", "post_processor", "decoder")


def hash_table(table: dict[str, Any]) -> str:
    """The sha256 (hex) of what decides the ids of a bare document.

    Vocabulary and merges are hashed as runs of strings: as canonical JSON they take five times as long.
    """
    rest = {key: value for key, value in table.items() if key not in _COSMETIC}
    # An option that is absent, null, false or "" is off in every model type; later versions write more.
    model = {key: value for key, value in table["model"].items() if not _is_off(value)}
    digest = hashlib.sha256()
    if isinstance(model.get("vocab"), dict):
        _add_vocabulary(digest, model.pop("vocab"))
    if isinstance(model.get("merges"), list):
        _add_merges(digest, model.pop("merges"))
    rest["model"] = model
    rest["added_tokens"] = sorted(table.get("added_tokens") or [], key=lambda token: token["id"])
    digest.update(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode())
    return digest.hexdigest()


def _add_vocabulary(digest: Any, vocabulary: dict[str, int]) -> None:
    tokens: Sequence[str] = list(vocabulary)
    ids = np.fromiter(vocabulary.values(), np.int64, len(tokens))
    if (np.diff(ids) <= 0).any():     # not in the order of ids, or two names of one id: by id, then by name
        tokens = sorted(tokens, key=lambda token: (vocabulary[token], token))
        ids = np.sort(ids)
    digest.update(ids.tobytes())
    _add_strings(digest, tokens)


def _add_merges(digest: Any, merges: list[Any]) -> None:
    pairs = [merge.split(" ") for merge in merges] if merges and isinstance(merges[0], str) else merges
    _add_strings(digest, list(chain.from_iterable(pairs)))


def _add_strings(digest: Any, strings: Sequence[str]) -> None:
    """Their number, their lengths and their characters: no two lists give the same bytes."""
    digest.update(len(strings).to_bytes(8, "little"))
    digest.update(np.fromiter(map(len, strings), np.int64, len(strings)).tobytes())
    digest.update("".join(strings).encode("utf-8", "surrogatepass"))


def _is_off(value: Any) -> bool:
    return value is None or value is False or value == ""     # not 0: an id may be 0
