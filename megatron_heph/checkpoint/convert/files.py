"""Small file work: hashes, JSON, and folders that appear only when they are complete."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

from megatron_heph import __version__
from megatron_heph.errors import InputError

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def no_progress(what: str, done: int, total: int) -> None:
    """Says nothing: the default of every `progress` argument."""


def require(module: str) -> ModuleType:
    """Imports a package of the `convert` extra, with downloads from model hubs switched off.

    Raises InputError that names the extra if the package is absent.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"The package {error.name} is needed to convert models and is not installed; "
            f'run `pip install "megatron-heph[convert]"`.'
        ) from error


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object; InputError names the file."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(table, dict):
        raise InputError(f"{path} holds {type(table).__name__}, but it should be one JSON object.")
    return table


def write_json(path: Path, table: dict[str, Any]) -> None:
    """Writes a JSON object for people and programs."""
    path.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def new_folder(destination: Path) -> Iterator[Path]:
    """Gives `destination.partial` to fill, and renames it when the block ends well.

    After an error the partial folder stays, for a look; the next try starts it anew.
    """
    partial = destination.with_name(destination.name + ".partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    yield partial
    partial.replace(destination)


def versions() -> dict[str, str]:
    """The versions of everything that a conversion's numbers depend on."""
    found = {"megatron-heph": __version__}
    for name in ("megatron-core", "torch", "transformers", "tokenizers", "gguf"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
