"""Byte strings and their ids, out of the files that hold ranks: tiktoken's, Mistral's, Megatron-LM's."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from megatron_heph.errors import InputError
from megatron_heph.formats.tiktoken_schemes import SCHEMES, Scheme
from megatron_heph.formats.tokenizer import TokenizerFile


def read_ranks(file: TokenizerFile, scheme: Scheme) -> dict[bytes, int]:
    """The byte strings that a scheme uses, in the order of their ranks, and their ids.

    Raises InputError if the file is damaged, or is not of the scheme.
    """
    try:
        stored = _of_lines(file.data) if file.kind == "tiktoken" else _of_rows(_rows(file))
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise InputError(f"{file.path} is damaged: {error}. Copy the tokenizer again.") from error
    if len(stored) < scheme.ranks or (scheme.exact and len(stored) > scheme.ranks):
        fitting = [name for name, make in SCHEMES.items() if make().ranks == len(stored)]
        raise InputError(
            f"{file.path} holds {len(stored):,} ranks, and the scheme {scheme.name!r} is for "
            f"{scheme.ranks:,}: it is another tokenizer's. "
            + (f"--scheme {fitting[0]} has that many." if fitting else "Give another --scheme or file.")
        )
    return {token: rank + scheme.shift for rank, token in enumerate(stored[: scheme.ranks])}


def _rows(file: TokenizerFile) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = file.table["vocab"] if file.kind == "tekken" else file.table
    return rows


def _of_lines(data: bytes) -> list[bytes]:
    words = data.split()
    _check_ranks(list(map(int, words[1::2])))
    return list(map(base64.b64decode, words[::2]))


def _of_rows(rows: list[dict[str, Any]]) -> list[bytes]:
    _check_ranks([row["rank"] for row in rows])
    return [base64.b64decode(row["token_bytes"]) for row in rows]


def _check_ranks(ranks: list[int]) -> None:
    for index, rank in enumerate(ranks):
        if rank != index:
            raise ValueError(f"entry {index} has the rank {rank}, and ranks are 0, 1, 2, ...")
