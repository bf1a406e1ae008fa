"""The run folder: what other tools find there, and how a run is begun or found again in it."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from megatron_heph.checkpoint.store import CheckpointStore, TrainState
from megatron_heph.data.records import as_recorded
from megatron_heph.data.sources import Sources
from megatron_heph.data.timeline import parts
from megatron_heph.errors import InputError
from megatron_heph.formats.manifest import write_durably
from megatron_heph.formats.toml_tree import read_toml
from megatron_heph.recipe.resolve import recipe_from_table, resolve
from megatron_heph.recipe.resolved import Machine, Resolved
from megatron_heph.recipe.shape import write_model

RECIPE = "recipe.toml"
# What may change when a run goes on: without changing the result, or as a new segment from there on.
_FREE = ("run", "parallel", "checkpoint", "observe", "data.prefetch")
_FROM_HERE = ("stage", "data.sources", "data.heldout")
# ... but not in a Megatron run's order, which is another one from the first sample on.
_BUILT_FROM = re.compile(r"data\.sources(\..*)?|stage\.[^.]+\.sequence")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """`recipe.toml` (resolved), `model.json`, `tokenizer/`, `metrics.jsonl`, `checkpoints/`, `logs/`, `report.html`."""

    path: Path

    @property
    def checkpoints(self) -> CheckpointStore:
        """The run's checkpoints."""
        return CheckpointStore(self.path / "checkpoints")

    @property
    def exists(self) -> bool:
        """Whether a run has begun here."""
        return (self.path / RECIPE).is_file()

    def newest(self) -> TrainState | None:
        """The state beside the newest checkpoint; None before the first."""
        steps = self.checkpoints.steps()
        return self.checkpoints.read_state(steps[-1]) if steps else None

    def log(self, rank: int) -> Path:
        """The log of a process."""
        return self.path / "logs" / f"rank-{rank}.log"

    def prepare(self, resolved: Resolved) -> None:
        """Writes what describes the run, or checks that the run that is here is the same one.

        Raises InputError if the recipe differs from the one that the run began with in a way that
        would change its result.
        """
        if self.exists:
            self.check_same(resolved)
        for folder in ("checkpoints", "logs", "tokenizer"):
            _make(self.path / folder)
        if resolved.base is not None:
            for name in ("tokenizer.json", "tokenizer_config.json"):
                shutil.copyfile(resolved.base.tokenizer / name, self.path / "tokenizer" / name)
        write_model(self.path / "model.json", resolved.shape, resolved.base.label if resolved.base else None)
        write_durably(self.path / RECIPE, resolved.to_toml().encode())

    def settle(self, resolved: Resolved) -> Resolved:
        """The recipe with what the run that is here has settled: the block of its order, where the recipe leaves it."""
        if not self.exists or not self.checkpoints.steps() or resolved.recipe.data.block is not None:
            return resolved
        block = read_toml(self.path / RECIPE).get("data", {}).get("block")
        return replace(resolved, block=block) if isinstance(block, int) else resolved

    def changes(self, resolved: Resolved) -> list[str]:
        """What the run will do otherwise from its newest checkpoint on, one line a key."""
        return [line for key, line in self._changed(resolved) if _may_change(key, resolved)]

    def _changed(self, resolved: Resolved) -> list[tuple[str, str]]:
        before, now = (dict(_leaves(table)) for table in (read_toml(self.path / RECIPE), recipe_table(resolved)))
        keys = [key for key in {**before, **now} if before.get(key) != now.get(key) and not _is_under(key, _FREE)]
        return [
            (key, f"{key}: {before.get(key, 'not set')!r} there, {now.get(key, 'not set')!r} now") for key in keys
        ]

    def check_same(self, resolved: Resolved) -> None:
        """Raises InputError if the run that is here is of a recipe with another past."""
        if not self.checkpoints.steps():
            return
        changed = [line for key, line in self._changed(resolved) if not _may_change(key, resolved)]
        if changed:
            listing = "; ".join(changed[:5]) + (f"; and {len(changed) - 5} more" if len(changed) > 5 else "")
            raise InputError(
                f"The run folder {self.path} holds a run of another recipe ({listing}). To go on with it, give the "
                f"recipe it began with; to begin anew, set `run` to another folder or remove this one."
            )

    def resolved(self, machine: Machine) -> Resolved:
        """The recipe of the run that is here, resolved for this machine; InputError if none is."""
        if not self.exists:
            raise InputError(f"{self.path} is no run folder: it has no {RECIPE}. Name the folder of a run.")
        where = str(self.path / RECIPE)
        return resolve(recipe_from_table(read_toml(self.path / RECIPE), where=where), machine)


def is_finished(resolved: Resolved, sources: Sources, saved: TrainState) -> bool:
    """Whether the recipe has no step left for the run."""
    known, _ = as_recorded(sources, saved.sources)
    return next(parts(resolved, known, saved.point, saved.segments[-1]), None) is None


def _may_change(key: str, resolved: Resolved) -> bool:
    built = resolved.recipe.data.megatron is not None and _BUILT_FROM.fullmatch(key) is not None
    return _is_under(key, _FROM_HERE) and not built


def _is_under(key: str, tables: tuple[str, ...]) -> bool:
    return any(key == table or key.startswith(f"{table}.") for table in tables)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The run folder cannot hold {folder} ({error.strerror}): set `run` to another folder."
        ) from error


def label(resolved: Resolved) -> str:
    """What the run began with, in words."""
    return resolved.base.label if resolved.base else f"fresh {resolved.recipe.model.family} model, random weights"


def recipe_table(resolved: Resolved) -> dict[str, Any]:
    """The resolved recipe as a plain table."""
    return tomllib.loads(resolved.to_toml())


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a table under the dotted keys that an override would use; a list of tables also has its names."""
    if isinstance(node, dict):
        children = {str(key): value for key, value in node.items()}
    elif isinstance(node, list):
        children = {str(item.get("name", i)) if isinstance(item, dict) else str(i): item for i, item in enumerate(node)}
        if any(isinstance(item, dict) for item in node):
            yield path, list(children)
    else:
        yield path, node
        return
    for key, value in children.items():
        yield from _leaves(value, f"{path}.{key}" if path else key)
