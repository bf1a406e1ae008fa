from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from support import tiny
from support.recipes import ONE, fake_base, resolved

from megatron_heph.errors import InputError
from megatron_heph.recipe.resolve import default_block, load_recipe, recipe_from_table, resolve
from megatron_heph.recipe.resolved import GridSize, Machine

TWO_STAGES = [
    {**tiny.RECIPE["stage"][0], "tokens": 1000},
    {**tiny.RECIPE["stage"][0], "name": "seed", "sequence": 48, "batch": 192, "tokens": 192},
]


def test_a_fresh_model(tiny_data: dict[str, Any]) -> None:
    here = resolved(tiny_data)
    assert here.base is None and here.device == "cpu" and here.block == 32
    assert (here.shape.heads, here.shape.kv_heads, here.shape.head_dim, here.shape.max_positions) == (4, 2, 16, 32)
    assert resolved(tiny_data, "model.head_dim=8").shape.head_dim == 8


def test_steps_of_stages(tiny_data: dict[str, Any]) -> None:
    table = {**tiny.recipe(tiny_data, Path("r")), "stage": TWO_STAGES}
    here = resolve(recipe_from_table(table), ONE)
    first, second = here.recipe.stage
    assert here.block == 96, "whole samples of 32 and of 48"
    assert (here.steps(first), here.steps(second), here.total_steps) == (4, 1, 5)
    assert here.samples(first) == 8 and here.micro_batches(first) == 4
    assert here.stage_at(1) == (first, 1) and here.stage_at(4) == (first, 4) and here.stage_at(5) == (second, 1)
    for step in (0, 6):
        with pytest.raises(IndexError):
            here.stage_at(step)


@pytest.mark.parametrize(
    ("sequences", "block"),
    [([4096], 4096), ([4096, 8192], 8192), ([384], 384), ([1000, 4097], 4097), ([96, 64], 192), ([], 1)],
)
def test_the_default_block(sequences: list[int], block: int) -> None:
    assert default_block(sequences) == block


def test_steps_are_exact_for_any_number_of_tokens(tiny_data: dict[str, Any]) -> None:
    here = resolved(tiny_data, f"stage.broad.tokens={2**60 + 1}")
    assert here.total_steps == 2**52 + 1


@pytest.mark.parametrize(
    ("machine", "overrides", "data"),
    [
        (Machine(cores=4, gpus=0), [], 4),
        (Machine(cores=3, gpus=0), [], 2),                       # 4 micro-batches do not go into 3
        (Machine(cores=64, gpus=0), [], 4),
        (Machine(cores=4, gpus=0), ["parallel.tensor=2"], 2),
        (Machine(cores=1, gpus=0), ["parallel.tensor=2"], 1),
        (Machine(cores=4, gpus=2), [], 2),
        (Machine(cores=4, gpus=2, world=4), [], 4),
        (Machine(cores=4, gpus=0), ["parallel.pipeline=2", "parallel.virtual=2"], 2),
        (Machine(cores=8, gpus=0), ["parallel.pipeline=2", "parallel.virtual=2"], 2),  # groups of 2 micro-batches
        (Machine(cores=4, gpus=0), ["parallel.data=1"], 1),
    ],
)
def test_auto_takes_what_is_left(tiny_data: dict[str, Any], machine: Machine, overrides: list[str], data: int) -> None:
    table = tiny.recipe(tiny_data, Path("r"))
    table["parallel"] = {}
    assert resolve(recipe_from_table(table, overrides), machine).grid.data == data


def test_the_grid_in_words() -> None:
    assert str(GridSize()) == "one process" and GridSize().world == 1
    assert str(GridSize(tensor=2, data=4)) == "TP2 x DP4" and GridSize(tensor=2, data=4, context=3).world == 24


def test_the_resolved_recipe_is_a_recipe(tiny_data: dict[str, Any], tmp_path: Path) -> None:
    here = resolved(tiny_data, "parallel.data=auto", "optim.betas=[0.8, 0.9]", machine=Machine(cores=2, gpus=0))
    table = tomllib.loads(here.to_toml())
    assert table["parallel"]["data"] == 2 and table["optim"]["betas"] == [0.8, 0.9] and table["run"] == "nowhere"
    again = resolve(recipe_from_table(table), ONE)
    assert again.to_toml() == here.to_toml()


def test_overrides_leave_the_table_alone(tiny_data: dict[str, Any]) -> None:
    table = tiny.recipe(tiny_data, Path("r"))
    assert recipe_from_table(table, ["stage.broad.lr=1", "data.sources.code.path=x"]).stage[0].lr == 1.0
    assert "lr" not in table["stage"][0] and tiny_data["sources"]["code"]["path"] != "x"


def test_a_recipe_file(tiny_data: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(tomli_w.dumps(tiny.recipe(tiny_data, Path("r"))))
    assert load_recipe(path, ["seed=3"]).seed == 3
    with pytest.raises(InputError, match=r"r\.toml: Unknown key stage\.broad\.tokns: did you mean 'tokens'"):
        load_recipe(path, ["stage.broad.tokns=3"])


def test_a_base_brings_the_shape(tiny_data: dict[str, Any], tmp_path: Path) -> None:
    table = {**tiny.recipe(tiny_data, Path("r")), "model": {"base": str(fake_base(tmp_path / "base"))}}
    here = resolve(recipe_from_table(table), ONE)
    assert here.base is not None and here.shape.max_positions == 128 and here.base.label == "a base of a test"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({}, r"names no base model .* lacks model\.layers, model\.hidden, model\.heads, model\.ffn, model\.vocab"),
        ({"layers": 1, "hidden": 64, "heads": 0, "ffn": 8, "vocab": 9}, r"model\.hidden is 64 and model\.heads is 0"),
        ({"layers": 1, "hidden": 66, "heads": 4, "ffn": 8, "vocab": 9}, r"model\.hidden is 66 and model\.heads is 4"),
        ({"layers": 1, "hidden": 64, "heads": 4, "kv_heads": 0, "ffn": 8, "vocab": 9}, "kv_heads is 0"),
        ({"base": "bases/none"}, r"no base model at bases/none.*change model\.base"),
    ],
)
def test_models_that_are_none(tiny_data: dict[str, Any], model: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve(recipe_from_table({**tiny.recipe(tiny_data, Path("r")), "model": model}), ONE)
