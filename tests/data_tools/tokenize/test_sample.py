import gzip
import json

from data_tools.tokenize.inputs import find_inputs
from data_tools.tokenize.plan import plan_shards
from data_tools.tokenize.sample import sample_texts


def _sample(*paths):
    return sample_texts(plan_shards("s", find_inputs([str(path) for path in paths]), 1 << 30), "text").strings()


def _write(path, texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def test_documents_come_from_all_over_one_file(tmp_path):
    path = _write(tmp_path / "a.jsonl", [f"{i} " + "x" * 400 for i in range(5000)])
    numbers = [int(text.split()[0]) for text in _sample(path)]
    assert numbers == sorted(set(numbers)) and numbers[0] == 0
    assert len({number // 625 for number in numbers}) == 8  # eighths of the file


def test_a_document_of_any_size_is_a_small_sample(tmp_path):
    texts = _sample(_write(tmp_path / "a.jsonl", ["\u00fc" * 3_000_000, "short"]))
    assert [len(text) for text in texts] == [(1 << 14) // 2]


def test_a_small_file_and_a_compressed_one_give_their_documents_once(tmp_path):
    small = _write(tmp_path / "a.jsonl", ["one", "two"])
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(_write(tmp_path / "c", ["three"] + ["x" * 99] * 2000).read_bytes()))
    texts = _sample(small, packed)
    assert texts[:3] == ["one", "two", "three"] and texts.count("three") == 1
