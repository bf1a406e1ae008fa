"""A killed run goes on as if nothing had happened; a checkpoint goes on on another grid."""

from __future__ import annotations

import copy
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from support import tiny
from support.processes import environment, heph, run_grid

from megatron_heph.observe.metrics import Metrics, read_metrics

pytestmark = pytest.mark.grid
STEPS = 12


def recipe(sources: dict[str, Any], run: Path, **parallel: Any) -> dict[str, Any]:
    """One source is read as a stream, one with its documents apart, one packed."""
    table = tiny.recipe(copy.deepcopy(sources), run, **parallel)
    table["data"]["sources"]["code"]["window"] = "pack"
    table["data"]["sources"]["text"]["attention"] = "document"
    table["stage"][0]["tokens"] = STEPS * 256
    return {**table, "checkpoint": {"every": 512, "keep": 20}}  # every second step


def trajectory(metrics: Metrics, after: int) -> list[tuple[int, float, float]]:
    return [(row.step, row.loss, row.grad_norm) for row in metrics.steps if row.step > after]


@pytest.fixture(scope="module")
def straight(tiny_data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Uninterrupted runs of every grid of this module, with all their checkpoints."""
    folder = tmp_path_factory.mktemp("straight")
    run_grid([recipe(tiny_data, folder / "one")], 1, folder)
    grids = {"tp2": {"tensor": 2}, "dp2": {"data": 2}, "pp2": {"pipeline": 2}}
    grids["dp2-plain"] = {"data": 2, "distributed_optimizer": False}
    run_grid([recipe(tiny_data, folder / name, **grid) for name, grid in grids.items()], 2, folder)
    return folder


def kill_and_resume(table: dict[str, Any], folder: Path, megatron: Path | None = None) -> tuple[Metrics, int]:
    """Runs the command, kills all its processes at a random step after the first checkpoint, and runs it again."""
    path = folder / "recipe.toml"
    path.write_text(tomli_w.dumps(table))
    run = Path(table["run"])
    command = [sys.executable, "-m", "megatron_heph.cli.main", "train", str(path)]
    log = (folder / "killed.log").open("w")
    process = subprocess.Popen(command, env=environment(megatron), stdout=log, stderr=log, start_new_session=True)
    target = random.randint(3, STEPS - 4)
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if (run / "metrics.jsonl").is_file() and f'"step": {target},' in (run / "metrics.jsonl").read_text():
            break
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, (folder / "killed.log").read_text()
    result = heph("train", path, megatron=megatron)
    assert result.returncode == 0, result.stderr
    return read_metrics(run / "metrics.jsonl"), target


@pytest.mark.parametrize("grid", ["one", "dp2"])
def test_killed_run_goes_on_bit_for_bit(
    straight: Path, tiny_data: dict[str, Any], tmp_path: Path, grid: str
) -> None:
    parallel = {"data": 2} if grid == "dp2" else {}
    resumed, target = kill_and_resume(recipe(tiny_data, tmp_path / "run", **parallel), tmp_path)
    expected = read_metrics(straight / grid / "metrics.jsonl")
    assert resumed.resumes and resumed.resumes[-1].step >= 2, "it began anew instead of resuming"
    assert trajectory(resumed, 0) == trajectory(expected, 0), f"killed after step {target}"
    assert resumed.heldouts[-1].losses == expected.heldouts[-1].losses
    assert resumed.tokens_by_source() == expected.tokens_by_source()


def test_killed_run_goes_on_bit_for_bit_on_the_other_megatron(
    tiny_data: dict[str, Any], tmp_path: Path, other_megatron: Path
) -> None:
    table = recipe(tiny_data, tmp_path / "run", data=2)
    resumed, target = kill_and_resume(table, tmp_path, other_megatron)
    run_grid([{**table, "run": str(tmp_path / "straight")}], 2, tmp_path, other_megatron)
    expected = read_metrics(tmp_path / "straight" / "metrics.jsonl")
    assert resumed.resumes[-1].step >= 2
    assert trajectory(resumed, 0) == trajectory(expected, 0), f"killed after step {target}"


def copy_at(run: Path, step: int, destination: Path) -> None:
    """A run folder as it stood after a step."""
    (destination / "checkpoints").mkdir(parents=True)
    name = f"checkpoints/step-{step:08d}"
    shutil.copytree(run / name, destination / name)
    for file in ("recipe.toml", "model.json", "metrics.jsonl"):
        shutil.copyfile(run / file, destination / file)


CROSSINGS = {  # saved on -> goes on on
    "tp2": {},
    "dp2": {},
    "pp2": {},
    "dp2-plain": {"distributed_optimizer": False},
}


@pytest.fixture(scope="module")
def crossed(straight: Path, tiny_data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that were saved on two processes after step 6 and went on on one; and one the other way."""
    folder = tmp_path_factory.mktemp("crossed")
    for name in [*CROSSINGS, "one"]:
        copy_at(straight / name, 6, folder / name)
    run_grid([recipe(tiny_data, folder / name, **grid) for name, grid in CROSSINGS.items()], 1, folder)
    run_grid([recipe(tiny_data, folder / "one", tensor=2, sequence=True)], 2, folder)
    return folder


@pytest.mark.parametrize("name", [*CROSSINGS, "one"])
def test_checkpoint_goes_on_on_another_grid(straight: Path, crossed: Path, name: str) -> None:
    resumed = read_metrics(crossed / name / "metrics.jsonl")
    expected = read_metrics(straight / name / "metrics.jsonl")
    assert resumed.start.world_size != expected.start.world_size
    rows = trajectory(resumed, 6)
    assert len(rows) == STEPS - 6
    for (step, loss, norm), (other_step, other_loss, other_norm) in zip(rows, trajectory(expected, 6), strict=True):
        assert step == other_step
        assert loss == pytest.approx(other_loss, rel=1e-4)
        assert norm == pytest.approx(other_norm, rel=1e-4)
