"""Fixtures that many tests share."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.processes import ROOT


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The `[data]` table of the tiny sources, written once."""
    return tiny.write_sources(tmp_path_factory.mktemp("tiny-data"))


@pytest.fixture(scope="session")
def other_megatron() -> Path:
    """A folder with the other supported megatron-core than the one installed (see scripts/setup.sh)."""
    installed = importlib.metadata.version("megatron-core")
    folder = Path(os.environ.get("HEPH_OTHER_MEGATRON", ROOT / ".venv" / "other-megatron"))
    if not (folder / "megatron" / "core").is_dir():
        pytest.skip(f"only megatron-core {installed} is here; `make test` puts the other one into {folder}")
    return folder
