"""Lets Megatron-LM's data tools start under Python 3.11; every interpreter whose PYTHONPATH has this folder runs it.

They import `typing.override`, which came with Python 3.12.  It marks methods for type checkers and does
nothing when the program runs, so neither does this.
"""

import typing

if not hasattr(typing, "override"):
    typing.override = lambda method: method  # type: ignore[attr-defined]
