"""A training session: what every process of the grid runs, from the recipe to the last checkpoint."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import partial

from megatron_heph.checkpoint.store import TrainState
from megatron_heph.data.prefetch import prefetched
from megatron_heph.data.records import SourceRecord, as_recorded, record
from megatron_heph.data.segments import Point, Segment
from megatron_heph.data.sources import Sources, open_heldout, open_training
from megatron_heph.data.timeline import Part, parts, remaining_steps
from megatron_heph.engine.build import begin, build_engine
from megatron_heph.engine.grid import Grid, start_grid
from megatron_heph.engine.step import Engine, MicroBatch
from megatron_heph.errors import RefusedError, StoppedError
from megatron_heph.recipe.resolved import Resolved
from megatron_heph.recipe.tree import Stage
from megatron_heph.train.batches import micro_batches
from megatron_heph.train.heldout import HeldOut
from megatron_heph.train.journal import Journal, versions
from megatron_heph.train.run_folder import RunFolder
from megatron_heph.train.schedule import learning_rate
from megatron_heph.train.stop import StopRequest


def train(resolved: Resolved, folder: RunFolder, stop: StopRequest) -> None:
    """Trains to the end of the recipe, or from the newest checkpoint of the run folder on.

    Every process of the grid calls it.  Raises StoppedError when asked to stop, after a checkpoint;
    RefusedError when the loss is no number; InputError for data that does not fit, before any group is made.
    """
    saved = folder.newest()
    sources, notes = as_recorded(open_training(resolved), saved.sources if saved else {})
    check_caps(resolved, sources, saved)
    heldout, first = open_heldout(resolved), resolved.recipe.stage[0]
    meter = None
    if heldout:
        limit = resolved.recipe.observe.heldout_tokens
        meter = HeldOut(heldout, first.sequence, limit, first.micro_batch)
    with start_grid(resolved.grid, virtual=resolved.recipe.parallel.virtual, seed=resolved.recipe.seed) as grid:
        engine = build_engine(resolved, grid, len(sources))
        with Journal(resolved, folder, grid, sources) as journal:
            session = Session(resolved, folder, grid, engine, sources, meter, journal, stop)
            session.resume(saved, notes) if saved else session.begin()
            session.run()


def check_caps(resolved: Resolved, sources: Sources, saved: TrainState | None) -> None:
    """Raises InputError, before the first step, for a cap that the run would meet and may not."""
    if any(source.node.max_epochs is not None and source.node.at_cap == "refuse" for source in sources.values()):
        for _ in parts(resolved, sources, saved.point if saved else Point(), saved.segments[-1] if saved else None):
            pass


def rate(resolved: Resolved, stage: Stage, done: int) -> float:
    """The learning rate of the step that follows `done` tokens of a stage: the schedule's in the step's middle."""
    peak = stage.lr if stage.lr is not None else resolved.recipe.optim.lr
    return learning_rate(done + 0.5 * stage.batch, resolved.tokens(stage), peak, stage.schedule)


@dataclass(slots=True)
class Session:
    """One process's view of a run that is going on."""

    resolved: Resolved
    folder: RunFolder
    grid: Grid
    engine: Engine
    sources: Sources
    heldout: HeldOut | None
    journal: Journal
    stop: StopRequest
    point: Point = field(default_factory=Point)
    segments: tuple[Segment, ...] = ()
    records: dict[str, SourceRecord] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    epochs: dict[str, float] = field(default_factory=dict)
    saved_step: int = -1                # of the newest checkpoint; -1: there is none
    begun: Point = field(default_factory=Point)  # where the part that is going on began,
    ledger: dict[str, int] = field(default_factory=dict)  # and the positions then

    def begin(self) -> None:
        """The first step comes next."""
        begin(self.engine, self.resolved)
        self.journal.start(None)
        self._measure()

    def resume(self, saved: TrainState, notes: list[str]) -> None:
        """What comes next is the step after a checkpoint."""
        self.folder.checkpoints.load(self.engine, saved.step)
        self.point, self.segments, self.records = saved.point, saved.segments, dict(saved.sources)
        self.positions, self.epochs, self.saved_step = dict(saved.positions), dict(saved.epochs), saved.step
        self.journal.start(saved)
        for note in notes:
            self.journal.note(note)

    def run(self) -> None:
        """Goes through the parts that are left, to a checkpoint at the end."""
        for part in parts(self.resolved, self.sources, self.point, self.segments[-1] if self.segments else None):
            self._run_part(part)
        if self.saved_step != self.point.step:  # a cap ended the last stage
            self._measure()
            self._save()
        self.journal.end(self.point.step, self.point.tokens, "finished")

    def _run_part(self, part: Part) -> None:
        self.begun, self.ledger = self.point, dict(self.positions)
        self._enter(part)
        steps, depth = range(part.first, part.stop), self.resolved.recipe.data.prefetch
        cut = partial(micro_batches, size=part.stage.micro_batch)
        place = {"rank": self.grid.data_rank, "ranks": self.grid.size.data}
        with prefetched(part.loader, steps, cut, **place, depth=depth) as loaded:
            for step in steps:
                started = time.perf_counter()
                batches = next(loaded)
                self._train_step(part, batches, started, time.perf_counter() - started)
                self.point = part.counted(self.begun, step + 1 - part.first)
                self._between_steps(part)
        self._settle(part)

    def _enter(self, part: Part) -> None:
        """Notes a segment that begins, and the sources that the run meets for the first time."""
        if not self.segments or self.segments[-1] != part.segment:
            self.segments = (*self.segments, part.segment)
            self.journal.segment(part.segment)
        for name in part.segment.weights:
            self.records.setdefault(name, record(self.sources[name]))

    def _settle(self, part: Part) -> None:
        """Brings places and ledger up to the step: a checkpoint keeps them of every source, a step needs none."""
        steps = self.point.step - self.begun.step
        before, after = part.loader.positions(part.first), part.loader.positions(part.first + steps)
        self.positions.update({name: self.ledger.get(name, 0) + after[name] - before[name] for name in after})
        self.epochs.update(part.loader.epochs(part.first + steps))
        self.point = part.after(self.begun, steps)

    def _between_steps(self, part: Part) -> None:
        last = remaining_steps(self.resolved, self.point) == 0
        if last or self._crossed(self.resolved.recipe.observe.heldout_every, part.stage):
            self._measure()
        stopping = self.grid.any(self.stop.asked)
        if last or stopping or self._crossed(self.resolved.recipe.checkpoint.every, part.stage):
            self._settle(part)
            self._save()
        if stopping and not last:
            reason = f"stopped by {self.stop.reason or 'another process'}"
            self.journal.end(self.point.step, self.point.tokens, reason)
            raise StoppedError(f"stopped after step {self.point.step} as asked; the same command goes on from there")

    def _train_step(self, part: Part, batches: list[MicroBatch], started: float, waited: float) -> None:
        stage, step = part.stage, self.point.step + 1
        done = self.point.stage_tokens if self.point.stage == stage.name else 0
        peak = stage.lr if stage.lr is not None else self.resolved.recipe.optim.lr
        lr = rate(self.resolved, stage, done)
        sums, norm = self.engine.train_step(batches, lr)
        if not math.isfinite(norm) or not math.isfinite(sums.mean):
            raise RefusedError(
                f"Step {step} (stage {stage.name}, learning rate {lr:g}) has the loss {sums.mean} and the "
                f"gradient norm {norm}, and a finite number is needed to go on. The newest checkpoint is "
                f"{self._newest()}. Lower stage.{stage.name}.lr (its peak is {peak:g}) or optim.clip (now "
                f"{self.resolved.recipe.optim.clip:g}), and begin anew with `run` set to another folder."
            )
        number = step - 1 - part.segment.step
        before, after = part.loader.positions(number), part.loader.positions(number + 1)
        self.journal.step(
            step=step, tokens=self.point.tokens + part.segment.batch, stage=stage.name, sums=sums, lr=lr,
            grad_norm=norm, seconds=time.perf_counter() - started, data_seconds=waited,
            read={name: after[name] - before[name] for name in after},
        )  # fmt: skip

    def _newest(self) -> str:
        steps = self.folder.checkpoints.steps()
        return f"that of step {steps[-1]}" if steps else "none yet"

    def _crossed(self, every: int | None, stage: Stage) -> bool:
        """Whether the last step went over a multiple of `every` tokens."""
        tokens = self.point.tokens
        return every is not None and tokens // every > (tokens - stage.batch) // every

    def _measure(self) -> None:
        if self.heldout is not None:
            self.journal.heldout(self.point.step, self.point.tokens, self.heldout.measure(self.engine))

    def _save(self) -> None:
        started = time.perf_counter()
        state = TrainState(
            point=self.point, segments=self.segments, sources=self.records, positions=self.positions,
            epochs=self.epochs, block=self.resolved.block, grid=str(self.grid.size), versions=versions(),
        )  # fmt: skip
        path = self.folder.checkpoints.save(self.engine, state, self.resolved.recipe.checkpoint.keep)
        self.saved_step = self.point.step
        self.journal.checkpoint(
            self.point.step, self.point.tokens, time.perf_counter() - started, str(path.relative_to(self.folder.path))
        )
