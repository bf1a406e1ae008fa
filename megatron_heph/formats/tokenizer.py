"""Which file of a tokenizer decides the ids, what kind it is, and a hash of what in it does."""

from __future__ import annotations

import gc
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_heph.errors import InputError, RefusedError, nearest
from megatron_heph.formats.manifest import Manifest
from megatron_heph.formats.table_hash import hash_table
from megatron_heph.formats.tiktoken_schemes import Scheme, megatron_scheme, scheme_of_ranks, tekken_scheme

# In a folder the first one that is there; a tokenizer.json is what most programs load.
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tekken.json", "tekken*.json", "*.tiktoken")

_RANK_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2} [0-9]+\r?\n")


@dataclass(frozen=True, slots=True)
class TokenizerFile:
    """A tokenizer as it lies on the disk.

    Attributes:
        kind: "huggingface" (tokenizer.json), "sentencepiece" (.model), "tiktoken" (lines of ranks),
            "tekken" (Mistral's JSON), or "megatron" (the JSON list of Megatron-LM's TikTokenizer).
        data: all bytes of the file.
        table: the parsed JSON; None where it is none.
    """

    path: Path
    kind: str
    data: bytes
    table: Any = None

    def scheme(self, asked: str | Scheme | None = None) -> Scheme | None:
        """How ranks become ids; None for kinds that carry it all themselves.

        `asked` is a name of `SCHEMES`, or a scheme of one's own (a "tekken" file carries its own).
        Raises InputError if it is not known.
        """
        if isinstance(asked, Scheme):
            return asked
        if self.kind == "tiktoken":
            return scheme_of_ranks(self.data, asked, self.path)
        if asked is not None:
            raise InputError(
                f"--scheme is {asked!r}, but {self.path} is a {self.kind} tokenizer, which says itself how it "
                f"cuts text: leave --scheme out (it is for tiktoken's files of ranks)."
            )
        if self.kind == "tekken":
            return tekken_scheme(self.table, self.path)
        return megatron_scheme() if self.kind == "megatron" else None

    def hash(self, asked: str | Scheme | None = None) -> str:
        """The sha256 (hex) of what decides the ids; see `tokenizer_hash`."""
        if self.kind == "huggingface":
            return hash_table(self.table)
        content = hashlib.sha256(self.data)
        if self.kind in ("tiktoken", "megatron"):
            scheme = self.scheme(asked)
            assert scheme is not None, "files of ranks have a scheme"
            content.update(scheme.digest().encode())
        return content.hexdigest()


def find_tokenizer_file(path: Path) -> Path:
    """The file of a folder that decides the ids, or the file itself; InputError if there is none."""
    if path.is_dir():
        for pattern in TOKENIZER_FILES:
            found = sorted(file for file in path.glob(pattern) if file.is_file())
            if len(found) > 1:
                raise InputError(
                    f"The folder {path} has several tokenizers: {', '.join(file.name for file in found)}. Give "
                    f"--tokenizer one of these files."
                )
            if found:
                return found[0]
        raise InputError(
            f"The folder {path} has neither a tokenizer.json nor a tokenizer.model, nor a tekken.json or "
            f".tiktoken file: give --tokenizer the folder of a model, or one of these files."
        )
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path()
        near = nearest(path.name, [entry.name for entry in folder.iterdir()])
        raise InputError(f"There is no tokenizer at {path}; {near}")
    # Mistral's sentencepiece models are named tokenizer.model.v1, ...model.v3
    if path.suffix not in (".json", ".tiktoken") and ".model" not in path.suffixes:
        raise InputError(
            f"{path} is no tokenizer that this program reads: it reads tokenizer.json (tokenizers), .model "
            f"(sentencepiece or tiktoken), tekken.json, and .tiktoken."
        )
    return path


def read_tokenizer_file(path: Path) -> TokenizerFile:
    """Reads the tokenizer of a folder or file, and finds out what kind it is by what it holds.

    Raises InputError if there is none or it is not readable.
    """
    file = find_tokenizer_file(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from error
    if file.suffix != ".json":
        return TokenizerFile(file, "tiktoken" if _RANK_LINE.match(data) else "sentencepiece", data)
    table = _parse_json(data, file)
    if isinstance(table, list) and table and isinstance(table[0], dict) and "token_bytes" in table[0]:
        return TokenizerFile(file, "megatron", data, table)
    if isinstance(table, dict) and isinstance(table.get("vocab"), list) and "config" in table:
        return TokenizerFile(file, "tekken", data, table)
    return TokenizerFile(file, "huggingface", data, _checked(table, file))


def tokenizer_hash(path: Path, scheme: str | Scheme | None = None) -> str:
    """The sha256 (hex) of what decides the ids of a tokenizer, given by its folder or file.

    Of a tokenizer.json that is its content without `truncation`, `padding`, `post_processor`, `decoder`
    and `version`, whatever the order of its keys, and with the forms made one that different versions of
    `tokenizers` write for the same thing (merges as pairs, absent model options).  Of a sentencepiece
    model or a Tekken file it is the file; of a file of ranks the file and its scheme.

    Raises InputError if there is no tokenizer or it is not readable.
    """
    return read_tokenizer_file(path).hash(scheme)


def _parse_json(data: bytes, file: Path) -> Any:
    try:
        with no_collection():
            return json.loads(data)
    except ValueError as error:
        raise InputError(f"{file} is not JSON ({error}): copy the tokenizer again.") from error


def _checked(table: Any, file: Path) -> dict[str, Any]:
    if not isinstance(table, dict) or not isinstance(table.get("model"), dict):
        raise InputError(
            f"{file} is not a tokenizer: it lacks the key 'model', which a tokenizer.json has. Give the "
            f"folder that holds tokenizer.json, or that file."
        )
    return table


@contextmanager
def no_collection() -> Iterator[None]:
    """No garbage collection meanwhile: a tokenizer is hundreds of thousands of lists, and none is a cycle.

    Looking for cycles among them is a third of the time of reading it.  Also a decorator.
    """
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def check_same_tokenizer(source: Manifest, base_hash: str, *, prefix: Path | str, base: Path | str) -> None:
    """Refuses a tokenized source whose ids are not those of the base model.

    `prefix` and `base` name the source and the model folder for the message.
    Raises RefusedError (exit code 3) that names both hashes and the command that tokenizes again.
    """
    if source.tokenizer.hash == base_hash:
        return
    files = [file.path for file in source.inputs]
    inputs = " ".join(files[:3]) + (" ..." if len(files) > 3 else "")
    raise RefusedError(
        f"The source {prefix} was tokenized with {source.tokenizer.name!r} (hash "
        f"{source.tokenizer.hash[:16]}...), and the base {base} has a tokenizer with the hash "
        f"{base_hash[:16]}...: its ids would mean other words. Tokenize it again: `heph tokenize {inputs} "
        f"--tokenizer {base} -o {prefix}` (with another -o to keep both)."
    )
