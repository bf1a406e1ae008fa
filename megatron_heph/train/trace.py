"""One step of any run again, on one process: the loss and the gradient norm of every document in it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from megatron_heph.data.batch import Batch
from megatron_heph.engine.build import begin, build_engine
from megatron_heph.engine.grid import start_grid
from megatron_heph.engine.step import Engine
from megatron_heph.errors import InputError
from megatron_heph.observe.metrics import FILE_NAME, read_metrics
from megatron_heph.observe.rows import Step
from megatron_heph.recipe.resolved import GridSize
from megatron_heph.train.batches import micro_batches, rows
from megatron_heph.train.history import DocumentPart, History
from megatron_heph.train.session import rate

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentTrace:
    """A document's part in a step, with the weights that the step began with."""

    part: DocumentPart
    trained: int                        # labels that carry loss
    loss: float                         # their mean, in nats
    grad_norm: float                    # of the gradient of that mean
    weight: float                       # share of the step's labels; weight x gradient is its part in the step's


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTrace:
    """A step, run again."""

    step: int
    replayed_from: int                  # the checkpoint's step; 0: the weights that the run began with
    loss: float
    grad_norm: float
    recorded: Step | None               # what the run wrote of the step
    documents: tuple[DocumentTrace, ...]


def trace(history: History, step: int, note: Note) -> StepTrace:
    """Runs step `step` (from 1) of a run again, from its nearest checkpoint before it.

    Steps in between are trained again, with the learning rates of the record where it has them.  Raises
    InputError for a step that the run does not have.
    """
    parts = history.documents(step)     # first: it says whether there is such a step
    recorded = _recorded(history)
    start = max((saved for saved in history.folder.checkpoints.steps() if saved < step), default=0)
    with start_grid(GridSize(), seed=history.resolved.recipe.seed) as grid:
        engine = build_engine(history.resolved, grid, len(history.sources))
        if start:
            history.folder.checkpoints.load(engine, start)
        else:
            begin(engine, history.resolved)
        for number in range(start + 1, step):
            _replay(history, engine, number, recorded.get(number))
            note(f"step {number} again (of {start + 1} to {step - 1}, to reach the weights of step {step})")
        found = history.find(step)
        batch = found.loader.batch(found.number)
        sums, norm = engine.probe(micro_batches(batch, 1))
        documents = []
        for done, part in enumerate(parts, 1):
            documents.append(_document(engine, batch, part))
            note(f"document {done} of {len(parts)}")
    return StepTrace(
        step=step, replayed_from=start, loss=sums.mean, grad_norm=norm, recorded=recorded.get(step),
        documents=tuple(documents),
    )  # fmt: skip


def _recorded(history: History) -> dict[int, Step]:
    path = history.folder.path / FILE_NAME
    return {row.step: row for row in read_metrics(path).steps} if path.is_file() else {}


def _replay(history: History, engine: Engine, step: int, recorded: Step | None) -> None:
    found = history.find(step)
    if recorded is not None:
        lr = recorded.lr
    elif found.stage is not None:
        lr = rate(history.resolved, found.stage, found.stage_tokens)
    else:
        raise InputError(
            f"Step {step} has to be trained again to reach the one that was asked for, and {FILE_NAME} of "
            f"{history.folder.path} has no learning rate for it: bring the record back, or trace a step right after a "
            f"checkpoint."
        )
    _, norm = engine.train_step(micro_batches(found.loader.batch(found.number), 1), lr)
    if not math.isfinite(norm):
        raise InputError(f"Step {step} has the gradient norm {norm} on one process too: trace it with --step {step}.")


def _document(engine: Engine, batch: Batch, part: DocumentPart) -> DocumentTrace:
    """The part's own loss and gradient: its sample runs alone, and only its labels carry loss."""
    sample = rows(batch, slice(part.sample, part.sample + 1))
    loss = np.zeros_like(sample.loss_BL)
    mine = slice(part.column, part.column + part.count)
    loss[0, mine] = sample.loss_BL[0, mine]
    trained, together = int(loss.sum()), int(batch.loss_BL.sum())
    if not trained:
        return DocumentTrace(part=part, trained=0, loss=0.0, grad_norm=0.0, weight=0.0)
    sums, norm = engine.probe(micro_batches(replace(sample, loss_BL=loss), 1))
    return DocumentTrace(part=part, trained=trained, loss=sums.mean, grad_norm=norm, weight=trained / together)
