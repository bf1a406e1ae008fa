"""Ours and the peers of `heph tokenize`, each as the command that its user would type."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "benchmarks" / "tokenize" / "peers"
ONE_SHARD = 1 << 50  # bytes: more than any corpus, so that ours is one pair of files as the peers' is


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is compared, and with what."""

    corpus: Path
    tokenizer: Path
    work: Path                            # an empty folder for inputs and outputs
    megatron_lm: Path | None = None       # a checkout
    peer_python: str = sys.executable     # an interpreter that has the peers' packages
    ours: str = "heph"                    # or "preprocess_data", the drop-in
    runs: int = 5
    rows: tuple[str, ...] = ()            # empty: all
    repeat_bytes: int = 4_000_000_000     # input of the row on memory


@dataclass(frozen=True, slots=True)
class Tool:
    """One way to tokenize.

    Attributes:
        command: from input file and output prefix to the command line.
        missing: why it cannot run here; empty if it can.
    """

    name: str
    command: Callable[[Path, Path], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""


def tools(settings: Settings) -> dict[str, Tool]:
    """All of them, by name."""
    launchers = "" if (PEERS / "sitecustomize.py").is_file() else f"the peers' launchers are not at {PEERS}"
    checkout = settings.megatron_lm
    if checkout is None:
        megatron_missing = "no --megatron-lm"
    elif not (checkout / "tools" / "preprocess_data_fast.py").is_file():
        megatron_missing = f"{checkout} has no tools/preprocess_data_fast.py"
    else:
        megatron_missing = launchers
    megatron = {"PYTHONPATH": f"{PEERS}:{checkout}"}
    found = [
        Tool("ours", _ours(settings, ONE_SHARD), _own_path()),
        Tool("ours, 1 worker", _ours(settings, _quarter(settings), 1), _own_path()),
        Tool("ours, 2 workers", _ours(settings, _quarter(settings), 2), _own_path()),
        Tool("fast", _megatron(settings, "preprocess_data_fast.py", "--use-gigatoken"), megatron, megatron_missing),
        Tool(
            "fast, 1 thread", _megatron(settings, "preprocess_data_fast.py", "--use-gigatoken"),
            {**megatron, "RAYON_NUM_THREADS": "1"}, megatron_missing,
        ),
        Tool("hf", _megatron(settings, "preprocess_data.py", "--workers", "1"), megatron, megatron_missing),
        Tool("datatrove", _datatrove(settings, "megatron"), missing=launchers),
        Tool("datatrove-ds", _datatrove(settings, "ds"), missing=launchers),
    ]  # fmt: skip
    return {tool.name: tool for tool in found}


def outputs(folder: Path) -> list[Path]:
    """The token files that a tool wrote into its folder, in the order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix in (".bin", ".idx"))


def _own_path() -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT)}


def _quarter(settings: Settings) -> int:
    return max(settings.corpus.stat().st_size // 4, 1)


def _ours(settings: Settings, shard_bytes: int, workers: int = 1) -> Callable[[Path, Path], list[str]]:
    def command(source: Path, prefix: Path) -> list[str]:
        if settings.ours == "preprocess_data":
            program = [sys.executable, "-m", "data_tools.preprocess_data", "--input", str(source)]
            return [*program, "--output-prefix", str(prefix), *_tokenizer(settings), "--workers", str(workers)]
        program = [sys.executable, "-m", "megatron_heph.cli.main", "tokenize", str(source)]
        options = ["--tokenizer", str(settings.tokenizer), "-o", str(prefix)]
        return [*program, *options, "--workers", str(workers), "--shard-bytes", str(shard_bytes)]

    return command


def _megatron(settings: Settings, tool: str, *options: str) -> Callable[[Path, Path], list[str]]:
    def command(source: Path, prefix: Path) -> list[str]:
        program = [settings.peer_python, f"{settings.megatron_lm}/tools/{tool}", "--input", str(source)]
        return [*program, "--output-prefix", str(prefix), *_tokenizer(settings), *options]

    return command


def _tokenizer(settings: Settings) -> list[str]:
    kind = ["--tokenizer-type", "HuggingFaceTokenizer", "--tokenizer-model", str(settings.tokenizer)]
    return [*kind, "--append-eod"]


def _datatrove(settings: Settings, kind: str) -> Callable[[Path, Path], list[str]]:
    def command(source: Path, prefix: Path) -> list[str]:
        launcher = [settings.peer_python, str(PEERS / "datatrove_tokens.py"), kind]
        return [*launcher, str(source), str(prefix.parent), str(settings.tokenizer)]

    return command
