from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import tiny
from support.recipes import resolved

from megatron_heph.data.sources import open_heldout, open_training, shares
from megatron_heph.errors import InputError
from megatron_heph.formats.indexed import TokenizedSource


def test_the_order_in_the_file_means_nothing(tiny_data: dict[str, Any]) -> None:
    backwards = copy.deepcopy(tiny_data)
    backwards["sources"] = dict(reversed(backwards["sources"].items()))
    assert list(open_training(resolved(backwards))) == ["agent", "code", "text"]
    assert list(open_training(resolved(tiny_data))) == ["agent", "code", "text"]


def test_a_domain_is_shared_by_tokens(tiny_data: dict[str, Any], tmp_path: Path) -> None:
    tiny.write_pair(tmp_path / "more", [np.arange(200)])
    table = copy.deepcopy(tiny_data)
    table["sources"]["agent2"] = {"path": str(tmp_path / "more"), "domain": "agent"}
    sources = open_training(resolved(table))
    weights = shares({"agent": 2.0, "code": 1.0, "text": 1.0}, sources)
    assert weights["agent"] + weights["agent2"] == pytest.approx(0.5)
    assert weights["agent"] / weights["agent2"] == pytest.approx(sources["agent"].total_tokens / 200)
    assert weights["code"] == pytest.approx(0.25) and sum(weights.values()) == pytest.approx(1)
    assert shares({"agent": 2.0, "code": 0.0}, {name: sources[name] for name in ("agent", "code")}) == {"agent": 1.0}
    assert shares({"agent": 1.0}, {"code": sources["code"]}) == {}


def test_the_least_source(tiny_data: dict[str, Any], tmp_path: Path) -> None:
    tiny.write_pair(tmp_path / "short", [np.arange(1)])
    with pytest.raises(InputError, match=r"The source code \(.*short\) has 1 tokens.*data\.sources\.code"):
        open_training(resolved(tiny_data, f"data.sources.code.path={tmp_path / 'short'}"))
    tiny.write_pair(tmp_path / "enough", [np.arange(2)])
    assert open_training(resolved(tiny_data, f"data.sources.code.path={tmp_path / 'enough'}"))


def test_what_is_read_document_by_document(tiny_data: dict[str, Any]) -> None:
    keys = {"agent": ("stream", "auto"), "code": ("pack", "auto"), "text": ("stream", "document")}
    overrides = [f"data.sources.{name}.{key}={value}" for name, pair in keys.items()
                 for key, value in zip(("window", "attention"), pair, strict=True)]  # fmt: skip
    sources = open_training(resolved(tiny_data, *overrides))
    assert {name: source.node.apart for name, source in sources.items()} == {"agent": False, "code": True, "text": True}


def test_heldout_sets_fill_a_window(tiny_data: dict[str, Any], tmp_path: Path) -> None:
    assert [type(s) for s in open_heldout(resolved(tiny_data)).values()] == [TokenizedSource] * 3
    tiny.write_pair(tmp_path / "short", [np.arange(tiny.SEQUENCE)])
    with pytest.raises(InputError, match=r"set of text .*has 32 tokens, but one window has 32 .*data\.heldout\.text"):
        open_heldout(resolved(tiny_data, f"data.heldout.text={tmp_path / 'short'}"))
    with pytest.raises(InputError, match=r"limited to 31 tokens .*observe\.heldout_tokens.* 32"):
        open_heldout(resolved(tiny_data, "observe.heldout_tokens=31"))


def test_a_missing_source_names_the_key(tiny_data: dict[str, Any]) -> None:
    path = tiny_data["sources"]["code"]["path"]
    with pytest.raises(InputError, match=r"at .*coed .*did you mean 'code'.*data\.sources\.code\.path"):
        open_training(resolved(tiny_data, f"data.sources.code.path={path[:-2]}ed"))


def test_a_vocabulary_of_another_dtype(tiny_data: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="holds uint16, and a vocabulary of 65536 tokens is stored as int32"):
        open_training(resolved(tiny_data, "model.vocab=65536"))
