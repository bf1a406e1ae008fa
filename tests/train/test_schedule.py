from __future__ import annotations

import math
from itertools import pairwise

import pytest

from megatron_heph.formats.toml_tree import Tokens
from megatron_heph.recipe.tree import Schedule
from megatron_heph.train.schedule import learning_rate

END, PEAK = 1000, 2.0


def rates(points: list[float], **settings: object) -> list[float]:
    schedule = Schedule(**settings)  # type: ignore[arg-type]
    return [learning_rate(tokens, END, PEAK, schedule) for tokens in points]


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine", "wsd"])
def test_warm_up_is_linear_from_zero(kind: str) -> None:
    assert rates([0, 25, 50, 100], kind=kind, warmup=Tokens(100)) == pytest.approx([0, 0.5, 1, 2])


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine", "wsd"])
def test_without_warm_up_it_begins_at_the_peak(kind: str) -> None:
    assert rates([0], kind=kind) == [PEAK]


def test_shapes() -> None:
    assert rates([0, 500, 1000], kind="constant") == [2, 2, 2]
    assert rates([200, 600, 1000], kind="linear", warmup=Tokens(200)) == pytest.approx([2, 1, 0])
    assert rates([0, 250, 500, 1000], kind="cosine") == pytest.approx([2, 1 + math.sqrt(0.5), 1, 0])
    assert rates([0, 599, 600, 800, 1000], kind="wsd", decay=Tokens(400)) == pytest.approx([2, 2, 2, 1, 0])
    assert rates([999], kind="wsd") == [2]


@pytest.mark.parametrize("kind", ["linear", "cosine", "wsd"])
def test_the_floor_is_a_fraction_of_the_peak(kind: str) -> None:
    decay = Tokens(400 if kind == "wsd" else 0)
    assert rates([1000, 5000], kind=kind, floor=0.1, decay=decay) == pytest.approx([0.2, 0.2])


@pytest.mark.parametrize("kind", ["linear", "cosine", "wsd"])
def test_it_never_rises_after_the_warm_up_nor_jumps(kind: str) -> None:
    decay = Tokens(300 if kind == "wsd" else 0)
    values = rates([float(t) for t in range(0, 1001)], kind=kind, warmup=Tokens(200), floor=0.05, decay=decay)
    top = values.index(max(values))
    assert top == 200 and values[:top] == sorted(values[:top]) and values[top:] == sorted(values[top:], reverse=True)
    assert max(abs(a - b) for a, b in pairwise(values)) <= PEAK / 200 + 1e-12
