"""`heph plan` as a user runs it: before, during and after a run, and with mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from support import tiny
from support.processes import heph

from megatron_heph.cli.main import main
from megatron_heph.recipe.shape import RECORD


def write(path: Path, table: dict[str, Any]) -> Path:
    path.write_text(tomli_w.dumps(table))
    return path


@pytest.fixture
def recipe(tiny_data: dict[str, Any], tmp_path: Path) -> Path:
    """The tiny recipe with a wider model, so that a checkpoint's tensors outweigh its indices and headers."""
    table = tiny.recipe(tiny_data, tmp_path / "run")
    table["model"] |= {"hidden": 256, "vocab": 2048}
    table["checkpoint"] = {"every": 512, "keep": 2}
    table["stage"][0]["schedule"] = {"kind": "wsd", "warmup": 300, "decay": 500}
    return write(tmp_path / "recipe.toml", table)


class Planner:
    """Runs `heph plan --json` in this process, which has megatron imported already."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str | Path) -> dict[str, Any]:
        assert main(["plan", *map(str, arguments), "--json"]) == 0
        return dict(json.loads(self.capsys.readouterr().out))


@pytest.fixture
def plan(capsys: pytest.CaptureFixture[str]) -> Planner:
    return Planner(capsys)


def test_a_plan_leaves_nothing_behind(recipe: Path, tmp_path: Path) -> None:
    done = heph("plan", recipe, "parallel.pipeline=2", "stage.broad.schedule.warmup=512")
    assert done.returncode == 0 and done.stderr == ""
    for text in (
        "fresh random weights", "1,607,936, 1,083,648 without", "PP2, 2 processes on cpu", "run: new", "█",
        "end of warm-up", "agent 50.0%", "pipeline rank 1", "time         not known", "3 written, 2 kept",
    ):  # fmt: skip
        assert text in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.toml"]


def test_before_in_the_middle_of_and_after_a_run(recipe: Path, tmp_path: Path, plan: Planner) -> None:
    before = plan(recipe)
    assert before["run"]["state"] == "new" and before["speed"] is None
    assert heph("train", recipe).returncode == 0
    after = plan(recipe)
    assert after["run"]["state"] == "finished" and after["remaining_seconds"] == 0
    assert after["speed"]["tokens_per_second"] > 0 and "6 latest steps" in after["speed"]["source"]
    assert {key: after[key] for key in ("sources", "memory", "stages")} == {
        key: before[key] for key in ("sources", "memory", "stages")
    }

    # What the plan said is what the run did.
    checkpoints = sorted(path for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert [path.name for path in checkpoints] == ["step-00000004", "step-00000006"]
    assert (before["checkpoints"]["written"], before["checkpoints"]["kept"]) == (3, 2)
    size = sum(path.stat().st_size for path in (checkpoints[-1] / "model").iterdir())
    assert size == pytest.approx(before["checkpoints"]["bytes"], rel=0.02)
    state = json.loads((checkpoints[-1] / "state.json").read_text())
    assert {source["name"]: source["taken"] for source in before["sources"]} == state["positions"]
    assert {source["name"]: source["epochs"] for source in before["sources"]} == state["epochs"]
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    rates = {row["step"]: row["lr"] for row in rows if row["kind"] == "step"}
    points = before["stages"][0]["rates"]
    assert len(points) == 5 and all(rates[point["step"]] == pytest.approx(point["rate"]) for point in points)
    assert sum(row["kind"] == "heldout" for row in rows) == before["heldout_measurements"] == 2
    heldout = next(row for row in rows if row["kind"] == "heldout")["losses"]
    assert {held["domain"]: held["measured"] for held in before["heldout"]} == {
        domain: loss["tokens"] for domain, loss in heldout.items()
    }

    # Another grid has no measured speed; another recipe would be refused; a given speed is taken.
    other = plan(recipe, "parallel.tensor=2")
    assert other["run"]["state"] == "finished" and other["speed"] is None
    refused = plan(recipe, "optim.lr=1e-4")
    assert refused["run"]["state"] == "refused" and "optim.lr" in refused["warnings"][0]
    checkpoints[-1].rename(tmp_path / "away")
    resumed = plan(recipe, "--tokens-per-second", "512")
    assert resumed["run"]["state"] == "resumable" and resumed["run"]["step"] == 4
    assert (resumed["seconds"], resumed["remaining_seconds"]) == (3.0, 1.0)


def test_mistakes_are_those_of_training(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(tmp_path / "recip.toml")]) == 2
    assert "did you mean 'recipe.toml'" in capsys.readouterr().err
    assert main(["plan", str(recipe), "parallel.tensor=3"]) == 2
    assert "does not divide the model's heads" in capsys.readouterr().err
    assert main(["plan", str(recipe), "data.sources.agent.path=gone"]) == 2
    assert "data.sources.agent.path names it" in capsys.readouterr().err
    for wrong in ("0", "fast", "inf"):
        with pytest.raises(SystemExit) as stopped:
            main(["plan", str(recipe), "--tokens-per-second", wrong])
        assert stopped.value.code == 2 and "tokens per second" in capsys.readouterr().err


def test_a_base_is_named_verbatim_and_its_tokenizer_is_compared(
    tiny_data: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tiny.recipe(tiny_data, tmp_path / "run")
    table["model"] = {"base": str(write_base(tmp_path / "base"))}
    recipe = write(tmp_path / "recipe.toml", table)
    assert main(["plan", str(recipe)]) == 0
    assert f"base         a tiny base, drawn at random ({tmp_path / 'base'})" in capsys.readouterr().out

    foreign = write_manifested(tmp_path / "foreign" / "agent")
    assert main(["plan", str(recipe), f"data.sources.agent.path={foreign}"]) == 3
    assert "tokenizer" in capsys.readouterr().err


def write_base(folder: Path) -> Path:
    """The record of a base model: a plan reads nothing else of it."""
    folder.mkdir()
    shape = {
        "family": "llama", "head_dim": 16, "max_positions": 64, "rope_theta": 1e4, "norm_eps": 1e-5,
        **tiny.RECIPE["model"],
    }  # fmt: skip
    record = {
        "shape": shape, "label": "a tiny base, drawn at random", "source": "none", "source_sha256": "0" * 64,
        "dtype": "float32", "tokenizer_sha256": "1" * 64, "files": {},
    }  # fmt: skip
    (folder / RECORD).write_text(json.dumps(record))
    return folder


def write_manifested(prefix: Path) -> Path:
    """A source with a manifest that names another tokenizer than the base's."""
    import numpy as np

    from megatron_heph.formats.manifest import Manifest, ShardInfo, TokenizerInfo, manifest_path

    rows = [np.arange(100) % tiny.VOCAB for _ in range(5)]
    shard = prefix.with_name(prefix.name + "-00000")
    tiny.write_pair(shard, rows)
    info = ShardInfo(
        name=shard.name, inputs=(), documents=5, tokens=500, masked_tokens=0, characters=0, utf8_bytes=0, empty=0,
        bin_bytes=1000, bin_xxh3="0" * 32, idx_xxh3="0" * 64,
    )  # fmt: skip
    tokenizer = TokenizerInfo(
        hash="2" * 64, name="other", vocab_size=tiny.VOCAB, eod_id=0, eod_token="<eod>", special_tokens="text"
    )
    names = {"domain": "agent", "source": "agent", "field": "text", "dtype": "uint16"}
    Manifest(tokenizer=tokenizer, shards=(info,), **names).write(manifest_path(prefix))
    return prefix
