"""Stages of different lengths in one real run: what the record says was read is what the loaders give."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.processes import run_grid

from megatron_heph.checkpoint.store import CheckpointStore
from megatron_heph.observe.metrics import read_metrics


@pytest.mark.grid
def test_a_stage_with_longer_samples(tiny_data: dict[str, Any], tmp_path: Path) -> None:
    table = tiny.recipe(tiny_data, tmp_path / "run")
    first = {**table["stage"][0], "tokens": 96, "batch": 96, "micro_batch": 1}
    second = {**copy.deepcopy(first), "name": "long", "sequence": 64, "batch": 256, "tokens": 512}
    run_grid([{**table, "stage": [first, second], "checkpoint": {"every": 96, "keep": 9}}], 1, tmp_path)
    metrics, store = read_metrics(tmp_path / "run" / "metrics.jsonl"), CheckpointStore(tmp_path / "run" / "checkpoints")
    assert [(row.stage, row.tokens) for row in metrics.steps] == [("broad", 96), ("long", 352), ("long", 608)]
    assert [sum(row.tokens_by_source.values()) for row in metrics.steps] == [96, 256, 256]
    states = [store.read_state(step) for step in (1, 2, 3)]
    cursors = [{name: place.cursor for name, place in state.point.places.items()} for state in states]
    assert any(cursor % 64 for cursor in cursors[0].values()), "the test needs a cursor inside a longer sample"
    assert [sum(cursor.values()) for cursor in cursors] == [96, 352, 608] and states[2].positions == cursors[2]
    assert [segment.step for segment in states[2].segments] == [0, 1] and states[0].segments == states[2].segments[:1]
    assert states[2].segments[1].begin == states[0].point.places


@pytest.mark.grid
def test_a_cap_that_ends_the_run(tiny_data: dict[str, Any], tmp_path: Path) -> None:
    """The run ends at the last step within the cap, measured and saved, and begins no step when it is called again."""
    table = copy.deepcopy({**tiny.recipe(tiny_data, tmp_path / "run"), "checkpoint": {"every": 10**6}})
    table["data"]["sources"]["agent"] |= {"max_epochs": 0.5, "at_cap": "stop"}
    table["stage"][0] |= {"tokens": 10**5, "mixture": {"agent": 1.0}}
    run_grid([table, table], 1, tmp_path)
    metrics, store = read_metrics(tmp_path / "run" / "metrics.jsonl"), CheckpointStore(tmp_path / "run" / "checkpoints")
    last = metrics.steps[-1].step
    state = store.read_state(last)
    assert store.steps() == [last] and metrics.heldouts[-1].step == last and len(metrics.steps) == last
    tokens = metrics.start.sources["agent"].tokens
    assert state.epochs["agent"] <= 0.5 < state.epochs["agent"] + 256 / (tokens - 1)
    assert metrics.end is not None and metrics.end.reason == "finished" and metrics.resumes[-1].step == last
