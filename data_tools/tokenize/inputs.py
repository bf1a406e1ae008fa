"""Finding the input files: what they are, how big, and whether they may be cut."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from megatron_heph.errors import InputError, nearest
from megatron_heph.formats.compressed import COMPRESSED

SUFFIXES = (".jsonl", ".jsonl.zst", ".jsonl.gz", ".parquet")
_READ_BYTES = 1 << 20
_LINES = (".jsonl", ".json", ".ndjson")     # taken where a file is named; a folder is searched for SUFFIXES


@dataclass(frozen=True, slots=True)
class Input:
    """A file to read, and the name it has in the manifest."""

    path: Path
    name: str     # relative, or the name alone: a manifest holds no path of one machine
    bytes: int    # on the disk

    @property
    def compressed(self) -> bool:
        """Whether all of it has to be read from its beginning: it is not cut."""
        return self.path.suffix in COMPRESSED

    @property
    def parquet(self) -> bool:
        """Whether it is a table, and not lines."""
        return self.path.suffix == ".parquet"


def find_inputs(arguments: Sequence[str]) -> list[Input]:
    """The files that the arguments name, in their order; a folder or a pattern gives its files sorted.

    A folder is searched with its subfolders for `.jsonl`, `.jsonl.zst`, `.jsonl.gz` and `.parquet`.
    Raises InputError for what is missing, of another kind, or named twice.
    """
    found: dict[Path, Input] = {}
    names: dict[str, Path] = {}
    for argument in arguments:
        for path, name in _expand(argument):
            key = path.resolve()
            if key in found:
                raise InputError(
                    f"{path} is named twice, the second time by {argument!r}: its documents would be "
                    f"trained on twice. Name every file once (epochs belong in the recipe)."
                )
            if name in names:
                raise InputError(
                    f"{path} and {names[name]} would both be {name!r} in the manifest: go to the folder above "
                    f"them and name them from there, or rename one."
                )
            names[name] = path
            found[key] = Input(path, name, path.stat().st_size)
    return list(found.values())


def _expand(argument: str) -> list[tuple[Path, str]]:
    path = Path(argument)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.name.endswith(SUFFIXES) and file.is_file())
        # heldout/ of a corpus folder is never trained on
        files = [file for file in files if "heldout" not in file.relative_to(path).parts]
        if not files:
            raise InputError(
                f"The folder {path} holds no {', '.join(SUFFIXES)}: give the folder of a corpus, or files."
            )
        return [(file, (Path(path.resolve().name) / file.relative_to(path)).as_posix()) for file in files]
    matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207
    paths = [path] if path.is_file() else [Path(match) for match in matches]
    if not paths:
        folder = path.parent if path.parent.is_dir() else Path()
        names = [entry.name for entry in folder.iterdir() if entry.name.endswith(SUFFIXES)]
        raise InputError(f"There is no input {argument}; {nearest(path.name, names)}")
    for file in paths:
        if file.is_dir() or not _is_readable_kind(file):
            raise InputError(
                f"{file} is no input: an input is a folder or a file of {', '.join(SUFFIXES)} "
                f"(or .json with one object a line)."
            )
    return [(file, _portable_name(file)) for file in paths]


def _is_readable_kind(path: Path) -> bool:
    name = path.name.removesuffix(path.suffix) if path.suffix in COMPRESSED else path.name
    return name.endswith(_LINES) or path.suffix == ".parquet"


def _portable_name(path: Path) -> str:
    return path.name if path.is_absolute() or ".." in path.parts else path.as_posix()


def read_range(path: Path, begin: int, end: int) -> Iterator[bytes]:
    """Yields the bytes [begin, end) of a file."""
    with path.open("rb") as raw:
        raw.seek(begin)
        while begin < end and (chunk := raw.read(min(_READ_BYTES, end - begin))):
            yield chunk
            begin += len(chunk)
