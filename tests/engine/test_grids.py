"""Every grid trains like one process: losses and gradient norms, in fp32, over six steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.processes import run_grid

from megatron_heph.observe.metrics import Metrics, read_metrics

pytestmark = pytest.mark.grid
TOLERANCE = 1e-4                        # relative, in fp32

# name -> processes, [parallel]
GRIDS: dict[str, tuple[int, dict[str, Any]]] = {
    "one": (1, {"distributed_optimizer": False}),
    "one-distopt": (1, {}),
    "tp2": (2, {"tensor": 2, "distributed_optimizer": False}),
    "pp2": (2, {"pipeline": 2, "distributed_optimizer": False}),
    "dp2": (2, {"data": 2, "distributed_optimizer": False}),
    "tp2-sequence": (2, {"tensor": 2, "sequence": True}),
    "cp2": (2, {"context": 2}),
    "dp2-distopt": (2, {"data": 2}),
    "pp2-virtual2": (2, {"pipeline": 2, "virtual": 2}),
    "tp2-pp2": (4, {"tensor": 2, "pipeline": 2}),
    "tp2-dp2": (4, {"tensor": 2, "data": 2}),
    "tp2-pp2-sequence": (4, {"tensor": 2, "pipeline": 2, "sequence": True}),
}
HARDEST = ["one", "tp2-pp2-sequence", "dp2-distopt", "pp2-virtual2"]


@dataclass
class Runs:
    """Runs grids of the same size in one set of processes, the first time one of them is asked for."""

    data: dict[str, Any]
    folder: Path
    megatron: Path | None
    names: list[str]

    def metrics(self, name: str) -> Metrics:
        world = GRIDS[name][0]
        if not (self.folder / name / "metrics.jsonl").is_file():
            together = [n for n in self.names if GRIDS[n][0] == world]
            jobs = [tiny.recipe(self.data, self.folder / n, **GRIDS[n][1]) for n in together]
            run_grid(jobs, world, self.folder, self.megatron)
        return read_metrics(self.folder / name / "metrics.jsonl")


@pytest.fixture(scope="module")
def runs(tiny_data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tiny_data, tmp_path_factory.mktemp("grids"), None, list(GRIDS))


@pytest.fixture(scope="module")
def other_runs(
    tiny_data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, other_megatron: Path
) -> Runs:
    return Runs(tiny_data, tmp_path_factory.mktemp("grids-other"), other_megatron, HARDEST)


@pytest.mark.parametrize("name", [name for name in GRIDS if name != "one"])
def test_grid_equals_one_process(runs: Runs, name: str) -> None:
    assert_same_training(runs.metrics(name), runs.metrics("one"))


@pytest.mark.parametrize("name", HARDEST[1:])
def test_hardest_grids_on_the_other_megatron(runs: Runs, other_runs: Runs, name: str) -> None:
    versions = {r.metrics("one").start.versions["megatron-core"] for r in (runs, other_runs)}
    assert len(versions) == 2, versions
    assert_same_training(other_runs.metrics(name), other_runs.metrics("one"))
    assert_same_training(other_runs.metrics(name), runs.metrics("one"))


def test_the_model_learns(runs: Runs) -> None:
    """A parity of numbers that stand still would prove nothing."""
    metrics = runs.metrics("one")
    assert metrics.steps[-1].loss < metrics.steps[0].loss - 0.1
    first, last = metrics.heldouts[0], metrics.heldouts[-1]
    assert all(last.losses[d].loss < first.losses[d].loss - 0.1 for d in ("agent", "code", "text"))


def assert_same_training(a: Metrics, b: Metrics) -> None:
    assert len(a.steps) == len(b.steps) >= 5
    for x, y in zip(a.steps, b.steps, strict=True):
        assert x.loss == pytest.approx(y.loss, rel=TOLERANCE)
        assert x.grad_norm == pytest.approx(y.grad_norm, rel=TOLERANCE)
        assert x.loss_by_source == pytest.approx(y.loss_by_source, rel=TOLERANCE)
        assert x.tokens_by_source == y.tokens_by_source
    for x, y in zip(a.heldouts, b.heldouts, strict=True):
        assert {d: v.tokens for d, v in x.losses.items()} == {d: v.tokens for d, v in y.losses.items()}
        assert [v.loss for v in x.losses.values()] == pytest.approx([v.loss for v in y.losses.values()], rel=TOLERANCE)
