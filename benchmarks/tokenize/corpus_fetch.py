"""Archives of pinned packages, fetched once by their registries' own clients into the cache of `data_tools.wheels`."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_tools.wheels import cache_folder
from megatron_heph.errors import InputError

# An sdist is not fetched by pip, which would build the package to ask for its metadata.
_COMMANDS = {
    "pip": [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"],
    "sdist": [sys.executable, "-m", "unearth", "--no-binary", "--python-version=3.14.0", "--download"],
    "npm": ["npm", "pack", "--silent", "--pack-destination"],
}
_LARGEST = 64 << 20  # bytes of a member that is worth reading


@dataclass(frozen=True, slots=True)
class Pinned:
    """A package of one registry at one version."""

    client: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.client}:{self.name}@{self.version}"


def pinned_packages(path: Path) -> list[Pinned]:
    """The lines `client name version` of a list; `#` begins a comment."""
    rows = [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return [Pinned(*row) for row in rows]


def fetch(package: Pinned) -> Path:
    """The archive of a package, from the cache or the registry; InputError if the client cannot get it."""
    folder = cache_folder() / "archives" / f"{package.client}-{package.name.replace('/', '__')}-{package.version}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            target = Path(scratch) / "archive"
            target.mkdir()
            separator = "@" if package.client == "npm" else "=="
            command = [*_COMMANDS[package.client], str(target), f"{package.name}{separator}{package.version}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode or len(list(target.iterdir())) != 1:
                said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing."]
                raise InputError(f"{package} could not be fetched by `{' '.join(command[:3])}`: {said[-1]}")
            target.rename(folder)
    return next(folder.iterdir())


def members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """(path, content) of the regular files of a .whl, .zip, .tar.gz or .tgz, in their order."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                if not entry.is_dir() and entry.file_size <= _LARGEST:
                    yield entry.filename, opened.read(entry)
        return
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isreg() and member.size <= _LARGEST else None
            if stream is not None:
                yield member.name.partition("/")[2], stream.read()
