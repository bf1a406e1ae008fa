"""The checkpoints of a run: complete or absent, the newest found by name, old ones removed."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from megatron_heph.data.records import SourceRecord
from megatron_heph.data.segments import Point, Segment
from megatron_heph.engine import state
from megatron_heph.engine.step import Engine
from megatron_heph.errors import InputError
from megatron_heph.formats.toml_tree import build

MODEL = "model"                         # in a checkpoint: the torch_dist weights
STATE = "state.json"                    # in a checkpoint: written last, so that one with it is complete
_PARTIAL = ".partial"
_NAME = re.compile(r"step-(\d{8})")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainState:
    """Where a run stands after a step: everything beside weights and optimizer that a resume needs.

    The segments say of every sample since the run began where it came from; positions and epochs are the
    ledger of the data.
    """

    point: Point
    segments: tuple[Segment, ...]
    sources: dict[str, SourceRecord]    # every source that the run has read
    positions: dict[str, int]           # taken from each of them
    epochs: dict[str, float]            # how often each of them has been read
    block: int                          # tokens in a unit of the order
    grid: str
    versions: dict[str, str]

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.point.step

    @property
    def tokens(self) -> int:
        """Positions read."""
        return self.point.tokens


@dataclass(frozen=True, slots=True)
class CheckpointStore:
    """The folder `checkpoints/` of a run."""

    folder: Path

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step is."""
        return self.folder / f"step-{step:08d}"

    def steps(self) -> list[int]:
        """The steps with a complete checkpoint, in order."""
        names = (_NAME.fullmatch(path.name) for path in self.folder.glob("step-*"))
        return sorted(int(name[1]) for name in names if name)

    def save(self, engine: Engine, train_state: TrainState, keep: int) -> Path:
        """Writes a checkpoint under a partial name and renames it when all is on the disk.

        A kill at any moment leaves either the whole checkpoint or none.  Then only the newest `keep` stay.
        """
        final = self.path(train_state.step)
        partial = final.with_suffix(_PARTIAL)
        if engine.grid.is_first:
            shutil.rmtree(partial, ignore_errors=True)
        engine.grid.barrier()
        state.save(engine, partial / MODEL)
        engine.grid.barrier()
        if engine.grid.is_first:
            (partial / STATE).write_text(json.dumps(asdict(train_state), indent=1), encoding="utf-8")
            _sync_tree(partial)
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
            _sync(self.folder)
            self._remove_old(keep)
        engine.grid.barrier()
        return final

    def _remove_old(self, keep: int) -> None:
        """Leaves the newest `keep` checkpoints, and nothing that a kill left unfinished."""
        for step in self.steps()[:-keep]:
            self.path(step).rename(self.path(step).with_suffix(_PARTIAL))  # half removed is not a checkpoint
        for path in self.folder.glob(f"step-*{_PARTIAL}"):
            shutil.rmtree(path)

    def read_state(self, step: int) -> TrainState:
        """The state beside a checkpoint; InputError if it is not readable."""
        path = self.path(step) / STATE
        try:
            return build(TrainState, json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, InputError) as error:
            raise InputError(
                f"{path} cannot be read ({error}): the checkpoint is damaged. Remove {path.parent} to resume "
                f"from the one before it."
            ) from error

    def load(self, engine: Engine, step: int) -> None:
        """Reads weights and optimizer state of a checkpoint that any grid wrote."""
        state.load(engine, self.path(step) / MODEL, optimizer=engine.optimizer is not None)


def _sync_tree(folder: Path) -> None:
    """Makes all files below `folder` last through a power cut; megatron syncs its tensors, not all of the rest."""
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _sync(path: Path) -> None:
    """Puts a file, or the names in a folder, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
