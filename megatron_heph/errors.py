"""The errors that a user can cause, and the exit codes that programs may rely on.

A message is one paragraph that says what is wrong, where, what was found, what would be right,
and which key or file to change.  `assert` stays for our own invariants.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HephError(Exception):
    """Base of every error that ends a command with a message instead of a traceback."""

    exit_code = 1


class InputError(HephError):
    """Wrong input or recipe: exit code 2."""

    exit_code = 2


class RefusedError(HephError):
    """A safety check refused to go on: exit code 3."""

    exit_code = 3


class StoppedError(HephError):
    """Stopped on request, and resumable: exit code 75 (BSD's EX_TEMPFAIL)."""

    exit_code = 75


def nearest(word: str, candidates: Iterable[str]) -> str:
    """A hint that names the candidate closest to `word`, or lists all of them.

    Returns a sentence fragment such as ``did you mean 'tokens'?``.
    """
    names = sorted(candidates)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known here: {', '.join(names)}." if names else "nothing is known here."
