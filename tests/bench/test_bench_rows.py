"""Ratios of made-up seconds, where the right answer is known."""

import json

import pytest

from megatron_heph.bench.card import Card, Measured, RowResult
from megatron_heph.bench.paired import NoiseError, Spread, in_turn, ratios, without
from megatron_heph.bench.tokenize_rows import ROWS, Sizes, needed_jobs

SIZES = Sizes(prefix=20, full=400, full_text=380)
CPU = {
    "ours @ ten": [1.0, 1.0, 1.0], "ours @ full": [4.0, 5.0, 7.0], "ours @ prefix": [1.5, 1.5, 1.5],
    "fast @ ten": [8.0, 8.0, 8.5], "fast @ full": [14.0, 16.0, 18.0],
    "hf @ ten": [10.0, 10.0, 10.0], "hf @ prefix": [20.0, 20.0, 20.0],
    "raw native @ full": [3.0, 3.6, 6.0],
    "ours, 1 worker @ full": [4.0, 4.0, 4.0], "ours, 2 workers @ full": [4.2, 4.4, 5.0],
}  # fmt: skip


def test_start_up_is_subtracted_on_both_sides():
    assert ROWS["fast"].figure(CPU, SIZES) == Spread(3 / 6, 4 / 8, 6 / 10)  # of 3/6, 4/8 and 6/10
    assert ROWS["fast-whole"].figure(CPU, SIZES) == Spread(5 / 16, 4 / 14, 7 / 18)


def test_a_slow_peer_is_compared_per_byte_on_the_prefix_and_whole():
    # peer: 10 s for 20 bytes; ours: 4 s (the median) for 400
    assert ROWS["hf"].figure(CPU, SIZES).median == pytest.approx((10 / 20) / (4 / 400))
    assert ROWS["hf-prefix"].figure(CPU, SIZES).median == pytest.approx(10 / 0.5)
    assert ROWS["hf-whole"].figure(CPU, SIZES).median == pytest.approx(20 / 1.5)


def test_rate_workers_and_memory():
    assert ROWS["raw-native"].figure(CPU, SIZES).median == pytest.approx(1.0)
    assert ROWS["workers"].figure(CPU, SIZES).median == pytest.approx(1.1)
    peak = {"ours @ hundred": [2e8], "ours @ repeated": [2.1e8]}
    assert ROWS["memory"].figure(peak, SIZES).median == pytest.approx(1.05)


def test_aims_have_a_side():
    met = ROWS["fast"].met, ROWS["hf"].met
    assert met[0](Spread(0.7, 0.1, 0.9)) and not met[0](Spread(0.71, 0.1, 0.9))
    assert met[1](Spread(60.0, 1.0, 99.0)) and not met[1](Spread(59.9, 1.0, 99.0))


def test_each_job_is_needed_once_and_rows_without_an_aim_have_no_verdict():
    jobs = needed_jobs(["fast", "fast-whole", "hf"])
    assert len(jobs) == len(set(jobs)) and {"ours @ ten", "fast @ full", "hf @ prefix"} <= set(jobs)
    assert ROWS["hf-whole"].met(Spread(1.0, 1.0, 1.0)) is None


def test_rounds_alternate_and_a_failed_job_is_not_run_again():
    seen = []

    def run(job, index):
        seen.append((job, index))
        return job != "b"

    in_turn(["a", "b", "c"], 2, run)
    assert seen == [("a", 0), ("b", 0), ("c", 0), ("c", 1), ("a", 1)]


def test_ratios_are_of_one_round():
    assert ratios([1.0, 4.0, 9.0], [1.0, 2.0, 3.0]) == Spread(2.0, 1.0, 3.0)
    assert without([9.0, 6.0], [1.8, 2.2, 2.0]) == [7.0, 4.0]


def test_a_difference_within_the_noise_is_no_figure():
    with pytest.raises(NoiseError, match="larger corpus"):
        without([9.0, 5.9], [1.0, 3.0, 2.0])
    with pytest.raises(NoiseError):
        without([5.0], [5.0])


def test_a_card_says_what_was_not_measured(tmp_path):
    rows = {
        "a": RowResult("one | two", "at most 0.7", Spread(0.5, 0.4, 0.6), True, ""),
        "b": RowResult("a peer", "at least 2", None, None, "no --megatron-lm"),
    }
    spread = Spread(1.0, 0.9, 1.2)
    card = Card(
        title="T", method="M", same_means="equal",
        about={"cpu": "C"}, versions={"python": "3"}, corpus={"corpus": "c"}, commands={"ours": "heph"},
        rows=rows, measured={"ours @ ten": Measured(spread, spread, 1 << 20, 3)}, same={"x = y": False},
    )  # fmt: skip
    card.write(tmp_path / "card.md")
    text = (tmp_path / "card.md").read_text()
    assert "| a | one / two | at most 0.7 | **0.5** (0.4 - 0.6) | met |" in text
    assert "not measured: no --megatron-lm" in text and "**different**" in text
    assert json.loads((tmp_path / "card.json").read_text())["rows"]["a"]["figure"]["median"] == 0.5
