"""The types of a tree's leaves: how a number of tokens is written, and what a type is called in a message."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from fractions import Fraction
from pathlib import Path
from typing import Any, NewType, get_args, get_origin

from megatron_heph.errors import InputError

Tokens = NewType("Tokens", int)
"""A number of tokens; a recipe may write it as 50000, "50k", "1.5M" or "103B"."""

_MULTIPLES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}


def parse_tokens(value: object, where: str) -> Tokens:
    """Reads a number of tokens: 50000, "50k", "1.5M", "103B"; raises InputError otherwise."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Tokens(value)
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*([kKmMbBtT]?)", value)):
        number = Fraction(match[1].replace("_", "")) * _MULTIPLES[match[2].lower()]  # 1.001 * 1000 is no float
        if number.denominator == 1:
            return Tokens(int(number))
    raise InputError(f"{where} is {value!r}: a number of tokens is written as 50000, \"50k\", \"1.5M\" or \"103B\".")


def describe_type(kind: Any) -> str:
    """A type of the tree as a person writes it, such as `a whole number` or `one of "auto", "batched"`."""
    if kind is Tokens:
        return "a number of tokens"
    if dataclasses.is_dataclass(kind):
        return "a table of keys"
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe_type(argument) for argument in arguments if argument is not type(None))
    if origin is typing.Literal:
        quoted = ", ".join(f'"{argument}"' for argument in arguments)
        return f"one of {quoted}" if len(arguments) > 1 else quoted
    if origin is tuple and arguments[1:] != (Ellipsis,):
        return f"a list of {len(arguments)}, each {describe_type(arguments[0])}"
    if origin is tuple:
        return f"a list, each {describe_type(arguments[0])}"
    if origin is dict:
        return f"a table of names, each {describe_type(arguments[1])}"
    return _PLAIN[kind]


_PLAIN = {int: "a whole number", float: "a number", bool: "true or false", str: "a string", Path: "a path (a string)"}
