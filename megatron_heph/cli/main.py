"""`heph`: finds the command, parses its arguments, and turns errors into messages and exit codes."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from types import ModuleType

from megatron_heph import __version__
from megatron_heph.errors import HephError

# command -> what it does.  A command is the module of its name in this package, with
# `EXAMPLE: str`, `add_arguments(parser)` and `run(args) -> int`; only the one that is asked for is imported.
COMMANDS = {
    "forge": "make a corpus of documents from packages and specifications",
    "tokenize": "turn documents into memory-mapped .bin/.idx",
    "inspect": "look into a corpus, a tokenized source or a run",
    "convert": "bring a base model in, or take a trained one out",
    "plan": "say what a recipe would do, before it does it",
    "train": "continue the pretraining of a model by a recipe",
    "trace": "run one step of a run again, and name the documents behind its loss",
    "eval": "measure a model",
    "report": "write a run's report.html",
    "bench": "measure ours against others on this machine",
}


def _load(command: str) -> ModuleType:
    name = "eval_" if command == "eval" else command
    return importlib.import_module(f"megatron_heph.cli.{name}")


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="heph",
        usage="heph COMMAND ...",
        description=f"Continual pretraining on agent corpora.\n\ncommands:\n{listing}",
        epilog="`heph COMMAND --help` has each command's options and an example.\n"
        "exit codes: 0 done, 2 wrong input or recipe, 3 refused by a safety check, 75 stopped and resumable",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"heph {__version__}")
    parser.add_argument("command", choices=sorted(COMMANDS), metavar="COMMAND", help=argparse.SUPPRESS)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    parser = _parser()
    if not arguments:
        parser.print_help()
        return 2
    command = parser.parse_args(arguments[:1]).command
    module = _load(command)
    sub = argparse.ArgumentParser(
        prog=f"heph {command}",
        description=COMMANDS[command][0].upper() + COMMANDS[command][1:] + ".",
        epilog=f"example:\n  {module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(sub)
    try:
        code = int(module.run(sub.parse_args(arguments[1:])))
        sys.stdout.flush()
        return code
    except HephError as error:
        print(f"heph {command}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `heph inspect ... | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(f"heph {command}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
