"""Training on one CUDA device: bf16 learns, agrees with fp32, and goes on from a checkpoint.

Needs numpy, torch with CUDA, megatron-core, and psutil for megatron-core's checkpoint writer; nothing
that is built, and no network.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from support import tiny

from megatron_heph.observe.metrics import Metrics, read_metrics
from megatron_heph.recipe.resolve import recipe_from_table, resolve
from megatron_heph.recipe.resolved import Machine
from megatron_heph.train.run_folder import RunFolder
from megatron_heph.train.session import train
from megatron_heph.train.stop import StopRequest

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
STEPS = 12


def run(data: dict[str, Any], folder: Path, *overrides: str) -> Metrics:
    """Trains in this process, alone on the device, to the end of the recipe or from a checkpoint on."""
    common = [f"stage.broad.tokens={256 * STEPS}", "checkpoint.every=1024", "checkpoint.keep=20"]
    recipe = recipe_from_table(tiny.recipe(data, folder), [*common, *overrides])
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    train(resolve(recipe, Machine(cores=1, gpus=torch.cuda.device_count())), RunFolder(folder), StopRequest())
    return read_metrics(folder / "metrics.jsonl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu")


@pytest.fixture(scope="module")
def bf16(tiny_data: dict[str, Any], folder: Path) -> Metrics:
    return run(tiny_data, folder / "bf16", "precision.format=bf16")


@pytest.fixture(scope="module")
def fp32(tiny_data: dict[str, Any], folder: Path) -> Metrics:
    return run(tiny_data, folder / "fp32", "precision.format=fp32")


def test_the_device_trains(bf16: Metrics) -> None:
    assert bf16.start.device == torch.cuda.get_device_name()
    assert len(bf16.steps) == STEPS and all(row.grad_norm > 0 for row in bf16.steps)


def test_bf16_learns(bf16: Metrics) -> None:
    assert bf16.steps[-1].loss < bf16.steps[0].loss - 0.2
    first, last = bf16.heldouts[0], bf16.heldouts[-1]
    assert all(last.losses[domain].loss < first.losses[domain].loss - 0.2 for domain in first.losses)


def test_bf16_agrees_with_fp32(bf16: Metrics, fp32: Metrics) -> None:
    """bf16 has 8 bits of mantissa: the same weights and data give losses within half a percent."""
    for a, b in zip(bf16.steps, fp32.steps, strict=True):
        assert a.tokens_by_source == b.tokens_by_source
        assert a.loss == pytest.approx(b.loss, rel=5e-3 if a.step == 1 else 2e-2)
    assert bf16.steps[0].grad_norm == pytest.approx(fp32.steps[0].grad_norm, rel=5e-2)


@pytest.mark.parametrize("distributed", ["true", "false"])
def test_a_checkpoint_goes_on(tiny_data: dict[str, Any], folder: Path, distributed: str) -> None:
    """Reductions on the device have no fixed order, so that later steps are equal within rounding only."""
    name = f"straight-{distributed}"
    settings = ["precision.format=bf16", f"parallel.distributed_optimizer={distributed}"]
    straight = run(tiny_data, folder / name, *settings)
    copy = folder / f"{name}-resumed"
    checkpoint = Path("checkpoints") / "step-00000004"
    shutil.copytree(folder / name / checkpoint, copy / checkpoint)
    shutil.copyfile(folder / name / "metrics.jsonl", copy / "metrics.jsonl")
    resumed = run(tiny_data, copy, *settings)
    rows = {row.step: row for row in straight.steps}
    assert [row.step for row in resumed.steps] == list(range(1, STEPS + 1)) and resumed.resumes[-1].step == 4
    again = resumed.steps[4:]
    assert all(row.time > straight.last_time for row in again), "the steps are those of the straight run"
    assert again[0].loss == pytest.approx(rows[5].loss, rel=1e-5)
    assert [row.loss for row in again] == pytest.approx([rows[row.step].loss for row in again], rel=5e-3)
    assert again[0].lr == rows[5].lr and resumed.tokens == straight.tokens
