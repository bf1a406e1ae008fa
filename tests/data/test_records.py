"""A resumed run reads on in the tokens that it began with, or says why it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.sources import write_positions

from megatron_heph.data.records import as_recorded, record, reopen
from megatron_heph.data.sources import TrainingSource
from megatron_heph.errors import InputError
from megatron_heph.formats.indexed import TokenizedSource
from megatron_heph.recipe.tree import Source


def opened(folder: Path, **keys: Any) -> TrainingSource:
    path = str(folder / "part-*")
    return TrainingSource("a", TokenizedSource.open(path), Source(path=path, domain="text", **keys))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, tokens in enumerate((300, 200)):
        write_positions(tmp_path / f"part-{part}", tokens)
    return tmp_path


def test_the_same_source_wherever_it_lies(folder: Path) -> None:
    kept = record(opened(folder))
    moved = folder.rename(folder.with_name("moved"))
    known, notes = as_recorded({"a": opened(moved)}, {"a": kept})
    assert known["a"].total_tokens == 500 and not notes


def test_a_source_that_has_grown_is_read_as_far_as_it_went(folder: Path) -> None:
    kept = record(opened(folder))
    write_positions(folder / "part-2", 50)
    known, (note,) = as_recorded({"a": opened(folder)}, {"a": kept})
    assert known["a"].total_tokens == 500 and record(known["a"]) == kept
    assert "has grown from 500 to 550 tokens" in note


@pytest.mark.parametrize("change", ["other lengths", "other tokens", "one less"])
def test_other_tokens_under_an_old_name(folder: Path, change: str) -> None:
    kept = record(opened(folder))
    if change == "other lengths":
        write_positions(folder / "part-0", 300, mean=20)
    elif change == "other tokens":
        path = folder / "part-1.bin"
        path.write_bytes(path.read_bytes()[::-1])
    else:
        (folder / "part-1.bin").unlink()
        (folder / "part-1.idx").unlink()
    with pytest.raises(InputError, match=r"The source a .* the 500 tokens that the run has .*data\.sources\.a\.path"):
        as_recorded({"a": opened(folder)}, {"a": kept})


def test_another_kind_of_window(folder: Path) -> None:
    kept = record(opened(folder))
    with pytest.raises(InputError, match=r'data\.sources\.a\.window is "pack", but the run has read it as "str'):
        as_recorded({"a": opened(folder, window="pack")}, {"a": kept})


def test_a_source_that_only_the_record_knows(folder: Path) -> None:
    kept = {"a": record(opened(folder)), "b": replace(record(opened(folder)), path=str(folder / "part-0"))}
    found = reopen(kept, {"b"})
    assert list(found) == ["b"] and found["b"].total_tokens == 300
