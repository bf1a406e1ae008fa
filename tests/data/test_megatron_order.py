"""MegatronOrder against megatron-core's own datasets, token by token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.megatron_samples import megatron_samples
from support.processes import ROOT
from support.tiny import write_pair

from megatron_heph import _native
from megatron_heph.data.megatron_order import MegatronOrder
from megatron_heph.errors import InputError

DOCUMENTS = {"a": 300, "b": 1200, "c": 40, "short": 3, "long": 5}


def case(sources: str, weights: list[float] | None = None, **other: Any) -> dict[str, Any]:
    return {"sources": sources.split(), "weights": weights, "sequence": 16, "samples": 100, "seed": 1234,
            "split": "969,30,1", **other}  # fmt: skip


CASES = {
    "one": case("b"),
    "one, some epochs": case("b", samples=5000),
    "one, last epoch apart": case("a", samples=1000, sequence=13, split="98,2,0"),
    "one, last epoch nearly whole": case("a", samples=1100, sequence=8, split="100"),
    "one, 40 epochs": case("c", samples=2000, split="9,1,0"),
    "one, samples over many documents": case("b", sequence=500, samples=90),
    "one, samples over epochs": case("short", sequence=300, samples=20, split="1,0,0"),
    "one, many samples of a document": case("long", sequence=7, samples=9000, split="1"),
    "one token": case("c", sequence=1, samples=3000, split="1"),
    "one, another seed": case("b", seed=0, samples=3000),
    "one, the largest seed": case("b", seed=(1 << 32) - 1, samples=300),
    "one, its weight given": case("b", [1.0], samples=3000),
    "one, given for the split": case("b", split=None, samples=3000),
    "one, given for the split with a weight": case("b", [0.3], split=None, samples=3000),
    "two": case("b a", [0.7, 0.3], samples=700, split="98,2,0"),
    "three": case("b a c", [30.0, 1.0, 2.5], samples=3000, split="90,10,0"),
    "three, other weights": case("c b a", [0.36, 0.32, 0.32], samples=4000, seed=7, split="90,5,5", sequence=11),
    "three, given for the split": case("c b a", [1.0, 1.0, 1.0], samples=2000, split=None),
    "the same one twice": case("a a", [0.5, 0.5], samples=500, split="1"),
    "three by size": case("b a c", samples=300, split="9,1,0"),
    "three by size, all of them": case("b a c", samples=10**6, split="9,1,0"),
    "three by size, given for the split": case("a b", samples=10**6, split=None),
    "much surplus": case("a c", [0.5, 0.5], samples=1000, surplus=0.5, split="9,1,0"),
    "no extra token": case("a b", [0.5, 0.5], samples=3000, split="9,1,0", extra_token=False),
    "no extra token, one": case("c", samples=1500, split="1", extra_token=False),
    "a split of decimals": case("b", samples=2000, split=".95, 0.04, .01"),
    **{
        f"random {seed}": case(
            "a b c", np.random.default_rng(seed).dirichlet([1, 1, 1]).tolist(), seed=seed, split="9,1,0",
            samples=int(np.random.default_rng(seed).integers(1, 3000)), sequence=5 + 3 * seed,
        )
        for seed in range(6)
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[np.ndarray]]]:
    """Pairs of random tokens, so that no two places look alike."""
    folder, rng, made = tmp_path_factory.mktemp("pairs"), np.random.default_rng(5), {}
    for name, count in DOCUMENTS.items():
        lengths = rng.integers(1, {"long": 20_000, "short": 60}.get(name, 90), size=count)
        if name in "bc":
            lengths[rng.integers(count, size=5)] = 0
        made[name] = folder / name, [rng.integers(1, 65_000, size=length) for length in lengths]
        write_pair(*made[name])
    return made


def to_megatron(one: dict[str, Any], pairs: dict) -> dict[str, Any]:
    return {**{k: v for k, v in one.items() if k != "sources"}, "prefixes": [str(pairs[s][0]) for s in one["sources"]]}


def own_samples(one: dict[str, Any], pairs: dict) -> np.ndarray:
    """All samples of our order, read from the documents: int64 [samples, columns]."""
    names = [f"{i} {name}" for i, name in enumerate(one["sources"])]
    documents = [pairs[name][1] for name in one["sources"]]
    lengths = [np.array([len(d) for d in source], np.int32) for source in documents]
    other = {key: value for key, value in one.items() if key not in ("sources", "weights")}
    order = MegatronOrder(dict(zip(names, lengths, strict=True)), one["weights"], **other)
    streams = [np.concatenate(source) for source in documents]
    pieces, sources = order.pieces(0, order.samples)
    assert np.bincount(sources, minlength=len(names)).tolist() == order.counts
    assert (pieces[:, 2] == sources[pieces[:, 0]]).all() and (np.diff(pieces[:, 0]) >= 0).all()
    samples = np.full((order.samples, one["sequence"] + one.get("extra_token", True)), -1)
    for row, column, source, start, count in pieces.tolist():
        assert (samples[row, column : column + count] == -1).all() and count > 0
        samples[row, column : column + count] = streams[source][start : start + count]
    return samples


@pytest.mark.parametrize("name", CASES)
def test_the_installed_megatron(name: str, pairs: dict) -> None:
    theirs, ours = megatron_samples(**to_megatron(CASES[name], pairs)), own_samples(CASES[name], pairs)
    assert theirs.shape == ours.shape and (theirs == ours).all()


def test_the_other_megatron(pairs: dict, other_megatron: Path, tmp_path: Path) -> None:
    cases, out = tmp_path / "cases.json", tmp_path / "out.npz"
    cases.write_text(json.dumps({name: to_megatron(one, pairs) for name, one in CASES.items()}))
    path = os.pathsep.join([str(other_megatron), str(ROOT), str(ROOT / "tests")])
    command = [sys.executable, "-m", "support.megatron_samples", str(cases), str(out)]
    ran = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, text=True, capture_output=True)
    assert ran.returncode == 0, ran.stderr
    theirs = np.load(out)
    for name, one in CASES.items():
        assert (theirs[name] == own_samples(one, pairs)).all(), name


@pytest.mark.parametrize(("part", "repeats"), [(0.5, False), (0.95, True)])
def test_the_last_epoch_is_shuffled_apart_where_it_is_short(part: float, repeats: bool, pairs: dict) -> None:
    """Of an epoch and a half the first epoch's samples hold no token twice, of nearly two they do."""
    lengths = np.array([len(d) for d in pairs["a"][1]], np.int32)
    epoch = (int(lengths.sum()) - 1) // 8
    order = MegatronOrder({"a": lengths}, None, sequence=8, samples=int(epoch * (1 + part)), seed=1, split="1")
    seen = np.zeros(lengths.sum(), np.int64)
    for _, column, _, start, count in order.pieces(0, epoch)[0].tolist():
        seen[start : start + min(count, 8 - column)] += 1
    assert (seen.max() > 1) == repeats


def test_parts_of_the_order(pairs: dict) -> None:
    lengths = {name: np.array([len(d) for d in pairs[name][1]], np.int32) for name in ("a", "c")}
    order = MegatronOrder(lengths, [0.9, 0.1], sequence=8, samples=50, seed=1, split="9,1,0")
    whole, sources = order.pieces(0, order.samples)
    assert order.samples in (50, 51)
    part, own = order.pieces(3, 4, 11)
    assert (own == sources[3:40:11]).all()
    for row in range(4):
        assert (part[part[:, 0] == row][:, 1:] == whole[whole[:, 0] == 3 + 11 * row][:, 1:]).all()
    with pytest.raises(InputError, match="Sample 60 is asked for, and this Megatron order was built for 5"):
        order.pieces(50, 11)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"weights": [1.0]}, "2 sources .a, c. has the weights .1.0.*one weight above 0 per source"),
        ({"weights": [1.0, 0.0]}, "Leave sources of weight 0 out"),
        ({"weights": [1.0, float("nan")]}, "one weight above 0"),
        ({"samples": 0}, "0 samples of 8 tokens"),
        ({"sequence": 0}, "50 samples of 0 tokens"),
        ({"seed": -1}, "seed of a Megatron order is -1; Megatron takes 0 to 4294967295"),
        ({"seed": 1 << 32}, "seed of a Megatron order is 4294967296"),
        ({"split": "0,1,1"}, "leaves nothing to train on"),
        ({"split": "1,1,1,1"}, "leaves nothing to train on"),
        ({"split": "1,99,0"}, "the source c is 0 of 40 documents"),
        ({"weights": None, "sequence": 5000}, "a sample takes 5001"),
        ({"surplus": -0.5, "samples": 2000}, "were built: Megatron stops here too"),
    ],
)
def test_what_megatron_cannot_build(pairs: dict, change: dict[str, Any], reason: str) -> None:
    lengths = {name: np.array([len(d) for d in pairs[name][1]], np.int32) for name in ("a", "c")}
    wanted = {"weights": [0.9, 0.1], "sequence": 8, "samples": 50, "seed": 1, "split": "9,1,0", **change}
    with pytest.raises(InputError, match=reason):
        MegatronOrder(lengths, **wanted)


@pytest.mark.parametrize(
    ("documents", "shuffle", "reason"),
    [([2], [0], "document 2 of 2"), ([-1], [0], "document -1 of 2"), ([0, 1], [2], "window 2 of 2"),
     ([0, 1], [-1], "window -1 of 2"), ([], [0], "window 0 of 0")],
)  # fmt: skip
def test_tables_that_do_not_fit(documents: list[int], shuffle: list[int], reason: str) -> None:
    tables = [np.array(table, np.int32) for table in ([5, 4], documents, shuffle)]
    with pytest.raises(ValueError, match=reason):
        _native.MegatronSource(*tables, 4, 5)
