from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from support import tiny
from support.recipes import ONE, fake_base, resolved

from megatron_heph.checkpoint.store import CheckpointStore, TrainState
from megatron_heph.data.segments import Point
from megatron_heph.errors import InputError
from megatron_heph.recipe.resolve import recipe_from_table, resolve
from megatron_heph.recipe.resolved import Machine
from megatron_heph.train.run_folder import RunFolder


def begun(data: dict[str, Any], path: Path, *overrides: str) -> RunFolder:
    """A run folder with a checkpoint, as far as its names say."""
    folder = RunFolder(path)
    folder.prepare(resolved(data, *overrides, run=path))
    folder.checkpoints.path(2).mkdir()
    state = TrainState(
        point=Point(step=2, tokens=512, stage="broad", stage_tokens=512), segments=(), sources={}, positions={},
        epochs={}, block=folder.resolved(ONE).block, grid="one process", versions={},
    )  # fmt: skip
    (folder.checkpoints.path(2) / "state.json").write_text(json.dumps(asdict(state)))
    return folder


def test_a_new_folder(tiny_data: dict[str, Any], tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "deep" / "run")
    assert not folder.exists
    here = resolved(tiny_data, run=folder.path)
    folder.prepare(here)
    assert folder.exists and folder.checkpoints.steps() == []
    names = {path.name for path in folder.path.iterdir()}
    assert names == {"checkpoints", "logs", "tokenizer", "model.json", "recipe.toml"}
    assert folder.resolved(ONE).to_toml() == here.to_toml()
    assert json.loads((folder.path / "model.json").read_text())["hidden"] == 64


def test_a_base_brings_its_tokenizer(tiny_data: dict[str, Any], tmp_path: Path) -> None:
    base = fake_base(tmp_path / "base")
    table = {**tiny.recipe(tiny_data, tmp_path / "run"), "model": {"base": str(base)}}
    RunFolder(tmp_path / "run").prepare(resolve(recipe_from_table(table), ONE))
    assert (tmp_path / "run" / "tokenizer" / "tokenizer.json").read_text() == "{}"
    assert json.loads((tmp_path / "run" / "model.json").read_text())["base_label"] == "a base of a test"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr=0.5", "optim.lr: 0.003 there, 0.5 now"),
        ("seed=8", "seed: 7 there, 8 now"),
        ("data.block=64", "data.block: 32 there, 64 now"),
        ("model.layers=2", "model.layers: 4 there, 2 now"),
        ("precision.format=bf16", "precision.format: 'fp32' there, 'bf16' now"),
    ],
)
def test_a_changed_recipe_is_refused_with_both_values(
    tiny_data: dict[str, Any], tmp_path: Path, override: str, message: str
) -> None:
    folder = begun(tiny_data, tmp_path / "run")
    before = (folder.path / "recipe.toml").read_text()
    with pytest.raises(InputError) as caught:
        folder.prepare(resolved(tiny_data, override, run=folder.path))
    assert message in str(caught.value) and str(folder.path) in str(caught.value) and "`run`" in str(caught.value)
    assert (folder.path / "recipe.toml").read_text() == before


@pytest.mark.parametrize(
    ("override", "change"),
    [
        ("stage.broad.tokens=3k", "stage.broad.tokens: 1536 there, 3000 now"),
        ("stage.broad.mixture.agent=1", "stage.broad.mixture.agent: 0.5 there, 1.0 now"),
        ("data.sources.code.path=x", "/train/code' there, 'x' now"),
        ("stage.broad.sequence=64", "stage.broad.sequence: 32 there, 64 now"),
        ("stage.broad.name=wide", "stage: ['broad'] there, ['wide'] now"),
    ],
)
def test_what_may_change_from_here_on_is_said(
    tiny_data: dict[str, Any], tmp_path: Path, override: str, change: str
) -> None:
    folder = begun(tiny_data, tmp_path / "run")
    now = folder.settle(resolved(tiny_data, override, run=folder.path))
    assert any(change in line for line in folder.changes(now)) and now.block == 32
    folder.prepare(now)
    assert folder.resolved(ONE).to_toml() == now.to_toml() and not folder.changes(now)


@pytest.mark.parametrize(
    "override",
    [
        "parallel.tensor=2", "parallel.distributed_optimizer=false", "checkpoint.every=512", "checkpoint.keep=7",
        "observe.tensorboard=true", "observe.heldout_every=256", "run=elsewhere/run",
    ],
)  # fmt: skip
def test_what_changes_no_result_may_change(tiny_data: dict[str, Any], tmp_path: Path, override: str) -> None:
    folder = begun(tiny_data, tmp_path / "run")
    now = resolved(tiny_data, override, run=folder.path)
    folder.prepare(now)
    assert folder.resolved(ONE).to_toml() == now.to_toml()


def test_without_a_checkpoint_the_recipe_may_change(tiny_data: dict[str, Any], tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.prepare(resolved(tiny_data, run=folder.path))
    folder.prepare(resolved(tiny_data, "seed=9", run=folder.path))
    assert folder.resolved(ONE).recipe.seed == 9


def test_a_folder_that_cannot_be(tiny_data: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"run folder cannot hold .*file/run.*Not a directory.*`run`"):
        RunFolder(tmp_path / "file" / "run").prepare(resolved(tiny_data))
    with pytest.raises(InputError, match=r"is no run folder: it has no recipe\.toml"):
        RunFolder(tmp_path / "none").resolved(ONE)


def test_the_recipe_of_a_run_is_resolved_for_the_machine_it_is_on(tiny_data: dict[str, Any], tmp_path: Path) -> None:
    folder = begun(tiny_data, tmp_path / "run", "parallel.data=2")
    assert folder.resolved(Machine(cores=9, gpus=0, world=2)).grid.data == 2
    (folder.path / "recipe.toml").write_text(tomli_w.dumps({"name": "x"}))
    with pytest.raises(InputError, match=r"run/recipe\.toml: The key model is missing"):
        folder.resolved(ONE)


def test_only_whole_checkpoints_count(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    for name in ("step-00000010", "step-00000002", "step-00000011.partial", "step-3", "other"):
        (tmp_path / name).mkdir()
    assert store.steps() == [2, 10] and store.path(2).name == "step-00000002"
    with pytest.raises(InputError, match=r"step-00000010/state\.json cannot be read .*Remove .*step-00000010 "):
        store.read_state(10)
    (store.path(10) / "state.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        store.read_state(10)
