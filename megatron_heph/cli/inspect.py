"""`heph inspect`: looks into a corpus, a tokenized source or a run; each has a module of its own."""

from __future__ import annotations

import argparse
import importlib
import importlib.util

EXAMPLE = "heph inspect corpus corpora/quickstart --show 2"

# what is inspected -> help; the module is inspect_<name> in this package, with `add_arguments` and `run`.
_MODES = {
    "corpus": "documents, characters, providers and licences of a forged corpus",
    "data": "tokens, documents and checksums of a tokenized source",
    "run": "steps, losses and checkpoints of a run, and the documents of a step",
    "diff": "what a changed mixture means, in tokens and epochs",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares one sub-command for each mode whose module there is."""
    modes = parser.add_subparsers(dest="mode", required=True, metavar="{" + ",".join(_MODES) + "}")
    for mode, text in _MODES.items():
        name = f"megatron_heph.cli.inspect_{mode}"
        if importlib.util.find_spec(name) is None:
            continue
        module = importlib.import_module(name)
        sub = modes.add_parser(mode, help=text, description=text[0].upper() + text[1:] + ".")
        module.add_arguments(sub)
        sub.set_defaults(inspect=module.run)


def run(args: argparse.Namespace) -> int:
    """Runs the mode that was asked for."""
    return int(args.inspect(args))
