"""Random histories of changes against a slow, obvious model: no token is lost, none comes twice in an epoch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
from support.sources import position_sources, resolved_for

from megatron_heph.data.loader import Loader
from megatron_heph.data.order import Permutation, source_key
from megatron_heph.data.segments import Place, Places, Segment
from megatron_heph.data.sources import Sources
from megatron_heph.formats.toml_tree import build
from megatron_heph.recipe.resolved import Resolved

SIZES = {"a": 700, "b": 131, "c": 2000, "d": 20}
BLOCK, SEED = 48, 3


def permuted_stream(tokens: int, name: str) -> Iterator[int]:
    """The positions of a source as they come, epoch after epoch, written down one by one."""
    epoch, blocks = 0, (tokens - 1) // BLOCK
    while True:
        order = Permutation(blocks, source_key(SEED, name), epoch).forward(np.arange(blocks)).tolist() if blocks else []
        for block in order:
            yield from range(block * BLOCK, (block + 1) * BLOCK)
        yield from range(blocks * BLOCK, tokens - 1)
        epoch += 1


def random_segment(rng: np.random.Generator, step: int, places: Places, apart: tuple[str, ...] = ()) -> Segment:
    """Other sources, weights, length and batch than before."""
    names = sorted(rng.choice(list(SIZES), size=rng.integers(1, len(SIZES) + 1), replace=False).tolist())
    weights = rng.dirichlet(np.full(len(names), 0.7)) + 1e-9
    return Segment(
        step=step, stage="only", sequence=int(rng.choice([1, 7, 8, 16, 24, 48, 60, 100])),
        samples=int(rng.integers(1, 13)), weights=dict(zip(names, (weights / weights.sum()).tolist(), strict=True)),
        begin={name: places[name] for name in names if name in places}, apart=tuple(n for n in names if n in apart),
    )  # fmt: skip


def read_rows(loader: Loader, step: int, ranks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens, labels and sources of a step, put together from the ranks' parts."""
    parts = [loader.batch(step, rank, ranks) for rank in range(min(ranks, loader.segment.samples))]
    rows = np.empty((3, loader.segment.samples), object)
    for rank, part in enumerate(parts):
        for i, row in enumerate(zip(part.tokens_BL, part.labels_BL, part.sources_B, strict=True)):
            rows[:, rank + i * ranks] = row
    return np.stack(rows[0]), np.stack(rows[1]), rows[2].astype(int)


def check_quotas(weights: dict[str, float], names: list[str], drawn: list[int]) -> None:
    """In every prefix of a segment each source is within 2 samples of its share, in exact arithmetic."""
    counts: Counter[int] = Counter()
    whole = sum(map(Fraction, weights.values()))
    shares = {names.index(name): Fraction(weight) / whole for name, weight in weights.items()}
    for number, source in enumerate(drawn, 1):
        counts[source] += 1
        assert all(abs(counts[i] - number * share) < 2 for i, share in shares.items())
    assert set(counts) <= set(shares)


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sources, Resolved]:
    sources = position_sources(tmp_path_factory.mktemp("positions"), SIZES)
    return sources, resolved_for(sources, block=BLOCK, seed=SEED)


@pytest.mark.parametrize("seed", range(40))
def test_a_history_of_changes_reads_every_token_in_turn(streams: tuple[Sources, Resolved], seed: int) -> None:
    sources, resolved = streams
    rng, names = np.random.default_rng(seed), list(sources)
    models = {name: permuted_stream(SIZES[name], name) for name in names}
    places: Places = {}
    step = 0
    for _ in range(6):
        segment = random_segment(rng, step, places)
        loader = Loader(build(Segment, json.loads(json.dumps(asdict(segment)))), sources, resolved)
        steps, drawn = int(rng.integers(1, 9)), []
        for number in range(steps):
            tokens, labels, owners = read_rows(loader, number, ranks=int(rng.integers(1, 6)))
            drawn += owners.tolist()
            for row, following, owner in zip(tokens, labels, owners, strict=True):
                expected = [next(models[names[owner]]) for _ in range(segment.sequence)]
                assert row.tolist() == expected
                assert following.tolist() == [position + 1 for position in expected]
        check_quotas(segment.weights, names, drawn)
        taken = loader.positions(steps)
        assert taken == {name: drawn.count(names.index(name)) * segment.sequence for name in segment.weights}
        places |= loader.places(steps)
        step += steps


def test_any_step_is_computed_alone(streams: tuple[Sources, Resolved]) -> None:
    sources, resolved = streams
    segment = random_segment(np.random.default_rng(5), 0, {"a": Place(31), "c": Place(5000)})
    straight = Loader(segment, sources, resolved)
    rows = [straight.batch(step).tokens_BL for step in range(30)]
    for step in (29, 0, 17, 16):
        assert (Loader(segment, sources, resolved).batch(step).tokens_BL == rows[step]).all()


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sources, Resolved]:
    sources = position_sources(tmp_path_factory.mktemp("packed"), SIZES, window="pack")
    return sources, resolved_for(sources, block=1, seed=SEED)     # blocks so small that there are several groups


def document_positions(sources: Sources, name: str) -> list[int]:
    """All positions of a source that have their document's next token as label."""
    found = []
    for start, length in sources[name].tokens.documents().tolist():
        found += range(start, start + length - 1)
    return sorted(found)


@pytest.mark.parametrize("seed", range(25))
def test_a_history_of_changes_packs_every_token_once_an_epoch(packed: tuple[Sources, Resolved], seed: int) -> None:
    sources, resolved = packed
    rng, names = np.random.default_rng(seed), list(sources)
    seen: dict[str, list[int]] = {name: [] for name in names}
    places: Places = {}
    step = 0
    for _ in range(6):
        segment = random_segment(rng, step, places, apart=tuple(names))
        loader, steps = Loader(segment, sources, resolved), int(rng.integers(1, 9))
        for number in range(steps):
            pieces, owners = loader.pieces(number)
            for row, column, _, start, count in pieces.tolist():
                assert column >= 0 and column + count <= segment.sequence
                seen[names[owners[row]]] += range(start, start + count)
        places |= loader.places(steps)
        step += steps
    for name, positions in seen.items():
        epoch = document_positions(sources, name)
        for begin in range(0, len(positions) - len(epoch) + 1, len(epoch)):
            assert sorted(positions[begin : begin + len(epoch)]) == epoch
        rest = positions[len(positions) // len(epoch) * len(epoch) :]
        assert len(set(rest)) == len(rest)


@pytest.mark.parametrize("kind", ["streams", "packed"])
@pytest.mark.parametrize("seed", range(10))
def test_the_steps_of_a_document_are_found(kind: str, seed: int, request: pytest.FixtureRequest) -> None:
    sources, resolved = request.getfixturevalue(kind)
    rng, names, steps = np.random.default_rng(seed), list(sources), 25
    apart = tuple(names) if kind == "packed" else ()
    first = Loader(random_segment(rng, 0, {}, apart), sources, resolved)
    second = Loader(random_segment(rng, 3, first.places(3), apart), sources, resolved)
    for loader in (first, second):
        read: dict[tuple[str, int], set[int]] = {}
        for step in range(steps):
            pieces, owners = loader.pieces(step)
            for row, _, _, start, count in pieces.tolist():
                for position in range(start, start + count):
                    read.setdefault((names[owners[row]], position), set()).add(step)
        for name in names:
            documents = sources[name].tokens.documents().tolist()
            for start, length in rng.permutation(documents)[:8].tolist():
                expected = set().union(*(read.get((name, at), set()) for at in range(start, start + length)))
                assert loader.steps_of(name, start, length, steps) == expected
