"""`heph bench loader` from end to end on a small pair, and that it would see a wrong batch."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.processes import heph

from megatron_heph.bench.page_cache import cached_share, drop, read_whole
from megatron_heph.bench.read_batches import is_right
from megatron_heph.errors import InputError

MAKER = Path(__file__).parents[2] / "benchmarks" / "data" / "make_pair.py"
TOKENS = np.random.default_rng(0).integers(1, 60_000, 1001, dtype=np.uint16)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("bench") / "pair"
    command = [sys.executable, str(MAKER), str(prefix), "--documents", "3000", "--mean", "100"]
    subprocess.run(command, check=True, capture_output=True)
    return prefix


def measure(pair, *rows, more=()):
    size = ["--sequence", "64", "--samples", "2", "--batches", "100", "--runs", "1"]
    return heph("bench", "loader", "--pair", str(pair), *size, "--rows", ",".join(rows), "--json", *more)


def test_ours_and_megatron(pair, tmp_path):
    card = tmp_path / "card.md"
    done = measure(pair, "batch", "batch-price", "batch-documents", more=["--card", str(card)])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert all(row["figure"]["median"] > 0 for row in found["rows"].values())
    assert found["same"] == {"ours = slices of the .bin": True, "ours, documents apart = slices of the .bin": True}
    assert str(pair) not in card.read_text(), "a path of the machine"


def test_a_cold_file(pair):
    try:
        drop(pair.with_name("pair.bin"))
    except InputError as error:
        pytest.skip(str(error))
    found = json.loads(measure(pair, "cold", "cold-read").stdout)
    assert found["rows"]["cold"]["figure"]["median"] > 0
    assert found["rows"]["cold-read"]["figure"]["median"] > 0.9, "what was dropped came from the disk"


def test_a_dropped_file_is_out_of_the_page_cache(pair):
    path = pair.with_name("pair.bin")
    assert read_whole(path) == path.stat().st_size
    assert cached_share(path) == 1
    with path.open("rb") as stream:
        stream.seek(1 << 16)
        stream.read(1)
    try:
        drop(path)
    except InputError as error:
        pytest.skip(str(error))
    assert cached_share(path) == 0 == cached_share(path), "to look does not read"


def test_wrong_input_says_what_would_be_right(pair, tmp_path):
    done = heph("bench", "loader", "--pair", str(tmp_path / "none"))
    assert done.returncode == 2 and "make_pair.py" in done.stderr
    done = heph("bench", "loader", "--pair", str(pair), "--batches", "100000")
    assert done.returncode == 2 and "fewer --batches" in done.stderr


def loader_of(starts, sequence=50, shift=1, spoil=None):
    """A loader that reads these places, a sample a batch."""

    def batch(step):
        rows = [TOKENS[at : at + sequence].copy() for at in (starts[step], starts[step] + shift)]
        if step == spoil:
            rows[0][-1] += 1
        return SimpleNamespace(tokens_BL=rows[0][None], labels_BL=rows[1][None])

    return SimpleNamespace(segment=SimpleNamespace(sequence=sequence), batch=batch)


@pytest.mark.parametrize(
    ("wrong", "loader"),
    [
        ("", loader_of([100, 900, 0])),
        ("a place twice", loader_of([100, 900, 100])),
        ("not where a sample begins", loader_of([100, 901, 0])),
        ("labels two further", loader_of([100, 900, 0], shift=2)),
        ("a token that is not there", loader_of([100, 900, 0], spoil=2)),
    ],
)
def test_a_wrong_batch_is_seen(wrong, loader):
    assert is_right(TOKENS, loader, 3) == (not wrong)
