"""A run that began in Megatron-LM goes on here in its order: the same on any grid, and through a resume."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from support import tiny
from support.processes import heph, run_grid

from megatron_heph.observe.metrics import read_metrics
from megatron_heph.train.history import History
from megatron_heph.train.run_folder import RunFolder

pytestmark = pytest.mark.grid


def recipe(table: dict[str, Any], run: Path, steps: int = 6, **parallel: Any) -> dict[str, Any]:
    table = copy.deepcopy(tiny.recipe({"sources": table["sources"]}, run, **parallel))
    table["stage"][0]["tokens"] = steps * 256
    for weight, source in enumerate(table["data"]["sources"].values(), 1):
        source["weight"] = float(weight)
    table["data"]["megatron"] = {"sources": ["text", "agent", "code"], "samples": 100, "consumed": 24, "seed": 5}
    return {**table, "checkpoint": {"every": 512, "keep": 9}}


def test_on_any_grid_and_through_a_resume(tiny_data: dict[str, Any], tmp_path: Path) -> None:
    run_grid([recipe(tiny_data, tmp_path / "one"), recipe(tiny_data, tmp_path / "short", steps=3)], 1, tmp_path)
    run_grid([recipe(tiny_data, tmp_path / "two", data=2), recipe(tiny_data, tmp_path / "short", data=2)], 2, tmp_path)
    one, two, short = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("one", "two", "short"))
    for other in (two, short):
        assert [row.loss for row in other.steps] == pytest.approx([row.loss for row in one.steps], rel=1e-4)
        assert [row.tokens_by_source for row in other.steps] == [row.tokens_by_source for row in one.steps]
    history = History.open(RunFolder(tmp_path / "short"))
    assert [segment.megatron for segment in history.saved.segments] == [24], "a resume is no other segment"
    parts = history.documents(4)
    assert {part.sample for part in parts} == set(range(8)) and len({part.source for part in parts}) == 3
    source = parts[0].source
    assert 4 in history.steps_of(source, parts[0].document)
    shown = heph("inspect", "run", tmp_path / "short", "--document", f"{source}:{parts[0].document}")
    assert shown.returncode == 0 and f"document {parts[0].document} of {source}: read at step" in shown.stdout


@pytest.mark.parametrize(
    ("override", "key"),
    [("data.sources.code.weight=9", "data.sources.code.weight: 2.0 there, 9.0 now"),
     ("stage.broad.sequence=16", "stage.broad.sequence: 32 there, 16 now"),
     ("data.megatron.samples=90", "data.megatron.samples: 100 there, 90 now")],
)  # fmt: skip
def test_its_order_cannot_change_under_way(
    tiny_data: dict[str, Any], tmp_path: Path, override: str, key: str
) -> None:
    """Any of these makes another order from the first sample on: samples would be lost and repeated."""
    path = tmp_path / "recipe.toml"
    path.write_text(tomli_w.dumps(recipe(tiny_data, tmp_path / "run", steps=1)))
    assert heph("train", path).returncode == 0
    refused = heph("train", path, override, "stage.broad.tokens=1024")
    assert refused.returncode == 2 and key in refused.stderr, refused.stderr
