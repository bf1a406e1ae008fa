"""A run whose recipe changes on the way: every step of it can still be read, and run again on one process."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from support import tiny
from support.processes import heph, run_grid

from megatron_heph.checkpoint.store import CheckpointStore
from megatron_heph.errors import InputError
from megatron_heph.observe.metrics import read_metrics
from megatron_heph.train.history import History
from megatron_heph.train.run_folder import RunFolder

pytestmark = pytest.mark.grid
CHANGE = 4                              # the step after which the recipe changes


def recipe(data: dict[str, Any], run: Path, steps: int, parallel: dict[str, Any] | None = None) -> dict[str, Any]:
    table = copy.deepcopy(tiny.recipe(data, run, **(parallel or {})))
    table["stage"][0]["tokens"] = steps * 256
    table["checkpoint"] = {"every": 512, "keep": 20}
    table["data"] = {"sources": copy.deepcopy(data["sources"])}
    table["data"]["sources"]["code"]["window"] = "pack"
    return table


@pytest.fixture(scope="module")
def run(tiny_data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four steps on two data ranks; then a source less, other weights and longer samples on two tensor ranks."""
    folder = tmp_path_factory.mktemp("history")
    run_grid([recipe(tiny_data, folder / "run", CHANGE, {"data": 2})], 2, folder)
    changed = recipe(tiny_data, folder / "run", 2 * CHANGE, {"tensor": 2})
    del changed["data"]["sources"]["text"]
    changed["stage"][0] |= {"mixture": {"agent": 1.0, "code": 3.0}, "sequence": 64, "micro_batch": 1}
    (folder / "changed.toml").write_text(tomli_w.dumps(changed))
    run_grid([changed], 2, folder)
    return folder / "run"


def test_the_table_has_both_segments(run: Path) -> None:
    state = CheckpointStore(run / "checkpoints").read_state(2 * CHANGE)
    first, second = state.segments
    assert (first.step, first.sequence, set(first.weights)) == (0, 32, {"agent", "code", "text"})
    assert (second.step, second.sequence, set(second.weights)) == (CHANGE, 64, {"agent", "code"})
    assert first.apart == second.apart == ("code",)
    assert set(state.sources) == set(state.positions) == {"agent", "code", "text"}
    assert sum(state.positions.values()) == state.tokens == 2 * CHANGE * 256
    assert second.begin["code"].used == () or second.begin["code"].used[0][0] == 32


def test_every_step_names_its_documents(run: Path) -> None:
    history, metrics = History.open(RunFolder(run)), read_metrics(run / "metrics.jsonl")
    seen: list[tuple[str, int]] = []
    for row in metrics.steps:
        parts = history.documents(row.step)
        streamed = [part for part in parts if part.source != "code"]
        for source in {part.source for part in streamed}:
            assert sum(part.count for part in streamed if part.source == source) == row.tokens_by_source[source]
        for part in parts:
            source = history.sources[part.source].tokens
            assert part.first + part.count <= part.tokens
            begin = part.start - part.first
            assert source.document_at(part.start)[2:] == (begin, part.tokens)
        seen += [(part.source, position) for part in parts for position in range(part.start, part.start + part.count)]
    assert len(seen) == len(set(seen)), "within an epoch nothing is read twice, whatever changed"
    with pytest.raises(InputError, match=r"--step is 9; the run .* has the steps 1 to 8"):
        history.documents(9)


@pytest.mark.parametrize("step", [1, 4, 7])
def test_a_step_of_a_grid_again_on_one_process(run: Path, step: int) -> None:
    result = heph("trace", run, "--step", str(step), "--json")
    assert result.returncode == 0, result.stderr
    found, row = json.loads(result.stdout), read_metrics(run / "metrics.jsonl").steps[step - 1]
    assert found["recorded"]["loss"] == row.loss and found["replayed_from"] == (step - 1) // 2 * 2
    assert found["loss"] == pytest.approx(row.loss, rel=1e-4)
    assert found["grad_norm"] == pytest.approx(row.grad_norm, rel=1e-3)
    documents = found["documents"]
    assert sum(document["weight"] for document in documents) == pytest.approx(1)
    together = sum(document["weight"] * document["loss"] for document in documents)
    assert together == pytest.approx(found["loss"], rel=1e-5)
    norms = np.array([document["weight"] * document["grad_norm"] for document in documents])
    assert np.sqrt((norms**2).sum()) * 0.5 < found["grad_norm"] <= norms.sum() * (1 + 1e-4), "parts of one gradient"


def test_the_commands_for_people(run: Path) -> None:
    at = heph("inspect", "run", run, "--at", "2")
    assert at.returncode == 0 and at.stdout.startswith("step 2: 8 samples, ") and "agent" in at.stdout
    trace = heph("trace", run, "--step", "3", "--top", "2")
    assert "from the checkpoint of step 2" in trace.stdout and "more (--top 0 shows all)" in trace.stdout
    assert heph("inspect", "run", run, "--at", "0").returncode == 2
    missing = heph("trace", run.parent / "none", "--step", "1")
    assert missing.returncode == 2 and "is no run folder" in missing.stderr


def test_what_a_changed_mixture_means(tiny_data: dict[str, Any], run: Path, tmp_path: Path) -> None:
    further = recipe(tiny_data, run, 3 * CHANGE)
    further["stage"][0] |= {"mixture": {"text": 1.0}, "sequence": 32}
    path = tmp_path / "further.toml"
    path.write_text(tomli_w.dumps(further))
    result = heph("inspect", "diff", run, path, "--json")
    assert result.returncode == 0, result.stderr
    both = json.loads(result.stdout)
    a, b = both["a"], both["b"]
    assert a["tokens"] == 2 * CHANGE * 256 and b["tokens"] == 3 * CHANGE * 256 and b["step"] == 2 * CHANGE
    taken = {name: [side["sources"][name]["taken"] for side in (a, b)] for name in ("agent", "code", "text")}
    assert taken["agent"][0] == taken["agent"][1] and taken["text"][1] - taken["text"][0] == CHANGE * 256
    text = heph("inspect", "diff", run, path).stdout
    assert "+1,024" in text and "goes on from step 8" in text
    assert heph("inspect", "diff", run, tmp_path / "none.toml").returncode == 2


def test_another_source_under_an_old_name(tiny_data: dict[str, Any], run: Path, tmp_path: Path) -> None:
    tiny.write_pair(tmp_path / "other", [np.arange(100)])
    table = recipe(tiny_data, run, 3 * CHANGE)
    for change, message in (
        ({"path": str(tmp_path / "other")}, "The source agent .*has 100 tokens in other shards than the"),
        ({"window": "pack"}, r'data\.sources\.agent\.window is "pack", but the run has read it as "stream"'),
    ):
        changed = copy.deepcopy(table)
        changed["data"]["sources"]["agent"] |= change
        (tmp_path / "r.toml").write_text(tomli_w.dumps(changed))
        result = heph("train", tmp_path / "r.toml")
        assert result.returncode == 2
        assert re.search(message, result.stderr), result.stderr
