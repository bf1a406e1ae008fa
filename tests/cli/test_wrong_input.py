"""A user's mistake is one paragraph and an exit code, before any process is started and without a run folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch.distributed
from support import tiny
from support.processes import heph
from support.recipes import fake_base

from megatron_heph.cli.main import main
from megatron_heph.formats.manifest import InputPiece, Manifest, ShardInfo, TokenizerInfo, manifest_path


@dataclass
class Bench:
    """A recipe of its own for each test, on sources that the test may damage."""

    folder: Path
    table: dict[str, Any]

    @property
    def run(self) -> Path:
        return Path(self.table["run"])

    @property
    def code(self) -> Path:
        return self.folder / "data" / "train" / "code"

    def command(self, *overrides: str) -> list[str]:
        path = self.folder / "recipe.toml"
        path.write_text(tomli_w.dumps(self.table))
        return ["train", str(path), *overrides]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, tiny.recipe(tiny.write_sources(tmp_path / "data"), tmp_path / "run"))


def refused(bench: Bench, capsys: pytest.CaptureFixture[str], *overrides: str, code: int = 2) -> str:
    """The one paragraph that the command ends with."""
    assert main(bench.command(*overrides)) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    one_paragraph(printed.err, "train")
    assert not bench.run.exists(), "a run folder was left half made"
    assert not torch.distributed.is_initialized()
    return printed.err


def one_paragraph(text: str, command: str) -> None:
    assert text.startswith(f"heph {command}: ") and text.endswith("\n") and text.count("\n") == 1, text
    assert "Traceback" not in text and "Error" not in text and text.rstrip()[-1] in ".?)", text


def says(text: str, *fragments: str) -> None:
    missing = [fragment for fragment in fragments if fragment not in text]
    assert not missing, f"{missing} not in: {text}"


def test_a_missing_bin(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    (bench.folder / "data/train/code.bin").unlink()
    says(refused(bench, capsys), f"There is no {bench.code}.bin", "its other half is there", "data.sources.code.path")


def test_a_truncated_bin(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    path = bench.folder / "data/train/code.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    found, right = f"has {len(whole) - 10} bytes", f"says {len(whole)}"
    says(refused(bench, capsys), str(path), found, right, "data.sources.code.path")


def test_an_idx_of_another_dtype(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    path = bench.folder / "data/train/code.idx"
    whole = path.read_bytes()
    path.write_bytes(whole[:17] + bytes([4]) + whole[18:])  # says int32 of tokens that are uint16
    says(refused(bench, capsys), "code.bin has", "int32", "code.idx says", "data.sources.code.path")
    path.write_bytes(whole[:17] + bytes([6]) + whole[18:])
    says(refused(bench, capsys), "dtype code 6", "4 (int32), 8 (uint16)", "data.sources.code.path")
    path.write_bytes(whole)
    says(refused(bench, capsys, "model.vocab=70000"), "holds uint16", "70000", "int32", "data.sources.agent.path")


def test_a_source_that_is_not_there(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(bench, capsys, f"data.sources.code.path={bench.code}e")
    says(said, f"no tokenized source at {bench.code}e", "did you mean 'code'?", "data.sources.code.path")


def test_sources_that_are_too_short(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.write_pair(bench.folder / "one", [np.arange(1)])
    says(refused(bench, capsys, f"data.sources.code.path={bench.folder}/one"), "has 1 tokens", "data.sources.code")
    tiny.write_pair(bench.folder / "short", [np.arange(20)])
    said = refused(bench, capsys, f"data.heldout.code={bench.folder}/short")
    says(said, "has 20 tokens", "window has 32", "data.heldout.code")


def test_ids_that_the_model_lacks(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.write_pair(bench.folder / "large", [np.arange(200, 300)])
    said = refused(bench, capsys, f"data.sources.code.path={bench.folder}/large")
    says(said, f"{bench.folder}/large", "the id 299", "vocabulary is 256", "data.sources.code.path")


@pytest.mark.parametrize(
    ("override", "fragments"),
    [
        ("stage.broad.tokns=5", ["recipe.toml: Unknown key stage.broad.tokns", "did you mean 'tokens'?"]),
        ("optm.lr=5", ["Unknown key optm", "did you mean 'optim'?"]),
        ("stage.broa.tokens=5", ["stage.broa", "did you mean 'broad'?"]),
        ("optim.lr=fast", ["optim.lr is 'fast'", "needs a number"]),
        ("stage.broad.tokens=1.5", ["stage.broad.tokens is 1.5", '"50k"']),
        ("parallel.tensor=3", ["parallel.tensor is 3", "heads (4)", "1, 2."]),
        ("model.vocab=255 parallel.tensor=2", ["parallel.tensor is 2", "vocabulary (255)", "parallel.pipeline"]),
        ("model.base=bases/none", ["no base model at bases/none", "never means random weights", "model.base"]),
        (
            "parallel.pipeline=2 parallel.virtual=2 parallel.p2p=batched",
            ['parallel.p2p is "batched"', "parallel.virtual = 2", '"overlap" or "auto"'],
        ),
        ("stage.broad.batch=250", ["stage.broad.batch is 250", "192 and 256"]),
        ("checkpoint.every=0", ["checkpoint.every is 0", "at least 1"]),
        ("data.sources={}", ["stage.broad.mixture names 'agent'", "[data.sources]"]),
    ],
)
def test_keys_that_cannot_be(
    bench: Bench, capsys: pytest.CaptureFixture[str], override: str, fragments: list[str]
) -> None:
    says(refused(bench, capsys, *override.split()), *fragments)


def test_a_recipe_that_is_not_there(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.command()
    assert main(["train", str(bench.folder / "recpie.toml")]) == 2
    printed = capsys.readouterr().err
    one_paragraph(printed, "train")
    says(printed, "no recipe at", "did you mean 'recipe.toml'?")


def test_a_source_of_another_tokenizer(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    base = fake_base(bench.folder / "base", tokenizer_hash="b" * 64)
    bench.table["model"] = {"base": str(base)}
    tokens = (bench.code.with_suffix(".bin")).stat().st_size // 2
    for suffix in (".bin", ".idx"):
        shutil.move(f"{bench.code}{suffix}", f"{bench.code}-00000{suffix}")
    shard = ShardInfo(
        name="code-00000", documents=25,
        inputs=(InputPiece(path="corpus/code.jsonl.zst", begin=0, end=1, file_bytes=1, xxh3="c"),),
        tokens=tokens, masked_tokens=0, characters=1, utf8_bytes=1, empty=0, bin_bytes=2 * tokens, bin_xxh3="d",
        idx_xxh3="e",
    )  # fmt: skip
    tokenizer = TokenizerInfo(
        hash="a" * 64, name="another", vocab_size=300, eod_id=0, eod_token="<eod>", special_tokens="text"
    )
    manifest = Manifest(tokenizer=tokenizer, domain="code", source="s", field="text", dtype="uint16", shards=(shard,))
    manifest.write(manifest_path(bench.code))
    said = refused(bench, capsys, code=3)
    says(said, str(bench.code), "'another'", "a" * 16, "b" * 16, str(base), "heph tokenize corpus/code.jsonl.zst")
    bench.table["model"] = tiny.RECIPE["model"]
    said = refused(bench, capsys)
    says(said, "ids up to 299", "vocabulary is 256", "model.vocab", "at least 300", "data.sources.code.path")


def test_a_finished_run_of_another_recipe(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder is there before; it stays as it was."""
    (bench.run / "checkpoints" / "step-00000002").mkdir(parents=True)
    (bench.run / "recipe.toml").write_text(tomli_w.dumps({**bench.table, "seed": 99}))
    before = sorted((path, path.stat().st_mtime_ns) for path in bench.run.rglob("*"))
    assert main(bench.command()) == 2
    printed = capsys.readouterr().err
    one_paragraph(printed, "train")
    says(printed, str(bench.run), "seed: 99 there, 7 now", "`run`")
    assert sorted((path, path.stat().st_mtime_ns) for path in bench.run.rglob("*")) == before


def test_a_corpus_line_that_is_no_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tokenizers.pre_tokenizers import ByteLevel

    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"text": "one"}\n{"text": "two"}\n{"text": three}\n')
    vocabulary = {letter: i for i, letter in enumerate(sorted(ByteLevel.alphabet()))}
    tokenizer = {
        "version": "1.0", "model": {"type": "BPE", "vocab": vocabulary | {"<|endoftext|>": 256}, "merges": []},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "added_tokens": [
            {"id": 256, "content": "<|endoftext|>", "special": True, "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": False}
        ],
    }  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    command = ["tokenize", corpus, "--tokenizer", tmp_path / "tokenizer.json", "-o", tmp_path / "out" / "x"]
    assert main([str(part) for part in command]) == 2
    printed = capsys.readouterr()
    one_paragraph(printed.err, "tokenize")
    says(printed.err, f"{corpus}:3", "not JSON", '{"text": three}', "Mend or remove the line")
    assert not list((tmp_path / "out").glob("*.manifest.json")) and not list((tmp_path / "out").glob("*.bin"))


@pytest.mark.parametrize("override", ["parallel.tensor=3", "data.sources.code.path=none"])
def test_the_real_command(bench: Bench, override: str) -> None:
    done = heph(*bench.command(override), cwd=bench.folder)
    assert done.returncode == 2 and done.stdout == ""
    one_paragraph(done.stderr, "train")
    says(done.stderr, override.split("=")[0])
    assert not bench.run.exists()
