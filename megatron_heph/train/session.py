"""A training session: what every process of the grid runs, from the recipe to the last checkpoint."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from megatron_heph.checkpoint.store import TrainState
from megatron_heph.data.loader import Cursors, Loader
from megatron_heph.data.sources import open_heldout, open_training, source_weights
from megatron_heph.engine.build import begin, build_engine
from megatron_heph.engine.grid import Grid, start_grid
from megatron_heph.engine.step import Engine
from megatron_heph.errors import RefusedError, StoppedError
from megatron_heph.formats.indexed import TokenizedSource
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
    sources, heldout = open_training(resolved), open_heldout(resolved)
    first = resolved.recipe.stage[0]
    meter = None
    if heldout:
        limit = resolved.recipe.observe.heldout_tokens
        meter = HeldOut(heldout, first.sequence, limit, first.micro_batch)
    with start_grid(resolved.grid, virtual=resolved.recipe.parallel.virtual, seed=resolved.recipe.seed) as grid:
        engine = build_engine(resolved, grid, len(sources))
        with Journal(resolved, folder, grid, sources) as journal:
            Session(resolved, folder, grid, engine, sources, meter, journal, stop).run()


@dataclass(slots=True)
class Session:
    """One process's view of a run that is going on."""

    resolved: Resolved
    folder: RunFolder
    grid: Grid
    engine: Engine
    sources: dict[str, TokenizedSource]
    heldout: HeldOut | None
    journal: Journal
    stop: StopRequest
    step: int = 0                       # optimizer steps done
    tokens: int = 0                     # tokens read
    cursors: Cursors = field(default_factory=dict)

    def run(self) -> None:
        """Goes through the stages from where the run stands."""
        saved = self._resume_or_begin()
        names = [stage.name for stage in self.resolved.recipe.stage]
        for stage in self.resolved.recipe.stage[names.index(saved.stage) if saved else 0 :]:
            inside = saved is not None and saved.stage == stage.name
            done, begun = (saved.stage_step, saved.stage_begin) if saved and inside else (0, dict(self.cursors))
            self._run_stage(stage, begun, done)
        self.journal.end(self.step, self.tokens, "finished")

    def _resume_or_begin(self) -> TrainState | None:
        steps = self.folder.checkpoints.steps()
        saved = self.folder.checkpoints.read_state(steps[-1]) if steps else None
        if saved is not None:
            self.folder.checkpoints.load(self.engine, saved.step)
            self.step, self.tokens, self.cursors = saved.step, saved.tokens, dict(saved.cursors)
        else:
            begin(self.engine, self.resolved)
            self.cursors = dict.fromkeys(self.sources, 0)
        self.journal.start(saved)
        if saved is None:
            self._measure()
        return saved

    def _run_stage(self, stage: Stage, begun: Cursors, done: int) -> None:
        loader = Loader(
            self.sources,
            source_weights(self.resolved, stage, self.sources).tolist(),
            sequence=stage.sequence,
            samples_per_step=self.resolved.samples(stage),
            block=self.resolved.block,
            seed=self.resolved.recipe.seed,
            vocab=self.resolved.shape.vocab,
            begin=begun,
        )
        self.cursors = loader.cursors(done)
        for number in range(done, self.resolved.steps(stage)):
            self._train_step(stage, loader, number)
            last = self.step == self.resolved.total_steps
            if last or self._crossed(self.resolved.recipe.observe.heldout_every, stage):
                self._measure()
            stopping = self.grid.any(self.stop.asked)
            if last or stopping or self._crossed(self.resolved.recipe.checkpoint.every, stage):
                self._save(stage, number + 1, begun, loader)
            if stopping and not last:
                self.journal.end(self.step, self.tokens, f"stopped by {self.stop.reason or 'another process'}")
                raise StoppedError(f"stopped after step {self.step} as asked; the same command goes on from there")

    def _train_step(self, stage: Stage, loader: Loader, number: int) -> None:
        started = time.perf_counter()
        samples = loader.step(number, self.grid.data_rank, self.grid.size.data)
        batches = micro_batches(samples, stage.micro_batch)
        loaded = time.perf_counter()
        peak = stage.lr if stage.lr is not None else self.resolved.recipe.optim.lr
        lr = learning_rate((number + 0.5) * stage.batch, self.resolved.tokens(stage), peak, stage.schedule)
        sums, norm = self.engine.train_step(batches, lr)
        if not math.isfinite(norm) or not math.isfinite(sums.mean):
            raise RefusedError(
                f"Step {self.step + 1} (stage {stage.name}, learning rate {lr:g}) has the loss {sums.mean} and the "
                f"gradient norm {norm}, and a finite number is needed to go on. The newest checkpoint is "
                f"{self._newest()}. Lower stage.{stage.name}.lr (its peak is {peak:g}) or optim.clip (now "
                f"{self.resolved.recipe.optim.clip:g}), and begin anew with `run` set to another folder."
            )
        self.step += 1
        self.tokens += self.resolved.samples(stage) * stage.sequence
        before, self.cursors = self.cursors, loader.cursors(number + 1)
        self.journal.step(
            step=self.step, tokens=self.tokens, stage=stage.name, sums=sums, lr=lr, grad_norm=norm,
            seconds=time.perf_counter() - started, data_seconds=loaded - started,
            read={name: self.cursors[name] - before[name] for name in self.cursors},
        )  # fmt: skip

    def _newest(self) -> str:
        steps = self.folder.checkpoints.steps()
        return f"that of step {steps[-1]}" if steps else "none yet"

    def _crossed(self, every: int | None, stage: Stage) -> bool:
        """Whether the last step went over a multiple of `every` tokens."""
        return every is not None and self.tokens // every > (self.tokens - stage.batch) // every

    def _measure(self) -> None:
        if self.heldout is not None:
            self.journal.heldout(self.step, self.tokens, self.heldout.measure(self.engine))

    def _save(self, stage: Stage, stage_step: int, begun: Cursors, loader: Loader) -> None:
        started = time.perf_counter()
        state = TrainState(
            step=self.step, tokens=self.tokens, stage=stage.name, stage_step=stage_step, stage_begin=begun,
            cursors=self.cursors, epochs=loader.epochs(self.cursors), grid=str(self.grid.size), versions=versions(),
        )  # fmt: skip
        path = self.folder.checkpoints.save(self.engine, state, self.resolved.recipe.checkpoint.keep)
        self.journal.checkpoint(
            self.step, self.tokens, time.perf_counter() - started, str(path.relative_to(self.folder.path))
        )
