import pytest
from tiny_tokenizers import document, write_lines

from data_tools.tokenize.pipeline import Options, tokenize
from megatron_heph.errors import InputError

pytest.importorskip("datatrove")

from datatrove.executor import LocalPipelineExecutor

from data_tools.tokenize.datatrove_step import FinishShards, TokenizeShards


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for part in range(3):
        write_lines(folder / f"part-{part}.jsonl", [document(part * 40 + i) for i in range(40)])
    return str(folder)


def _files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def test_two_workers_write_what_one_process_writes(bpe, corpus, tmp_path):
    options = Options(tokenizer=bpe, shard_bytes=3000)
    whole = tokenize([corpus], tmp_path / "one" / "s", options)
    assert len(whole.shards) >= 4, "each rank has to have several shards"
    step = (corpus, tmp_path / "two" / "s", options)
    logs = [str(tmp_path / "logs" / name) for name in ("shards", "finish")]
    shards = LocalPipelineExecutor([TokenizeShards(*step)], tasks=2, workers=2, logging_dir=logs[0])
    LocalPipelineExecutor([FinishShards(*step)], tasks=1, workers=1, logging_dir=logs[1], depends=shards).run()
    assert _files(tmp_path / "two") == _files(tmp_path / "one")
    assert "s.manifest.json" in _files(tmp_path / "two")


def test_a_rank_makes_its_own_shards_and_no_manifest_comes_before_all_are_there(bpe, corpus, tmp_path):
    step = (corpus, tmp_path / "s", Options(tokenizer=bpe, shard_bytes=3000))
    assert list(TokenizeShards(*step).run(None, rank=1, world_size=2)) == []
    made = sorted(path.name for path in tmp_path.glob("s-*.bin"))
    assert made == [f"s-{index:05d}.bin" for index in range(1, 2 * len(made), 2)]
    with pytest.raises(InputError, match="s-00000"):
        list(FinishShards(*step).run(None))
    assert not (tmp_path / "s.manifest.json").exists()


def test_a_step_before_it_is_refused(bpe, corpus, tmp_path):
    with pytest.raises(InputError, match="JsonlWriter"):
        list(TokenizeShards(corpus, tmp_path / "s", Options(tokenizer=bpe)).run(iter([]), 0, 1))
