"""Which bytes of which inputs become which shard.

The plan depends on the inputs and the shard size alone, never on the number of workers, and is only ever
extended: shards that are there keep their names and their inputs, new inputs become new shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, groupby
from pathlib import Path

from data_tools.tokenize.inputs import Input
from megatron_heph.errors import InputError


@dataclass(frozen=True, slots=True)
class Piece:
    """The lines (row groups) of an input that begin in the bytes [begin, end); a compressed file is whole."""

    file: Input
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """One shard to be: `<folder>/<name>.bin/.idx`."""

    name: str
    pieces: tuple[Piece, ...]

    @property
    def bytes(self) -> int:
        """Of the inputs, as they lie on the disk."""
        return sum(piece.end - piece.begin for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What an earlier run planned for a shard: (name of the input, begin, end, size of the file)."""

    name: str
    pieces: tuple[tuple[str, int, int, int], ...]


def plan_shards(
    prefix: str, inputs: Sequence[Input], shard_bytes: int, recorded: Sequence[Recorded] = ()
) -> list[ShardPlan]:
    """Plans the shards of `inputs`, `shard_bytes` each or a little more, after those that are recorded.

    A file of two shards or more is cut into equal pieces, a shard each; smaller ones and compressed ones
    come whole, together until they are enough.  Recorded files must come first and in the same order, so
    that nothing takes the place of what is there; a file that has another size now is planned anew.

    Raises InputError where the recorded files are not the first ones.
    """
    known = list(dict.fromkeys(piece[0] for shard in recorded for piece in shard.pieces))
    _check_same_files(prefix, known, inputs)
    by_name = dict(zip(known, inputs, strict=False))
    taken = {shard.name for shard in recorded}
    fresh_names = (name for name in (f"{prefix}-{i:05d}" for i in count()) if name not in taken)
    plans: list[ShardPlan] = []
    for _, group in groupby(recorded, key=lambda shard: shard.pieces[0][0]):
        plans += _again(list(group), by_name, shard_bytes, fresh_names)
    plans += _name(_cut(inputs[len(known) :], shard_bytes), fresh_names)
    return plans


def _again(
    group: list[Recorded], by_name: dict[str, Input], shard_bytes: int, fresh_names: Iterator[str]
) -> list[ShardPlan]:
    """The recorded shards that begin with the same file; there are several only where it was cut."""
    old = [
        [(by_name[name], begin, end, size) for name, begin, end, size in shard.pieces]
        for shard in group
    ]
    if all(file.bytes == size for pieces in old for file, _, _, size in pieces):
        pairs = zip(group, old, strict=True)
        return [ShardPlan(shard.name, tuple(Piece(f, b, e) for f, b, e, _ in pieces)) for shard, pieces in pairs]
    files = list(dict.fromkeys(file for pieces in old for file, *_ in pieces))
    if len(files) > 1:      # whole files that share a shard stay together
        return [ShardPlan(group[0].name, tuple(Piece(file, 0, file.bytes) for file in files))]
    return _name(_cut(files, shard_bytes), chain((shard.name for shard in group), fresh_names))


def _name(groups: Iterable[list[Piece]], names: Iterator[str]) -> list[ShardPlan]:
    return [ShardPlan(next(names), tuple(pieces)) for pieces in groups]


def _cut(inputs: Iterable[Input], shard_bytes: int) -> Iterator[list[Piece]]:
    group: list[Piece] = []
    size = 0
    for file in inputs:
        pieces = 1 if file.compressed else max(file.bytes // shard_bytes, 1)
        if pieces > 1:
            if group:
                yield group
                group, size = [], 0
            edges = [file.bytes * i // pieces for i in range(pieces + 1)]
            yield from ([Piece(file, edges[i], edges[i + 1])] for i in range(pieces))
            continue
        group.append(Piece(file, 0, file.bytes))
        size += file.bytes
        if size >= shard_bytes:
            yield group
            group, size = [], 0
    if group:
        yield group


def _check_same_files(prefix: str, known: list[str], inputs: Sequence[Input]) -> None:
    """Names alone are compared: a corpus may have moved."""
    old = [Path(name).name for name in known]
    new = [Path(file.name).name for file in inputs]
    if new[: len(old)] != old:
        at = next(i for i, name in enumerate(old) if new[i : i + 1] != [name])
        raise InputError(
            f"{prefix} holds {', '.join(old[at : at + 3])} as input {at + 1}, and now that would be "
            f"{', '.join(new[at : at + 3]) or 'nothing'}. It is not overwritten: give another -o, name the same "
            f"inputs first and add new ones at the end, or remove {prefix}-* and {prefix}.* first."
        )
