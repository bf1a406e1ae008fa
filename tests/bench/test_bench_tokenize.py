"""The command from end to end, on a small corpus and without a peer."""

import json
import sys
from pathlib import Path

import pytest
from support.processes import heph

sys.path.insert(0, str(Path(__file__).parents[1] / "data_tools" / "tokenize"))

from tiny_tokenizers import byte_level_bpe, document, write_lines


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    corpus = write_lines(folder / "corpus.jsonl", [document(i) for i in range(200)])
    return ["--corpus", str(corpus), "--tokenizer", str(byte_level_bpe(folder / "tiny"))]


def test_rows_are_measured_or_say_why_not(inputs, tmp_path):
    card = tmp_path / "card.md"
    done = heph("bench", "tokenize", *inputs, "--runs", "1", "--rows", "fast,workers,memory", "--json",
                "--repeat-bytes", "200000", "--card", str(card))  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rows"]["fast"]["figure"] is None and "no --megatron-lm" in found["rows"]["fast"]["lacking"]
    assert found["rows"]["workers"]["figure"]["median"] > 0
    assert 0.5 < found["rows"]["memory"]["figure"]["median"] < 2
    assert found["same"] == {"ours, 1 worker = ours, 2 workers (full)": True}
    assert found["corpus"]["corpus"].startswith("corpus.jsonl: ")
    assert "fast" in card.read_text() and json.loads(card.with_suffix(".json").read_text()) == found
    assert str(tmp_path) not in card.read_text(), "a card names no path of the machine"


def test_an_unknown_row_names_the_nearest(inputs):
    done = heph("bench", "tokenize", *inputs, "--rows", "workrs")
    assert done.returncode == 2 and "did you mean 'workers'" in done.stderr
