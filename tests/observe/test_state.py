import pytest
from synthetic_run import BEGUN, at, start, step, write_run

from megatron_heph.observe.metrics import read_metrics
from megatron_heph.observe.rows import FINISHED, End
from megatron_heph.observe.state import state_of


@pytest.mark.parametrize(
    ("end", "age", "name"),
    [
        (None, 5.0, "running"),
        (None, 599.0, "running"),
        (None, 3600.0, "silent"),
        (FINISHED, 3600.0, "finished"),
        ("stopped by SIGTERM", 3600.0, "stopped"),
    ],
)
def test_the_state_of_a_run(tmp_path, end, age, name):
    rows = [start(), *(step(number) for number in range(1, 4))]
    if end:
        rows.append(End(step=3, tokens=3 * 1536, seconds=3.3, reason=end, time=at(3)))
    metrics = read_metrics(write_run(tmp_path, rows) / "metrics.jsonl")
    state = state_of(metrics, at(3) + age)
    assert state.name == name
    assert (end or "") in (FINISHED, "") or end in state.detail


def test_slow_steps_are_given_time(tmp_path):
    import dataclasses

    rows = [start(), *(dataclasses.replace(step(number), step_seconds=300.0) for number in (1, 2))]
    metrics = read_metrics(write_run(tmp_path, rows) / "metrics.jsonl")
    assert state_of(metrics, at(2) + 5_000).name == "running"
    assert state_of(metrics, at(2) + 7_000).name == "silent"
    assert metrics.last_time > BEGUN
