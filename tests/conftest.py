"""Fixtures that many tests share."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.processes import ROOT


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`-m gpu` reads the files that hold GPU tests and no others: a GPU host may lack what those import."""
    other = collection_path.suffix == ".py" and not collection_path.name.startswith("test_gpu")
    return True if other and config.getoption("markexpr") == "gpu" else None


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
