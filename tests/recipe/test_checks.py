"""Every check is tripped once: its message names the key, what was found, and what would be right."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.recipes import ONE, fake_base, resolved

from megatron_heph.errors import InputError
from megatron_heph.recipe import checks, grid_checks, key_checks
from megatron_heph.recipe.resolve import recipe_from_table, resolve
from megatron_heph.recipe.resolved import Machine

INTERLEAVED = ["parallel.pipeline=2", "parallel.virtual=2"]
STAGE = "stage.broad."

# check -> (overrides, what the message must hold): the key, both values, a legal value
WEIGHTED = [f"data.sources.{name}.weight=1" for name in ("agent", "code", "text")]
TRIPS: dict[str, list[tuple[list[str], list[str]]]] = {
    "sizes_are_positive": [
        (["parallel.tensor=0"], ["parallel.tensor is 0", "at least 1"]),
        (["parallel.data=-2"], ["parallel.data is -2", "at least 1"]),
        ([STAGE + "sequence=0"], ["stage.broad.sequence is 0", "at least 1"]),
        ([STAGE + "tokens=0"], ["stage.broad.tokens is 0", "at least 1"]),
        ([STAGE + "micro_batch=0", STAGE + "batch=0"], ["stage.broad.micro_batch is 0", "stage.broad.batch is 0"]),
    ],
    "settings_are_in_range": [
        (["optim.lr=-1e-3"], ["optim.lr is -0.001", "at least 0"]),
        ([STAGE + "lr=-1"], ["stage.broad.lr is -1.0", "at least 0"]),
        (["optim.clip=-1"], ["optim.clip is -1.0", "at least 0"]),
        (["seed=-1"], ["seed is -1", "at least 0"]),
        (["optim.betas=[0.9, 1.0]"], ["optim.betas.1 is 1.0", "less than 1"]),
        (["optim.eps=0"], ["optim.eps is 0.0", "1e-8"]),
        ([STAGE + "schedule.floor=1.5"], ["stage.broad.schedule.floor is 1.5", "from 0 to 1"]),
    ],
    "intervals_are_positive": [
        (["checkpoint.every=0"], ["checkpoint.every is 0", "at least 1"]),
        (["observe.heldout_every=0"], ["observe.heldout_every is 0", "at least 1"]),
        (["checkpoint.keep=0"], ["checkpoint.keep is 0", "at least 1"]),
    ],
    "stages_are_named_once": [
        (["stage=[]"], ["no [[stage]]", "name, tokens, sequence, batch and mixture"]),
        ([STAGE + "name=a.b"], ["'a.b'", "without . and ="]),
    ],
    "tensor_divides_the_model": [
        (["parallel.tensor=3"], ["parallel.tensor is 3", "heads (4)", "1, 2.", "parallel.pipeline"]),
        (["parallel.tensor=4"], ["parallel.tensor is 4", "KV heads (2)", "1, 2."]),
        (["parallel.tensor=2", "model.ffn=97"], ["parallel.tensor is 2", "FFN width (97)", ": 1."]),
        (["parallel.tensor=2", "model.vocab=255"], ["parallel.tensor is 2", "vocabulary (255)", ": 1."]),
    ],
    "pipeline_divides_layers": [
        (["parallel.pipeline=3"], ["parallel.pipeline x parallel.virtual is 3", "4 layers", "1, 2, 4"]),
        ([*INTERLEAVED, "parallel.pipeline=4"], ["is 8", "4 layers", "1, 2, 4"]),
        (["parallel.virtual=2"], ["parallel.virtual is 2", "parallel.pipeline is 1", "Set parallel.virtual to 1"]),
    ],
    "interleaving_never_batches_two_messages": [
        (
            [*INTERLEAVED, "parallel.p2p=batched"],
            ['parallel.p2p is "batched"', "parallel.virtual = 2", "parallel.pipeline = 2", '"overlap" or "auto"'],
        ),
    ],
    "micro_batches_fit_interleaving": [
        (
            [*INTERLEAVED, STAGE + "batch=192"],
            ["stage.broad.batch is 192", "3 micro-batches", "parallel.pipeline = 2", "128 and 256"],
        ),
    ],
    "sequence_is_shared_out": [
        (["parallel.sequence=true"], ["parallel.sequence is true", "parallel.tensor is 1", "false"]),
        (
            ["parallel.context=3", "parallel.tensor=1", "parallel.data=1"],
            ["stage.broad.sequence is 32", "6 parts", "30 and 36", "parallel.context"],
        ),
        (
            ["parallel={context=2, tensor=2, sequence=true, data=1}", STAGE + "sequence=4", STAGE + "batch=8"],
            ["stage.broad.sequence is 4", "8 parts", "8 and 16"],
        ),
    ],
    "batches_are_whole": [
        ([STAGE + "batch=250"], ["stage.broad.batch is 250", "units of 64", "192 and 256"]),
        (["parallel.data=8"], ["stage.broad.batch is 256", "data parallel 8", "512 and 1024", "parallel.data"]),
    ],
    "schedules_fit_their_stage": [
        (
            [STAGE + "schedule={kind='wsd', warmup=1000, decay=1000}"],
            ["stage.broad.schedule uses 2000", "has 1536", "schedule.warmup or schedule.decay"],
        ),
        (
            [STAGE + "schedule={kind='cosine', decay=100}"],
            ["stage.broad.schedule.decay is 100", '"cosine"', '"wsd"'],
        ),
    ],
    "mixtures_name_domains": [
        ([STAGE + "mixture={agent=-1, code=2}"], ["stage.broad.mixture.agent is -1.0", "at least 0"]),
        ([STAGE + "mixture={agnet=1}"], ["stage.broad.mixture", "'agnet'", "'agent'"]),
        ([STAGE + "mixture={agnet=0, code=1}"], ["stage.broad.mixture", "'agnet'", "'agent'"]),
        ([STAGE + "mixture={agent=0}"], ["stage.broad.mixture", "above 0"]),
        (["data.sources.code.domain=cod"], ["data.sources.code.domain is 'cod'", "'code'"]),
        (
            ["data.sources.code.domain=text", STAGE + "mixture={code=1}"],
            ["stage.broad.mixture names 'code'", "[data.sources]", "agent, text"],
        ),
    ],
    "sources_share_their_domain": [
        (["data.sources.code.weight=-1"], ["data.sources.code.weight is -1.0", "at least 0"]),
        (["data.sources.code.weight=0"], ["domain 'code'", "weight 0"]),
        (["data.sources.code.max_epochs=0"], ["data.sources.code.max_epochs is 0.0", "above 0"]),
        (
            ["data.sources.code.domain=text", "data.sources.code.weight=1", STAGE + "mixture={text=1}"],
            ["data.sources.code.weight is 1.0", "data.sources.text", "'text'", "or none"],
        ),
    ],
    "steps_are_read_ahead": [
        (["data.prefetch=-1"], ["data.prefetch is -1", "0 or more"]),
    ],
    "megatron_order_is_whole": [
        (
            ["data.megatron={sources=['agnet', 'code', 'text'], samples=10}"],
            ["data.megatron.sources names 'agnet'", "'agent'", "lacks 'agent'", "needs the weight"],
        ),
        (
            [*WEIGHTED, "data.megatron={sources=['agent', 'code', 'text'], samples=10, consumed=10}"],
            ["data.megatron.consumed is 10", "= 9"],
        ),
        (
            [
                *WEIGHTED,
                "data.megatron={sources=['agent', 'code', 'text'], samples=10}",
                "data.sources.code.window=pack",
                "data.sources.text.max_epochs=2",
            ],
            ['data.sources.code.window is "pack"', '"stream"', "data.sources.text.max_epochs is set", "no caps"],
        ),
    ],
    "precision_is_built": [
        (["precision.format=fp8"], ['precision.format is "fp8"', '"bf16" or "fp32"']),
        (["precision.backend=te"], ['precision.backend is "te"', '"torch"']),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("name", "case"), [(name, i) for name, cases in TRIPS.items() for i in range(len(cases))])
def test_a_check_is_tripped(tiny_data: dict[str, Any], name: str, case: int) -> None:
    overrides, fragments = TRIPS[name][case]
    with pytest.raises(InputError) as caught:
        resolved(tiny_data, *overrides)
    message = str(caught.value)
    assert all(fragment in message for fragment in fragments), message
    assert "\n" not in message and message.endswith((".", "?"))


def test_every_check_is_tripped_and_run() -> None:
    elsewhere = {"a_base_brings_its_sizes", "launcher_agrees", "gpus_are_enough"}
    written = {
        name
        for module in (grid_checks, key_checks)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    assert written == {check.__name__ for check in (*checks.FIRST, *checks.CHECKS)}, "a check that is never run"
    assert written == TRIPS.keys() | elsewhere, "a check that no test trips"


def test_a_launcher_that_started_too_few(tiny_data: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        resolved(tiny_data, "parallel.data=2", machine=Machine(cores=1, gpus=0, world=3))
    assert all(text in str(caught.value) for text in ("3 processes (WORLD_SIZE)", "DP2", "start 2", "parallel.data"))


def test_more_processes_than_gpus(tiny_data: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        resolved(tiny_data, "parallel.data=4", machine=Machine(cores=1, gpus=2))
    assert all(text in str(caught.value) for text in ("4 processes", "2 GPUs", "at most 2", "parallel.tensor"))


def test_a_base_brings_its_sizes(tiny_data: dict[str, Any], tmp_path: Path) -> None:
    base = str(fake_base(tmp_path / "base"))
    table = {**tiny.recipe(tiny_data, Path("r")), "model": {"base": base}}
    with pytest.raises(InputError) as caught:
        resolve(recipe_from_table(table, ["model.layers=2", "stage.broad.sequence=256"]), ONE)
    for text in ("model.layers is 2", "layers is 4", "stage.broad.sequence is 256", "at most 128"):
        assert text in str(caught.value)


def test_two_stages_of_one_name(tiny_data: dict[str, Any]) -> None:
    table = tiny.recipe(tiny_data, Path("r"))
    table["stage"] *= 2
    with pytest.raises(InputError, match=r"Two stages are named 'broad'.*rename"):
        resolve(recipe_from_table(table), ONE)


def test_all_that_is_wrong_is_said_at_once(tiny_data: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        resolved(tiny_data, "parallel.tensor=3", "stage.broad.batch=250", "precision.format=fp8")
    assert all(key in str(caught.value) for key in ("parallel.tensor", "stage.broad.batch", "precision.format"))


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["parallel.tensor=2", "parallel.sequence=true", "parallel.pipeline=2", "parallel.data=2"],
        [*INTERLEAVED, "parallel.p2p=overlap", "parallel.context=2"],
        ["data.block=100", "stage.broad.schedule={kind='wsd', warmup=500, decay=1036, floor=0.1}"],
        ["stage.broad.mixture={code=1}", "precision.format=bf16", "checkpoint.every=1", "optim.lr=0"],
    ],
)
def test_a_right_recipe_passes(tiny_data: dict[str, Any], overrides: list[str]) -> None:
    assert resolved(tiny_data, *overrides)
