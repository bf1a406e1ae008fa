"""Steps computed ahead: in order, bounded, with errors where they belong."""

import threading
import time

import pytest

from megatron_heph.data.prefetch import Prefetcher


@pytest.mark.parametrize("depth", [0, 1, 2, 4, 100])
def test_steps_come_in_order(depth):
    def make(step):
        time.sleep(0.001 * (step % 3))
        return step * step

    with Prefetcher(make, 5, 40, depth) as steps:
        assert list(steps) == [step * step for step in range(5, 40)]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_no_more_than_depth_is_ahead():
    begun = []
    with Prefetcher(lambda step: begun.append(step) or step, 0, 100, depth=3) as steps:
        for expected in range(10):
            assert next(steps) == expected
            time.sleep(0.01)
            assert len(begun) == expected + 1 + 3


@pytest.mark.parametrize("depth", [0, 2])
def test_an_error_comes_at_its_step(depth):
    def make(step):
        if step == 3:
            raise ValueError("the third")
        return step

    with Prefetcher(make, 0, 10, depth) as steps:
        assert [next(steps) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ValueError, match="the third"):
            next(steps)
        assert list(steps) == []


def test_leaving_early_ends_the_threads_after_the_step_at_work():
    made = []

    def make(step):
        time.sleep(0.02)
        made.append(step)

    with Prefetcher(make, 0, 10**9, depth=8) as steps:
        next(steps)
    assert len(made) <= 3 and not [t for t in threading.enumerate() if t.name.startswith("prefetch")]
    steps.close()       # twice does no harm


def test_nothing_to_do():
    with Prefetcher(lambda step: step, 7, 7) as steps:
        assert list(steps) == []
