from pathlib import Path

import pytest

from data_tools.tokenize.inputs import Input
from data_tools.tokenize.plan import Recorded, plan_shards
from megatron_heph.errors import InputError


def _inputs(**sizes):
    return [Input(Path(name.replace("_", ".")), name.replace("_", "."), size) for name, size in sizes.items()]


def _shape(plans):
    return [(plan.name, [(p.file.name, p.begin, p.end) for p in plan.pieces]) for plan in plans]


def _record(plans):
    return [
        Recorded(plan.name, tuple((p.file.name, p.begin, p.end, p.file.bytes) for p in plan.pieces)) for plan in plans
    ]


def test_small_files_share_a_shard_big_ones_are_cut_and_compressed_ones_come_whole():
    plans = plan_shards("s", _inputs(a_jsonl=4, b_jsonl=7, c_jsonl=35, d_zst=99, e_jsonl=1, f_jsonl=2), 10)
    assert _shape(plans) == [
        ("s-00000", [("a.jsonl", 0, 4), ("b.jsonl", 0, 7)]),
        ("s-00001", [("c.jsonl", 0, 11)]),
        ("s-00002", [("c.jsonl", 11, 23)]),
        ("s-00003", [("c.jsonl", 23, 35)]),
        ("s-00004", [("d.zst", 0, 99)]),
        ("s-00005", [("e.jsonl", 0, 1), ("f.jsonl", 0, 2)]),
    ]
    assert [plan.bytes for plan in plans] == [11, 11, 12, 12, 99, 3]


def test_new_inputs_are_new_shards_and_those_that_are_there_stay():
    old = plan_shards("s", _inputs(a_jsonl=4, b_jsonl=25), 10)
    new = plan_shards("s", _inputs(a_jsonl=4, b_jsonl=25, c_jsonl=5), 7, _record(old))  # even at another size
    assert _shape(new[:-1]) == _shape(old) and _shape(new)[-1] == ("s-00003", [("c.jsonl", 0, 5)])


def test_a_file_of_another_size_is_planned_anew_under_its_own_names():
    old = plan_shards("s", _inputs(a_jsonl=25, b_jsonl=4, c_jsonl=4), 10)
    assert [name for name, _ in _shape(old)] == ["s-00000", "s-00001", "s-00002"]
    grown = _shape(plan_shards("s", _inputs(a_jsonl=36, b_jsonl=4, c_jsonl=4), 10, _record(old)))
    assert grown == [
        ("s-00000", [("a.jsonl", 0, 12)]),
        ("s-00001", [("a.jsonl", 12, 24)]),
        ("s-00003", [("a.jsonl", 24, 36)]),  # s-00002 is another's
        ("s-00002", [("b.jsonl", 0, 4), ("c.jsonl", 0, 4)]),
    ]
    shrunk = _shape(plan_shards("s", _inputs(a_jsonl=5, b_jsonl=3, c_jsonl=4), 10, _record(old)))
    assert shrunk == [("s-00000", [("a.jsonl", 0, 5)]), ("s-00002", [("b.jsonl", 0, 3), ("c.jsonl", 0, 4)])]


def test_files_of_one_name_in_two_folders_are_two():
    inputs = [Input(Path(f"{folder}/x.jsonl"), f"{folder}/x.jsonl", 9) for folder in "ab"]
    old = plan_shards("s", inputs, 9)
    assert _shape(plan_shards("s", inputs, 9, _record(old))) == _shape(old)


@pytest.mark.parametrize("inputs", [{"b_jsonl": 4}, {"b_jsonl": 4, "a_jsonl": 4}, {"c_jsonl": 1, "a_jsonl": 4}])
def test_nothing_takes_the_place_of_what_is_there(inputs):
    old = plan_shards("s", _inputs(a_jsonl=4), 10)
    with pytest.raises(InputError, match=r"s holds a\.jsonl as input 1, and now that would be [bc]\.jsonl"):
        plan_shards("s", _inputs(**inputs), 10, _record(old))
