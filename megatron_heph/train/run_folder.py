"""The run folder: what other tools find there, and how a run is begun or found again in it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_heph.checkpoint.store import CheckpointStore
from megatron_heph.errors import InputError
from megatron_heph.formats.toml_tree import read_toml
from megatron_heph.recipe.resolve import Machine, Resolved, recipe_from_table, resolve
from megatron_heph.recipe.shape import write_model

RECIPE = "recipe.toml"
_FREE_ON_RESUME = ("run", "parallel", "checkpoint", "observe")  # may change without changing the result


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

    def log(self, rank: int) -> Path:
        """The log of a process."""
        return self.path / "logs" / f"rank-{rank}.log"

    def prepare(self, resolved: Resolved) -> None:
        """Writes what describes the run, or checks that the run that is here is the same one.

        Raises InputError if the recipe differs from the one that the run began with in a way that
        would change its result.
        """
        if self.exists:
            self._check_same(resolved)
        for folder in ("checkpoints", "logs", "tokenizer"):
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        if resolved.base is not None:
            for name in ("tokenizer.json", "tokenizer_config.json"):
                shutil.copyfile(resolved.base.tokenizer / name, self.path / "tokenizer" / name)
        write_model(self.path / "model.json", resolved.shape, resolved.base.label if resolved.base else None)
        (self.path / RECIPE).write_text(resolved.to_toml(), encoding="utf-8")

    def _check_same(self, resolved: Resolved) -> None:
        before = read_toml(self.path / RECIPE)
        now = recipe_table(resolved)
        changed = [key for key in _differences(before, now) if key.split(".")[0] not in _FREE_ON_RESUME]
        if changed and self.checkpoints.steps():
            listing = "; ".join(f"{key}: {_at(before, key)!r} there, {_at(now, key)!r} now" for key in changed[:5])
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


def label(resolved: Resolved) -> str:
    """What the run began with, in words."""
    return resolved.base.label if resolved.base else f"fresh {resolved.recipe.model.family} model, random weights"


def recipe_table(resolved: Resolved) -> dict[str, Any]:
    """The resolved recipe as a plain table."""
    import tomllib

    return tomllib.loads(resolved.to_toml())


def _differences(a: Any, b: Any, path: str = "") -> list[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        keys = [*a, *(key for key in b if key not in a)]
        return [d for key in keys for d in _differences(a.get(key), b.get(key), f"{path}.{key}" if path else key)]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in _differences(x, y, f"{path}.{i}")]
    return [] if a == b else [path]


def _at(table: Any, path: str) -> Any:
    for key in path.split("."):
        table = table[int(key)] if isinstance(table, list) else (table or {}).get(key)
    return table
