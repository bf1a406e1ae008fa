"""Opens whatever holds a model: a base, a Hugging Face folder, a checkpoint, or a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from megatron_heph.checkpoint.convert import bridge, hf_folder
from megatron_heph.checkpoint.convert.files import Progress, no_progress
from megatron_heph.checkpoint.store import MODEL, STATE, CheckpointStore
from megatron_heph.engine import weights
from megatron_heph.errors import InputError
from megatron_heph.recipe.shape import RECORD, ModelShape, read_base, read_model

MODEL_RECORD = "model.json"  # in a run folder: its model's shape and the label of its base
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedModel:
    """A model with its whole tensors under megatron's names."""

    shape: ModelShape
    tensors: Mapping[str, Tensor]
    tokenizer: Path  # the folder with its tokenizer.json
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A complete checkpoint of a run."""

    folder: Path
    run: Path
    shape: ModelShape
    base_label: str | None  # None for a model that began from random weights

    @property
    def label(self) -> str:
        """What the model is: where it started, and how far it came."""
        start = f"continued from {self.base_label}" if self.base_label else "trained from random weights"
        return f"{self.run.name} at {self.folder.name}, {start}"


def find_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint by its folder, or the last complete one of a run.

    Raises InputError if there is none; it names the complete ones that are there.
    """
    if (path / MODEL_RECORD).is_file():
        run, complete = path, _complete(path)
        if not complete:
            raise InputError(f"The run {path} has no complete checkpoint in {path / CHECKPOINTS} yet.")
        folder = complete[-1]
    else:
        folder, run = path, path.parent.parent
        if not _is_complete(folder) or not (run / MODEL_RECORD).is_file():
            names = [str(found) for found in _complete(run)]
            raise InputError(
                f"{path} is neither a run (a folder with {MODEL_RECORD}) nor a complete checkpoint of one "
                f"({MODEL}/ and {STATE}). Complete checkpoints there: {', '.join(names) or 'none'}."
            )
    shape, base_label = read_model(run / MODEL_RECORD)
    return Checkpoint(folder=folder, run=run, shape=shape, base_label=base_label)


def open_checkpoint(checkpoint: Checkpoint) -> OpenedModel:
    """Reads a checkpoint's weights in float32, whatever grid wrote them."""
    return OpenedModel(
        shape=checkpoint.shape,
        tensors=weights.read(checkpoint.shape, checkpoint.folder / MODEL),
        tokenizer=checkpoint.run / "tokenizer",
        label=checkpoint.label,
    )


def open_model(path: Path, progress: Progress = no_progress) -> OpenedModel:
    """Opens a base, a Hugging Face folder, a checkpoint or a run (its last checkpoint)."""
    if (path / RECORD).is_file():
        base = read_base(path)
        progress("reading weights", 0, 1)
        tensors = weights.read(base.shape, base.weights)
        return OpenedModel(shape=base.shape, tensors=tensors, tokenizer=base.tokenizer, label=base.label)
    if (path / hf_folder.CONFIG).is_file():
        model = hf_folder.read(path, path.name, progress)
        tensors = bridge.for_family(model.shape.family).from_hf(model.shape, model.tensors, str(path))
        return OpenedModel(shape=model.shape, tensors=tensors, tokenizer=path, label=path.name)
    progress("reading weights", 0, 1)
    return open_checkpoint(find_checkpoint(path))


def _complete(run: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    store = CheckpointStore(run / CHECKPOINTS)
    return [path for path in map(store.path, store.steps()) if _is_complete(path)]


def _is_complete(folder: Path) -> bool:
    return folder.suffix != ".partial" and (folder / MODEL).is_dir() and (folder / STATE).is_file()
