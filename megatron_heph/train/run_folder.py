"""The run folder: what other tools find there, and how a run is begun or found again in it."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_heph.checkpoint.store import CheckpointStore
from megatron_heph.errors import InputError
from megatron_heph.formats.toml_tree import read_toml
from megatron_heph.recipe.resolve import recipe_from_table, resolve
from megatron_heph.recipe.resolved import Machine, Resolved
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
            self.check_same(resolved)
        for folder in ("checkpoints", "logs", "tokenizer"):
            _make(self.path / folder)
        if resolved.base is not None:
            for name in ("tokenizer.json", "tokenizer_config.json"):
                shutil.copyfile(resolved.base.tokenizer / name, self.path / "tokenizer" / name)
        write_model(self.path / "model.json", resolved.shape, resolved.base.label if resolved.base else None)
        (self.path / RECIPE).write_text(resolved.to_toml(), encoding="utf-8")

    def check_same(self, resolved: Resolved) -> None:
        """Raises InputError if the run that is here is of a recipe with another result."""
        before, now = (dict(_leaves(table)) for table in (read_toml(self.path / RECIPE), recipe_table(resolved)))
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        changed = [key for key in changed if key.split(".")[0] not in _FREE_ON_RESUME]
        if changed and self.checkpoints.steps():
            listing = "; ".join(
                f"{key}: {before.get(key, 'not set')!r} there, {now.get(key, 'not set')!r} now" for key in changed[:5]
            ) + (f"; and {len(changed) - 5} more" if len(changed) > 5 else "")
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
