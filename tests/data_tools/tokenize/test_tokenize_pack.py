import json

import pytest
from tiny_tokenizers import document, write_lines

from megatron_heph._native import count_windows
from megatron_heph.cli.main import main
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.formats.pack_counts import counts_path, read_counts


@pytest.fixture
def command(bpe, tmp_path):
    write_lines(tmp_path / "in.jsonl", [document(d) for d in range(40)])
    return ["tokenize", str(tmp_path / "in.jsonl"), "--tokenizer", str(bpe), "-o", str(tmp_path / "s")]


def test_counts_are_made_with_the_source(command, tmp_path, capsys):
    assert main([*command, "--pack", "16,64", "--block", "512", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["packed"]
    source = TokenizedSource.open(tmp_path / "s")
    for row, length in zip(rows, (16, 64), strict=True):
        blocks = -(-source.total_tokens // 512)
        windows = int(count_windows(source.reader, 512, length, 0, blocks).sum())
        assert row == {"file": f"s.pack-512-{length}", "block": 512, "length": length, "windows": windows}
        assert read_counts(counts_path(source, 512, length), source, 512, length).total == windows
    assert main([*command, "--pack", "16"]) == 0          # the source is kept; the block is a recipe's default
    assert "windows of 16 in blocks of" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pack", "16", "--block", "0"], "The block is 0 tokens; a packed source has from 1 to"),
        (["--pack", "0"], "The length of a window is 0 tokens"),
        (["--block", "512"], "--block is 512, and only --pack has blocks"),
    ],
)
def test_wrong_sizes_are_refused_before_anything_is_done(command, tmp_path, capsys, options, message):
    assert main([*command, *options]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("s")] == []


def test_lengths_are_numbers(command, capsys):
    with pytest.raises(SystemExit):
        main([*command, "--pack", "40x"])
    assert "'40x'; sample lengths are numbers such as 4096,8192" in capsys.readouterr().err
