"""`heph eval losses` measures again what training wrote down, whatever grid trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.processes import heph, run_grid

from megatron_heph.observe.metrics import Metrics, read_metrics


@pytest.fixture(scope="module")
def run(tiny_data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    run_grid([tiny.recipe(tiny_data, folder / "run", tensor=2)], 2, folder)
    return folder / "run"


@pytest.fixture(scope="module")
def metrics(run: Path) -> Metrics:
    return read_metrics(run / "metrics.jsonl")


def losses(*arguments: str | Path) -> dict[str, Any]:
    done = heph("eval", "losses", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_run_is_measured_on_its_own_held_out_sets(run: Path, metrics: Metrics) -> None:
    measured = losses(run)["domains"]
    expected = metrics.heldouts[-1].losses
    assert {d: row["tokens"] for d, row in measured.items()} == {d: row.tokens for d, row in expected.items()}
    for domain, row in expected.items():
        assert measured[domain]["loss"] == pytest.approx(row.loss, rel=1e-4)
        assert measured[domain]["loss"] != pytest.approx(metrics.heldouts[0].losses[domain].loss, rel=1e-3)


def test_a_checkpoint_is_measured_on_what_is_named(run: Path, tiny_data: dict[str, Any], metrics: Metrics) -> None:
    (checkpoint,) = (run / "checkpoints").iterdir()
    named = losses(checkpoint, "--heldout", f"code={tiny_data['heldout']['code']}", "--tokens", "64")
    assert set(named["domains"]) == {"code"} and named["domains"]["code"]["tokens"] == 64
    assert named["sequence"] == tiny.SEQUENCE


def test_wrong_input_is_a_message(run: Path, tmp_path: Path) -> None:
    for arguments, words in {
        (str(run), "--heldout", "code"): "DOMAIN=PREFIX",
        (str(run), "--heldout", f"code={tmp_path / 'none'}"): str(tmp_path / "none"),
        (str(tmp_path), "--heldout", "code=x"): "neither a run",
    }.items():
        done = heph("eval", "losses", *arguments)
        assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, done.stderr
