from __future__ import annotations

import threading

import numpy as np
import pytest

from megatron_heph.data.mixture import Mixture
from megatron_heph.data.order import SampleOrder, StreamOrder, source_key

WEIGHTS = [0.5, 0.0, 0.3, 0.2]
LENGTH = 24


def make_orders(block: int = 16) -> list[StreamOrder | None]:
    tokens = [100, 0, 1001, 12]
    return [StreamOrder(n, block, source_key(3, str(n)), 7, LENGTH) if n else None for n in tokens]


def expected(first: int, count: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows one by one."""
    orders, found = make_orders(), []
    source, earlier = Mixture(WEIGHTS).assign(first, count, stride)
    for row in range(count):
        order = orders[source[row]]
        assert order is not None
        pieces = order.pieces(int(earlier[row]))
        pieces[:, 0], pieces[:, 2] = row, source[row]
        found.append(pieces)
    return np.concatenate(found) if found else np.zeros((0, 5), np.int64), source


@pytest.mark.parametrize(
    ("first", "count", "stride"), [(0, 200, 1), (17, 50, 4), (10**15, 40, 1000), (3, 1, 8), (5, 0, 1)]
)
def test_rows_are_the_mixture_and_each_source_s_order(first: int, count: int, stride: int) -> None:
    pieces, sources = SampleOrder(Mixture(WEIGHTS), make_orders()).pieces(first, count, stride)
    want, source = expected(first, count, stride)
    assert pieces.dtype == sources.dtype == np.int64 and pieces.shape[1] == 5 and sources.shape == (count,)
    assert (pieces == want).all() and (sources == source).all()


def test_ranks_share_a_step_out() -> None:
    """Whatever the number of ranks, their rows together are the step's."""
    order = SampleOrder(Mixture(WEIGHTS), make_orders())
    whole, sources = order.pieces(96, 48)
    for ranks in (1, 2, 3, 8):
        for rank in range(ranks):
            part, own = order.pieces(96 + rank, 48 // ranks, ranks)
            mine = whole[whole[:, 0] % ranks == rank]
            mine[:, 0] //= ranks
            assert (part == mine).all() and (own == sources[rank::ranks]).all()


def test_threads_get_what_one_gets() -> None:
    order = SampleOrder(Mixture(WEIGHTS), make_orders())
    found: dict[int, np.ndarray] = {}
    workers = [
        threading.Thread(target=lambda i=i: found.update({i: order.pieces(1000 * i, 3000)[0]})) for i in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i in range(4):
        assert (found[i] == order.pieces(1000 * i, 3000)[0]).all()


def test_the_order_is_pinned() -> None:
    """A run that is resumed with a later version must see the same tokens."""
    pieces, _ = SampleOrder(Mixture(WEIGHTS), make_orders()).pieces(1000, 3)
    assert pieces.tolist() == [
        [0, 0, 0, 60, 4], [0, 4, 0, 32, 16], [0, 20, 0, 0, 4],
        [1, 0, 2, 815, 1], [1, 1, 2, 848, 16], [1, 17, 2, 448, 7],
        [2, 0, 0, 4, 24],
    ]  # fmt: skip


def test_a_weight_without_an_order() -> None:
    orders = make_orders()
    orders[2] = None
    with pytest.raises(ValueError, match="source 2 has a weight and no order"):
        SampleOrder(Mixture(WEIGHTS), orders)
    with pytest.raises(ValueError, match="3 orders for a mixture of 4"):
        SampleOrder(Mixture(WEIGHTS), make_orders()[:3])


@pytest.mark.parametrize(("first", "count", "stride"), [(-1, 1, 1), (0, -1, 1), (0, 1, 0), ((1 << 62) - 1, 2, 1)])
def test_samples_beyond_the_range(first: int, count: int, stride: int) -> None:
    with pytest.raises(ValueError, match="samples from"):
        SampleOrder(Mixture(WEIGHTS), make_orders()).pieces(first, count, stride)
