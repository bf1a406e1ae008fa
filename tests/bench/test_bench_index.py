"""`heph bench index` from end to end on a small corpus, with Megatron beside it, and what makes its inputs."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support.processes import heph

from megatron_heph.bench.meter import Meter
from megatron_heph.formats.indexed import TokenizedSource

MAKERS = Path(__file__).parents[2] / "benchmarks" / "data"


def make(script, *arguments):
    command = [sys.executable, str(MAKERS / script), *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    make("make_pair.py", folder / "pair", "--documents", 300, "--mean", 90)
    make("make_sources.py", folder / "pair", folder / "ours", "--sources", 2, "--shards", 3)
    make("make_pair.py", folder / "hole", "--documents", 400, "--mean", 90, "--hole")
    make("make_sources.py", folder / "hole", folder / "peer", "--sources", 2, "--plain")
    return folder


def test_a_made_pair_is_a_pair(inputs):
    source = TokenizedSource.open(inputs / "pair")
    starts, lengths = source.documents().T
    assert len(lengths) == 300 and 60 < lengths.mean() < 130 and lengths.min() >= 2
    zeros = np.flatnonzero(source.read(0, source.total_tokens) == 0)
    assert zeros.tolist() == (starts + lengths - 1).tolist(), "each document ends with 0, and only there"
    hole = inputs / "hole.bin"
    size = hole.stat().st_size
    assert hole.stat().st_blocks * 512 < size == 2 * TokenizedSource.open(inputs / "hole").total_tokens


def test_made_sources_are_sources(inputs):
    sources = [TokenizedSource.open(inputs / "ours" / name) for name in ("s0", "s1")]
    pair = TokenizedSource.open(inputs / "pair")
    assert [source.total_tokens for source in sources] == [3 * pair.total_tokens] * 2
    assert sources[0].manifest.documents == 900
    assert sources[0].read(pair.total_tokens, 50).tolist() == pair.read(0, 50).tolist()


def test_ours_and_megatron(inputs, tmp_path):
    card = tmp_path / "card.md"
    done = heph("bench", "index", "--sources", str(inputs / "ours"), "--peer", str(inputs / "peer"), "--sequence", "64",
                "--runs", "1", "--json", "--card", str(card))  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    rows = {name: row["figure"]["median"] for name, row in found["rows"].items()}
    assert rows["times-less"] > 0 and rows["megatron-cache"] > 0
    assert 0 < rows["locate-8"] < 10_000 and rows["first-batch"] >= rows["first-batch-cpu"] / 4
    tokens = 6 * TokenizedSource.open(inputs / "pair").total_tokens
    assert found["corpus"]["ours reads"].startswith(f"{tokens:,} tokens in 1,800 documents, 2 sources of 6 shards")
    assert str(tmp_path) not in card.read_text() and str(inputs) not in card.read_text(), "a path of the machine"


def test_without_a_peer_its_rows_say_so(inputs):
    done = heph("bench", "index", "--sources", str(inputs / "ours"), "--runs", "1", "--rows", "megatron", "--json")
    row = json.loads(done.stdout)["rows"]["megatron"]
    assert row["figure"] is None and "no --peer" in row["lacking"]


def test_wrong_input_says_what_would_be_right(inputs, tmp_path):
    done = heph("bench", "index", "--sources", str(inputs / "ours"), "--rows", "locate-80")
    assert done.returncode == 2 and "did you mean 'locate-8'" in done.stderr
    done = heph("bench", "index", "--sources", str(tmp_path))
    assert done.returncode == 2 and "make_sources.py" in done.stderr


def test_a_meter_counts_what_came_after_it():
    before = b"x" * (100 << 20)
    meter = Meter()
    began = time.process_time()
    more = b"y" * (50 << 20)
    while time.process_time() - began < 0.05:
        pass
    cost = meter.cost()
    assert 50 << 20 <= cost.memory < 70 << 20 < len(before) and len(more) == 50 << 20
    assert 0.05 <= cost.cpu < 0.5 and cost.wall >= 0.05
