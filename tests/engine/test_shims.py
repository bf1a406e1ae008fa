"""Each shim is needed: without it a run on the CPU fails.  Where it no longer does, the shim must go."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.processes import environment

pytestmark = pytest.mark.grid

# shim -> the grid that needs it
NEEDED_BY: dict[str, dict[str, Any]] = {
    "gradient-buffers": {},
    "optimizer": {"distributed_optimizer": False},
    "schedules": {},
    "pipeline-messages": {"pipeline": 2},
    "tensor-mappings": {"tensor": 2, "sequence": True},
    "rotary": {},
    "sequence-buffers": {"tensor": 2, "sequence": True},
    "context-rotary": {"context": 2},
    "rng": {},
    "distributed-optimizer": {"data": 2},
    "checkpoint-writer": {},
    "cpu_tensors_pass_for_cuda": {},
}


def outcomes(data: dict[str, Any], folder: Path, megatron: Path | None) -> dict[str, str]:
    jobs = {shim: tiny.recipe(data, folder / shim, **grid) for shim, grid in NEEDED_BY.items()}
    for table in jobs.values():
        table["stage"][0]["tokens"] = 256
    listing = folder / "jobs.json"
    listing.write_text(json.dumps(jobs))
    command = [sys.executable, "-W", "ignore", "-m", "support.shim_worker", str(listing)]
    done = subprocess.run(command, env=environment(megatron), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def without(tiny_data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return outcomes(tiny_data, tmp_path_factory.mktemp("shims"), None)


@pytest.fixture(scope="module")
def without_on_other(
    tiny_data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, other_megatron: Path
) -> dict[str, str]:
    return outcomes(tiny_data, tmp_path_factory.mktemp("shims-other"), other_megatron)


@pytest.mark.parametrize("shim", NEEDED_BY)
def test_shim_is_needed(without: dict[str, str], shim: str) -> None:
    assert without[shim], f"a run on the CPU works without the shim {shim!r}: remove it"
    assert "cuda" in without[shim].lower(), without[shim]


@pytest.mark.parametrize("shim", NEEDED_BY)
def test_shim_is_needed_on_the_other_megatron(without_on_other: dict[str, str], shim: str) -> None:
    assert without_on_other[shim], f"a run on the CPU works without the shim {shim!r}: remove it"
    assert "cuda" in without_on_other[shim].lower(), without_on_other[shim]


def test_every_shim_is_asked_about() -> None:
    from megatron_heph.engine.shims import SHIMS

    assert set(SHIMS) - {"triton"} == set(NEEDED_BY) - {"cpu_tensors_pass_for_cuda"}


def test_triton_stub_is_needed_by_the_newer_megatron(other_megatron: Path) -> None:
    code = "import megatron.core.package_info as p, megatron.core.pipeline_parallel.schedules; print(p.__version__)"
    here, there = (
        subprocess.run([sys.executable, "-c", code], env=environment(m), capture_output=True, text=True, timeout=300)
        for m in (None, other_megatron)
    )
    assert any("triton" in done.stderr for done in (here, there)), "no megatron-core imports triton any more"


def test_nothing_is_shimmed_where_cuda_is() -> None:
    code = """
import torch
torch.cuda.is_available = lambda: True
move, name = torch.Tensor.cuda, torch.Tensor.type
from megatron_heph.engine import shims
shims.install()
with shims.cpu_tensors_pass_for_cuda():
    assert torch.Tensor.cuda is move and torch.Tensor.type is name
import megatron.core.optimizer.optimizer as o, megatron.core.utils as u
assert o.torch is torch and u.torch is torch
print("untouched")
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=300)
    assert done.stdout.strip().endswith("untouched"), done.stderr
