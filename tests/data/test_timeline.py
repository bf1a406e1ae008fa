"""What lies ahead of a run: stages, caps, and the same segments whether it is resumed or not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.sources import position_sources, resolved_for

from megatron_heph.data.segments import Point, Segment
from megatron_heph.data.sources import Sources, TrainingSource
from megatron_heph.data.timeline import Part, parts, remaining_steps
from megatron_heph.errors import InputError
from megatron_heph.recipe.resolved import Resolved

BLOCK = 64


def stage(
    name: str = "only", tokens: int = 2048, sequence: int = 16, batch: int = 128, **mixture: float
) -> dict[str, Any]:
    return {"name": name, "tokens": tokens, "sequence": sequence, "batch": batch, "mixture": mixture or {"text": 1.0}}


def with_node(source: TrainingSource, **changes: Any) -> TrainingSource:
    return replace(source, node=replace(source.node, **changes))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return position_sources(tmp_path_factory.mktemp("timeline"), {"a": 300, "b": 900, "c": 5000})


def walk(
    resolved: Resolved, sources: Sources, point: Point | None = None, last: Segment | None = None
) -> list[Part]:
    return list(parts(resolved, sources, point or Point(), last))


def everything_read(resolved: Resolved, sources: Sources, found: list[Part]) -> list[list[list[int]]]:
    return [part.loader.pieces(step)[0].tolist() for part in found for step in range(part.first, part.stop)]


def test_stages_follow_each_other(opened: Sources) -> None:
    here = resolved_for(opened, [stage("one", 1000), stage("two", 500, sequence=24, batch=48)], block=BLOCK)
    first, second = walk(here, opened)
    assert (first.stage.name, first.first, first.stop) == ("one", 0, 8)
    assert (second.stage.name, second.first, second.stop, second.segment.step) == ("two", 0, 11, 8)
    assert second.segment.begin == first.loader.places(8)
    end = second.after(first.after(Point(), 8), 11)
    assert (end.step, end.tokens, end.stage, end.stage_tokens) == (19, 8 * 128 + 11 * 48, "two", 11 * 48)
    assert remaining_steps(here, Point()) == 19 and remaining_steps(here, end) == 0 and not walk(here, opened, end)


@pytest.mark.parametrize("stop", range(17))
def test_a_resumed_run_reads_the_same_in_the_same_segments(opened: Sources, stop: int) -> None:
    sources = {name: with_node(opened[name], weight=1.0 + 4 * (name == "a")) for name in opened}
    sources["a"] = with_node(sources["a"], max_epochs=1.5)
    here = resolved_for(sources, [stage("one", 1000), stage("two", 1000)], block=BLOCK)
    straight = walk(here, sources)
    assert len(straight) == 3, "the test needs a cap"
    point, done = Point(), []
    for part in straight:
        steps = min(part.stop - part.first, stop - point.step)
        point = part.after(point, steps)
        done.append(part)
        if point.step == stop:
            break
    last = done[-1].segment if stop else None
    resumed = walk(here, sources, point if stop else Point(), last)
    assert everything_read(here, sources, resumed) == everything_read(here, sources, straight)[stop:]
    segments = {part.segment.step: part.segment for part in straight}
    assert all(segments[part.segment.step] == part.segment for part in resumed)


def test_a_change_begins_a_segment_where_it_is_made(opened: Sources) -> None:
    here = resolved_for(opened, [stage()], block=BLOCK)
    (part,) = walk(here, opened)
    point = part.after(Point(), 5)
    for changed in (
        resolved_for(opened, [stage(sequence=32)], block=BLOCK),
        resolved_for(opened, [stage(batch=256)], block=BLOCK),
        resolved_for({name: opened[name] for name in ("b", "c")}, [stage()], block=BLOCK),
    ):
        sources = {name: opened[name] for name in changed.recipe.data.sources}
        (after,) = walk(changed, sources, point, part.segment)
        assert after.segment.step == 5 and after.first == 0
        assert after.segment.begin == point.places and set(after.segment.weights) == set(sources)
        assert after.stop * after.segment.batch >= 2048 - 5 * 128
    longer = resolved_for(opened, [stage(tokens=4096)], block=BLOCK)
    (after,) = walk(longer, opened, point, part.segment)
    assert (after.segment, after.first, after.stop) == (part.segment, 5, 32), "more tokens are no other segment"


def test_domains_share_by_tokens_or_by_weights(opened: Sources) -> None:
    sources = {**opened, "c": with_node(opened["c"], domain="code")}
    here = resolved_for(sources, [stage(text=3.0, code=1.0)], block=BLOCK)
    weights = walk(here, sources)[0].segment.weights
    assert weights == pytest.approx({"a": 0.75 * 300 / 1200, "b": 0.75 * 900 / 1200, "c": 0.25})
    named = {**sources, "a": with_node(sources["a"], weight=1.0), "b": with_node(sources["b"], weight=3.0)}
    weights = walk(resolved_for(named, [stage(text=3.0, code=1.0)], block=BLOCK), named)[0].segment.weights
    assert weights == pytest.approx({"a": 0.1875, "b": 0.5625, "c": 0.25})
    weights = walk(resolved_for(sources, [stage(code=1.0, text=0.0)], block=BLOCK), sources)[0].segment.weights
    assert weights == {"c": 1.0}, "a source without weight is not in the segment"


def capped(opened: Sources, **keys: Any) -> Sources:
    return {**opened, "a": with_node(opened["a"], domain="agent", **keys), "b": with_node(opened["b"], domain="agent")}


def test_a_cap_hands_the_share_to_the_domain(opened: Sources) -> None:
    sources = capped(opened, max_epochs=2.0)
    here = resolved_for(sources, [stage(tokens=8192, agent=1.0, text=1.0)], block=BLOCK)
    first, second = walk(here, sources)
    assert first.capped == ("a",) and second.segment.step == first.stop
    assert first.loader.epochs(first.stop)["a"] <= 2.0 < first.loader.epochs(first.stop + 1)["a"]
    assert second.segment.weights == pytest.approx({"b": 0.5, "c": 0.5}) and second.stop + first.stop == 64


def test_without_others_in_the_domain_the_rest_takes_it(opened: Sources) -> None:
    sources = {"b": with_node(opened["b"], domain="agent", max_epochs=1.0), "c": opened["c"]}
    here = resolved_for(sources, [stage(tokens=8192, agent=1.0, text=3.0)], block=BLOCK)
    assert [part.segment.weights for part in walk(here, sources)] == [{"b": 0.25, "c": 0.75}, {"c": 1.0}]


def test_a_cap_may_stop_the_stage(opened: Sources) -> None:
    sources = capped(opened, max_epochs=1.0, at_cap="stop")
    stages = [stage("one", 8192, agent=1.0), stage("two", 1024, text=1.0)]
    here = resolved_for(sources, stages, block=BLOCK)
    first, second = walk(here, sources)
    assert first.capped == ("a",) and second.stage.name == "two"
    point = first.after(Point(), first.stop)
    (again,) = walk(here, sources, point, first.segment)
    assert again.segment == second.segment, "a run that is resumed at the cap goes on with the next stage too"


def test_a_cap_may_refuse_the_run(opened: Sources) -> None:
    sources = capped(opened, max_epochs=1.0, at_cap="refuse")
    here = resolved_for(sources, [stage(tokens=8192, agent=1.0)], block=BLOCK)
    with pytest.raises(InputError, match=r"more than data\.sources\.a\.max_epochs = 1 times after step \d+"):
        walk(here, sources)


def test_when_all_are_at_their_caps(opened: Sources) -> None:
    sources = {"a": with_node(opened["a"], max_epochs=1.0)}
    here = resolved_for(sources, [stage(tokens=1024)], block=BLOCK)
    with pytest.raises(InputError, match=r"At step 2 of the run, with 6 steps of stage only to do, the sources a have"):
        walk(here, sources)
    raised = {"a": with_node(opened["a"], max_epochs=9.0)}
    first = next(parts(here, sources, Point()))
    point = first.after(Point(), first.stop)
    assert sum(part.stop - part.first for part in walk(here, raised, point, first.segment)) == 6


def test_a_stage_that_is_gone(opened: Sources) -> None:
    here = resolved_for(opened, [stage("one"), stage("two")], block=BLOCK)
    with pytest.raises(InputError, match=r"stands in the stage 'broad' \(step 3\).*one, two.*tokens to 384"):
        walk(here, opened, Point(step=3, tokens=384, stage="broad", stage_tokens=384))
