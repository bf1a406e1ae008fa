"""Which file of a tokenizer decides the ids, and a hash of what in it does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from megatron_heph.errors import InputError, RefusedError, nearest
from megatron_heph.formats.manifest import Manifest

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model")     # the first one that is there

# Keys of tokenizer.json that never change the ids of a bare document.  Documents are encoded without
# truncation, padding or the post-processor's template (its bos and eos), and ended by one eod of our own;
# the decoder acts on the way back alone.
_COSMETIC = ("version", "truncation", "padding", "post_processor", "decoder")


def find_tokenizer_file(path: Path) -> Path:
    """The tokenizer.json or tokenizer.model of a folder, or the file itself; InputError if there is none."""
    if path.is_dir():
        for name in TOKENIZER_FILES:
            if (path / name).is_file():
                return path / name
        raise InputError(
            f"The folder {path} has neither a tokenizer.json nor a tokenizer.model: give --tokenizer the "
            f"folder of a model, or one of these files."
        )
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path()
        near = nearest(path.name, [entry.name for entry in folder.iterdir()])
        raise InputError(f"There is no tokenizer at {path}; {near}")
    if path.suffix not in (".json", ".model"):
        raise InputError(
            f"{path} is no tokenizer that this program reads: it reads tokenizer.json (tokenizers) and "
            f".model (sentencepiece)."
        )
    return path


def tokenizer_hash(path: Path) -> str:
    """The sha256 (hex) of what decides the ids of a tokenizer, given by its folder or file.

    Of a tokenizer.json that is its canonical JSON: keys sorted, `truncation`, `padding`, `post_processor`,
    `decoder` and `version` dropped, and the forms made one that different versions of `tokenizers` write
    for the same thing (merges as pairs, absent model options).  Of a sentencepiece model it is the file.

    Raises InputError if there is no tokenizer or it is not readable.
    """
    file = find_tokenizer_file(path)
    if file.suffix == ".model":
        return hashlib.sha256(file.read_bytes()).hexdigest()
    canonical = json.dumps(_canonical(read_tokenizer_json(file)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_tokenizer_json(file: Path) -> dict[str, Any]:
    """Reads a tokenizer.json; InputError if it is not one."""
    try:
        table = json.loads(file.read_bytes())
    except ValueError as error:
        raise InputError(f"{file} is not JSON ({error}): copy the tokenizer again.") from error
    if not isinstance(table, dict) or not isinstance(table.get("model"), dict):
        raise InputError(
            f"{file} is not a tokenizer: it lacks the key 'model', which a tokenizer.json has. Give the "
            f"folder that holds tokenizer.json, or that file."
        )
    return table


def _canonical(table: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in table.items() if key not in _COSMETIC}
    # An option that is absent, null, false or "" is off in every model type; later versions write more.
    model = {key: value for key, value in table["model"].items() if not _is_off(value)}
    merges = model.get("merges")
    if isinstance(merges, list):
        model["merges"] = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    kept["model"] = model
    kept["added_tokens"] = sorted(table.get("added_tokens") or [], key=lambda token: token["id"])
    return kept


def _is_off(value: Any) -> bool:
    return value is None or value is False or value == ""     # not 0: an id may be 0


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
