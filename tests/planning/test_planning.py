"""The plan's data, steps and checkpoints against those of real runs and of the loader."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support import tiny

from megatron_heph.data.segments import Point
from megatron_heph.data.sources import open_training
from megatron_heph.data.timeline import parts
from megatron_heph.errors import InputError
from megatron_heph.planning.plan import Plan, make_plan, to_table
from megatron_heph.planning.run import crossings
from megatron_heph.planning.show import drawing, lines, size
from megatron_heph.recipe.resolve import recipe_from_table, resolve
from megatron_heph.recipe.resolved import Machine, Resolved


def resolved(data: dict[str, Any], run: Path, cores: int = 1, **changes: Any) -> Resolved:
    table = tiny.recipe(data, run)
    first = {**table["stage"][0], **changes.pop("first", {})}
    second = {**copy.deepcopy(first), "name": "seed", "mixture": {"agent": 1.0}, "sequence": 64, "lr": 1e-3}
    table |= {"stage": [first, second], **changes}
    return resolve(recipe_from_table(table), Machine(cores=cores, gpus=0))


SCHEDULE = {"first": {"tokens": 5000, "schedule": {"kind": "wsd", "warmup": 700, "decay": 1500, "floor": 0.1}}}


@pytest.fixture
def plan(tiny_data: dict[str, Any], tmp_path: Path) -> Plan:
    return make_plan(resolved(tiny_data, tmp_path / "run", **copy.deepcopy(SCHEDULE)))


def test_taken_tokens_are_those_that_the_loader_gives(tiny_data: dict[str, Any], tmp_path: Path, plan: Plan) -> None:
    """Every step of both stages is read, and its samples counted."""
    here = resolved(tiny_data, tmp_path / "run", **copy.deepcopy(SCHEDULE))
    sources = open_training(here)
    names, taken = list(sources), Counter(dict.fromkeys(sources, 0))
    for part in parts(here, sources, Point()):
        for step in range(part.first, part.stop):
            for source in part.loader.batch(step).sources_B:
                taken[names[source]] += part.stage.sequence
    assert {source.name: source.taken for source in plan.sources} == dict(taken)
    assert sum(taken.values()) == plan.tokens == 2 * 20 * 256
    agent = next(source for source in plan.sources if source.name == "agent")
    assert agent.tokens == sources["agent"].total_tokens and agent.epochs == agent.taken / (agent.tokens - 1)
    assert sum(agent.taken_by_stage.values()) == agent.taken and agent.taken_by_stage["seed"] == 5120


def test_steps_and_learning_rates(plan: Plan) -> None:
    first, second = plan.stages
    assert (first.first_step, first.steps, first.tokens, first.asked) == (1, 20, 5120, 5000)
    assert (second.first_step, second.last_step, second.samples, second.micro_batches) == (21, 40, 4, 2)
    rates = {point.what: (point.step, point.rate) for point in first.rates}
    assert list(rates) == ["first", "end of warm-up", "middle", "start of decay", "last"]
    assert rates["first"] == (1, pytest.approx(3e-3 * 128 / 700))  # a step takes the rate of its middle
    assert rates["end of warm-up"] == (4, 3e-3)  # whose middle is at 896 tokens, past the 700 of the warm-up
    # The stage reads 5120 tokens, so its decay of 1500 begins at 3620: before the middle of step 15 at 3712.
    assert rates["start of decay"] == (15, pytest.approx(3e-3 * (0.1 + 0.9 * (1 - 92 / 1500))))
    assert rates["last"] == (20, pytest.approx(3e-3 * (0.1 + 0.9 * (1 - 1372 / 1500))))
    assert second.peak == 1e-3 and second.rates[0].rate == pytest.approx(1e-3 * 128 / 700)
    assert plan.learning_rates[0] == rates["first"][1] and plan.learning_rates[-1] == second.rates[-1].rate


def test_repetition_and_unread_sources_are_warned_of(tiny_data: dict[str, Any], tmp_path: Path) -> None:
    first = {"tokens": 40000, "mixture": {"agent": 0.9, "code": 0.1}}
    warnings = make_plan(resolved(tiny_data, tmp_path / "run", first=first)).warnings
    assert len(warnings) == 2
    assert "reads the source agent" in warnings[0] and "arXiv 2305.16264" in warnings[0]
    assert "No token of the source text is read" in warnings[1]


def test_a_held_out_set_shorter_than_a_window_is_refused_as_by_train(tiny_data: dict[str, Any], tmp_path: Path) -> None:
    first = {"sequence": 512, "batch": 1024, "micro_batch": 2}
    with pytest.raises(InputError, match=r"held-out set of agent .*one window has 512 and needs one more"):
        make_plan(resolved(tiny_data, tmp_path / "run", first=first))


def test_a_machine_that_is_too_small_is_warned_of(tiny_data: dict[str, Any], tmp_path: Path) -> None:
    model = {"layers": 4, "hidden": 2**16, "heads": 512, "ffn": 2**18, "vocab": 256}
    warnings = make_plan(resolved(tiny_data, tmp_path / "run", model=model)).warnings
    assert "GB together, but this machine has" in warnings[-1]


@pytest.mark.parametrize("every", [None, 100, 256, 300, 1000, 5120, 10**9])
def test_how_often_something_is_due(tiny_data: dict[str, Any], tmp_path: Path, every: int | None) -> None:
    """The closed form against the session's rule, step by step, over stages of different batches."""
    table = tiny.recipe(tiny_data, tmp_path / "run")
    stages = [{**table["stage"][0], "name": str(batch), "batch": batch} for batch in (256, 768, 64)]
    here = resolve(recipe_from_table({**table, "stage": stages}), Machine(cores=1, gpus=0))
    tokens = count = 0
    crossed = False
    for stage in here.recipe.stage:
        for _ in range(here.steps(stage)):
            tokens += stage.batch
            crossed = every is not None and tokens // every > (tokens - stage.batch) // every
            count += crossed
    assert crossings(here, every, last=False) == count
    assert crossings(here, every, last=True) == count + (not crossed)


def test_time_is_never_invented(tiny_data: dict[str, Any], tmp_path: Path, plan: Plan) -> None:
    assert plan.speed is None and plan.seconds is None
    assert any("give one with --tokens-per-second" in line for line in lines(plan))
    given = make_plan(resolved(tiny_data, tmp_path / "run", **copy.deepcopy(SCHEDULE)), tokens_per_second=512.0)
    assert given.seconds == given.remaining_seconds == 20.0


def test_the_table_has_fields_and_properties(plan: Plan) -> None:
    table = to_table(plan)
    assert table["tokens"] == plan.tokens and table["memory"][0]["peak"] == plan.memory[0].peak
    assert table["sources"][0]["epochs"] == plan.sources[0].epochs and table["grid"]["world"] == 1
    nothing = {"step": 0, "tokens": 0, "left": 0, "detail": ""}
    assert table["run"] == {"folder": str(plan.run.folder), "state": "new", **nothing}


def test_a_drawing_and_sizes() -> None:
    assert drawing([0.0, 0.5, 1.0], height=2) == ["  █", " ██"]
    assert drawing([1 / 16, 8 / 16, 9 / 16, 1.0], height=2) == ["  ▁█", "▁███"]
    assert drawing([0.0, 0.0], height=1) == [""]
    assert [size(n) for n in (0, 950, 12_300_000, 1.5e9, 2e12)] == ["0 B", "950 B", "12.3 MB", "1.50 GB", "2.00 TB"]
