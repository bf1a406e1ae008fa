"""Every grid keeps documents apart as one process does: losses per source and gradient norms, in fp32."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.processes import run_grid

pytestmark = pytest.mark.grid
TOLERANCE = 1e-5                        # relative, in fp32; seeing the whole window changes losses by 3e-4

# name -> processes, [parallel]
GRIDS: dict[str, tuple[int, dict[str, Any]]] = {
    "one": (1, {}),
    "one-window": (1, {}),
    "tp2": (2, {"tensor": 2}),
    "tp2-sequence": (2, {"tensor": 2, "sequence": True}),
    "pp2": (2, {"pipeline": 2}),
    "pp2-virtual2": (2, {"pipeline": 2, "virtual": 2}),
    "pp2-virtual2-recompute": (2, {"pipeline": 2, "virtual": 2}),
    "cp2": (2, {"context": 2}),
    "dp2": (2, {"data": 2}),
}
ON_OTHER = ["one", "tp2-sequence", "pp2-virtual2-recompute", "cp2"]
APART = [name for name in GRIDS if name not in ("one", "one-window")]


@dataclass
class Runs:
    """Runs grids of the same size in one set of processes, the first time one of them is asked for."""

    folder: Path
    megatron: Path | None
    names: list[str]

    def of(self, name: str) -> dict[str, Any]:
        out = self.folder / f"{name}.json"
        if not out.is_file():
            world = GRIDS[name][0]
            jobs = [self._job(other) for other in self.names if GRIDS[other][0] == world]
            run_grid(jobs, world, self.folder, self.megatron, worker="support.segments_worker")
        return dict(json.loads(out.read_text()))

    def _job(self, name: str) -> dict[str, Any]:
        data = {"sources": {"agent": {"path": "unread", "domain": "agent"}}}
        recipe = tiny.recipe(data, self.folder / name, **GRIDS[name][1])
        recipe["stage"][0]["mixture"] = {"agent": 1.0}
        return {
            "recipe": recipe, "documents": "window" not in name, "recompute": "recompute" in name,
            "out": str(self.folder / f"{name}.json"),
        }  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("segments"), None, list(GRIDS))


@pytest.fixture(scope="module")
def other_runs(tmp_path_factory: pytest.TempPathFactory, other_megatron: Path) -> Runs:
    return Runs(tmp_path_factory.mktemp("segments-other"), other_megatron, ON_OTHER)


@pytest.mark.parametrize("name", APART)
def test_grid_equals_one_process(runs: Runs, name: str) -> None:
    assert_same(runs.of(name), runs.of("one"))


@pytest.mark.parametrize("name", ON_OTHER)
def test_grids_on_the_other_megatron(runs: Runs, other_runs: Runs, name: str) -> None:
    assert other_runs.of(name)["megatron"] != runs.of("one")["megatron"]
    assert_same(other_runs.of(name), runs.of("one"))


def test_the_whole_window_gives_other_losses(runs: Runs) -> None:
    """The same words, seen whole: were segments lost on all grids alike, this would be equal too."""
    apart, whole = (runs.of(name)["steps"][-1] for name in ("one", "one-window"))
    assert apart["tokens"] == whole["tokens"]
    assert apart["loss"] != pytest.approx(whole["loss"], rel=10 * TOLERANCE)
    assert apart["norm"] != pytest.approx(whole["norm"], rel=10 * TOLERANCE)


def assert_same(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert len(a["steps"]) == len(b["steps"]) >= 3
    for x, y in zip(a["steps"], b["steps"], strict=True):
        assert x["tokens"] == y["tokens"]
        assert x["loss"] == pytest.approx(y["loss"], rel=TOLERANCE)
        assert x["norm"] == pytest.approx(y["norm"], rel=TOLERANCE)
